"""Many processes at once: each message arrives exactly once."""
from __future__ import unicode_literals

import functools
import os

import pytest

from asgi_redis import RedisChannelLayer

from . import traffic

MESSAGES = int(os.environ.get("ASGI_REDIS_MESSAGES", 5000))


@pytest.mark.parametrize("shards, messages", [(1, MESSAGES), (3, min(MESSAGES, 20000))])
def test_each_message_arrives_exactly_once(make_layer, shards, messages):
    layer = make_layer(shards)  # for its prefix, and to flush what is left
    make = functools.partial(
        RedisChannelLayer, hosts=layer.hosts, prefix=layer.prefix, stats_prefix=layer.stats_prefix
    )
    counts, errors = traffic.exchange(make, messages)
    assert errors == []
    assert len(counts) == messages and set(counts.values()) == {1}
