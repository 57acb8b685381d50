from __future__ import unicode_literals

import consumers
from channels.routing import route

ECHO = r"^/echo/$"
GROUP = r"^/group/(?P<group>\w+)/$"

routing = [
    route("websocket.connect", consumers.open_echo, path=ECHO),
    route("websocket.receive", consumers.echo, path=ECHO),
    route("websocket.disconnect", consumers.close_echo, path=ECHO),
    route("numbers", consumers.note),
    route("websocket.connect", consumers.join, path=GROUP),
    route("websocket.disconnect", consumers.leave, path=GROUP),
]
