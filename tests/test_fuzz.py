"""Properties that hold for any message, any body, any name, and any prefix."""
from __future__ import unicode_literals

import contextlib
import logging
import re
import struct

import msgpack
import pytest
import six
from hypothesis import assume, given
from hypothesis import strategies as st

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import Server

from . import servers
from .fuzzing import examples, making_layers
from .test_bad_input import push
from .test_messages import receive_all

try:
    import resource
except ImportError:  # Windows
    resource = None

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."


class Reversing(RedisChannelLayer):
    """Has a serialization of its own."""

    def serialize(self, message):
        return super(Reversing, self).serialize(message)[::-1]

    def deserialize(self, message):
        return super(Reversing, self).deserialize(message[::-1])


#: How bodies are made: a class of layers, and its keys.
CODECS = {
    "plain": (RedisChannelLayer, None),
    "one key": (RedisChannelLayer, ["key"]),
    "two keys": (RedisChannelLayer, ["new", "old"]),
    "overridden": (Reversing, None),
    "overridden, one key": (Reversing, ["key"]),
}


@contextlib.contextmanager
def codec_layer(codec, shards=1):
    """A layer for one example, with one of ``CODECS``."""
    cls, keys = CODECS[codec]
    with making_layers(shards) as make:
        yield make(cls, symmetric_encryption_keys=keys)


# Messages.


def same(one, other):
    """Whether two values are equal to the types of what is in them: 1 is neither True nor 1.0, and NaN is NaN."""
    if isinstance(one, six.integer_types) and not isinstance(one, bool):
        return isinstance(other, six.integer_types) and not isinstance(other, bool) and one == other
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        # Python 2 takes b"a" for "a".
        kinds = [{(type(key), key) for key in value} for value in (one, other)]
        return kinds[0] == kinds[1] and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return struct.pack(str(">d"), one) == struct.pack(str(">d"), other) if isinstance(one, float) else one == other


def inside(scalars):
    """``scalars``, also in lists and dicts, and those in one another."""
    keys = st.one_of(st.text(), st.just("__asgi_channel__"))
    return st.recursive(scalars, lambda values: st.one_of(st.lists(values), st.dictionaries(keys, values)), max_leaves=15)


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-2 ** 63, 2 ** 64 - 1), st.floats(), st.text(), st.binary(),
    st.sampled_from([-2 ** 63, 2 ** 63, 2 ** 64 - 1, -0.0, "\x00", b"\xff" * 70000, "\u20ac" * 300]),
)
messages = st.dictionaries(st.text(), inside(scalars)).filter(lambda message: "__asgi_channel__" not in message)

words = st.text(LETTERS, min_size=1, max_size=20)
channels = st.one_of(words, st.tuples(words, st.sampled_from("?!"), words).map("".join))


def queue_of(channel):
    return channel.partition("!")[0] + "!" if "!" in channel else channel


@pytest.mark.parametrize("codec", sorted(CODECS))
@given(message=messages, channel=channels, shards=st.integers(1, 3), block=st.booleans())
def test_a_message_arrives_as_it_was_sent(codec, message, channel, shards, block):
    with codec_layer(codec, shards) as layer:
        layer.send(channel, message)
        found, received = layer.receive([queue_of(channel)], block)
        assert found == channel and same(received, message)
        assert layer.receive([queue_of(channel)]) == (None, None)


@pytest.mark.parametrize("codec", sorted(CODECS))
@examples(0.5)
@given(
    message=messages, members=st.sets(channels, min_size=1, max_size=6), mates=st.sets(words, max_size=5),
    announced=st.booleans(), shards=st.integers(1, 3), block=st.booleans(), random=st.random_module(),
)
def test_a_message_arrives_at_each_member_of_a_group(codec, message, members, mates, announced, shards, block, random):
    members = members | {"process!" + mate for mate in mates}
    queues = {queue_of(member) for member in members}
    with codec_layer(codec, shards) as layer:
        for member in members:
            layer.group_add("crowd", member)
        if announced:
            assert layer.receive(queues) == (None, None)
        layer.send_group("crowd", message)
        got = []
        for _ in members:
            channel, received = layer.receive(queues, block)
            assert same(received, message)
            received.clear()  # the others must not notice
            got.append(channel)
        assert sorted(got) == sorted(members)
        assert layer.receive(queues) == (None, None)
