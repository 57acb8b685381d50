"""Which consumer gets which message. HTTP requests go to Django's views by default."""
from channels.routing import route

from . import consumers

PATH = r"^/ws/(?P<slug>[a-z0-9-]{1,40})/$"

routes = [
    route("websocket.connect", consumers.connect, path=PATH),
    route("websocket.receive", consumers.receive, path=PATH),
    route("websocket.disconnect", consumers.disconnect, path=PATH),
]
