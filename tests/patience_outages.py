"""
Every knob by which the tests of outages shorten the library's own waits.

Nothing else in these tests touches what is not public, so this is the only module to change along with the core.
"""
from __future__ import unicode_literals

from asgi_redis import RedisChannelLayer
from asgi_redis.server import times


def hurry(monkeypatch, layer, reply=None, remind=None):
    """
    Shorten the waits of ``layer``, all in seconds. To be called before the layer connects.

    ``reply``: how long a server may take to answer a command, and how late it may answer a blocking pop. ``remind``:
    how long after a line in the log that says an outage goes on the next one follows.
    """
    if reply is not None:
        monkeypatch.setattr(times, "GRACE", reply)
        for index in range(layer.ring_size):
            layer.connection(index).connection_pool.connection_kwargs["socket_timeout"] = reply
    if remind is not None:
        monkeypatch.setattr(times, "LOG_AGAIN", remind)


def default_reconnect_timeout():
    """The ``reconnect_timeout`` of a layer that is made without one."""
    return RedisChannelLayer().reconnect_timeout
