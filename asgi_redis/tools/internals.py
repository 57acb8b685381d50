"""The helpers of the package that the tools share. No other module of the tools imports more than the public layer."""
from __future__ import unicode_literals

from ..codec import BadMessage
from ..delivery.presence import EVERY, MOST_CHANNELS
from ..server.clients import address_of, call, with_address
from ..server.keys import literal
from ..server.times import monotonic
from ..server.urls import without_password

__all__ = [
    "EVERY", "MOST_CHANNELS", "BadMessage", "address_of", "call", "client_of", "literal", "monotonic", "with_address",
    "without_password",
]

#: How long a command of the tools may take, in seconds.
REPLY_TIMEOUT = 2


def client_of(layer, index):
    """
    Return the redis-py client of shard ``index``, after limiting its timeout to REPLY_TIMEOUT: also for connections
    that the layer, which must be the tool's own, makes later.
    """
    client = layer.connection(index)
    options = client.connection_pool.connection_kwargs
    options["socket_timeout"] = min(options.get("socket_timeout") or REPLY_TIMEOUT, REPLY_TIMEOUT)
    return client
