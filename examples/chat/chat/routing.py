"""Which consumer gets which message. HTTP requests go to Django's views by default."""
from channels.routing import route

from . import consumers

PATH = r"^/ws/(?P<slug>[a-z0-9-]{1,40})/$"
STATUS = r"^/ws-status/$"

routes = [
    route("websocket.connect", consumers.connect, path=PATH),
    route("websocket.receive", consumers.receive, path=PATH),
    route("websocket.disconnect", consumers.disconnect, path=PATH),
    route("websocket.connect", consumers.connect_status, path=STATUS),
    route("websocket.receive", consumers.look, path=STATUS),
    route("websocket.disconnect", consumers.disconnect_status, path=STATUS),
]
