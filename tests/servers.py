"""Real servers on free ports, for tests: started when a test first needs them, stopped when the run ends."""
from __future__ import unicode_literals

import atexit

from asgi_redis.embedded import Server

_plain = []


def plain(count=1):
    """
    ``count`` servers that the tests of this run share; a test that stops a server or sets it up otherwise starts its
    own. Where the machine has no server, the error says what to install.
    """
    while len(_plain) < count:
        server = Server().start()
        atexit.register(server.stop)
        _plain.append(server)
    return _plain[:count]


def hosts(count=1):
    """The URLs of ``plain(count)``."""
    return [server.url for server in plain(count)]
