import consumers
from channels.routing import route

GROUP = r"^/group/(?P<group>\w+)/$"

routing = [
    route("websocket.connect", consumers.join, path=GROUP),
    route("websocket.disconnect", consumers.leave, path=GROUP),
]
