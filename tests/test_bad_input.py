"""Bad names and messages are refused before anything is sent; bad bodies are dropped."""
from __future__ import unicode_literals

import collections
import datetime
import logging

import msgpack
import pytest
import six

from . import servers

GOOD = ["a", "http.request", "A-Z_0.9", "reader?x", "process!x", "process!", "x" * 99]
BAD = ["", "a b", "a\n", "\u00e9", "a!\u00e9", "a?b?c", "a!b!c", "a?", "!a", "?a", "#global#", "x" * 100, b"a", None, 7]


@pytest.mark.parametrize("name", GOOD)
def test_good_channel_names(layer, name):
    layer.send(name, {"n": 1})
    layer.group_add("crowd", name)


@pytest.mark.parametrize("name", BAD)
def test_bad_channel_names(layer, name):
    for call in (
        lambda: layer.send(name, {}),
        lambda: layer.receive([name]),
        lambda: layer.group_add("crowd", name),
        lambda: layer.group_discard("crowd", name),
        lambda: layer.channel_statistics(name),
    ):
        with pytest.raises(TypeError) as raised:
            call()
        # Any code that is given None or a number raises some TypeError; this must be the layer's.
        assert "channel name" in str(raised.value)


@pytest.mark.parametrize("name", ["", "a b", "a!b", "a?b", "a\n", "\u00e9", "x" * 100, b"crowd", None, 7])
def test_bad_group_names(layer, name):
    for call in (
        lambda: layer.group_add(name, "a"),
        lambda: layer.group_discard(name, "a"),
        lambda: layer.group_channels(name),
        lambda: layer.send_group(name, {}),
    ):
        with pytest.raises(TypeError) as raised:
            call()
        assert "group name" in str(raised.value)


@pytest.mark.parametrize("channels", ["abc", b"abc", "", None, 7, ["process!x"], ["good", "b ad"]])
def test_bad_lists_of_channels(layer, channels):
    for block in (False, True):
        with pytest.raises(TypeError):
            layer.receive(channels, block)


@pytest.mark.parametrize("pattern", ["a", "a!", "?", "a b?", "x" * 95 + "?", b"a?", None])
def test_bad_patterns_for_new_channels(layer, pattern):
    with pytest.raises(TypeError):
        layer.new_channel(pattern)


@pytest.mark.parametrize("message", [None, [], "text", b"bytes", 7, [("a", 1)]])
def test_a_message_that_is_not_a_dict(layer, message):
    layer.group_add("crowd", "normal")
    for send in (lambda: layer.send("normal", message), lambda: layer.send_group("crowd", message)):
        with pytest.raises(TypeError) as raised:
            send()
        assert "must be a dict" in str(raised.value)


def test_a_message_with_the_key_of_the_layer(layer):
    layer.group_add("crowd", "normal")
    for send in (lambda m: layer.send("normal", m), lambda m: layer.send_group("crowd", m)):
        with pytest.raises(ValueError) as raised:
            send({"__asgi_channel__": "normal"})
        assert "__asgi_channel__" in str(raised.value)


def recursive():
    message = {}
    message["itself"] = message
    return message


Point = collections.namedtuple(str("Point"), "x y")


class Hashable(list):
    def __hash__(self):
        return 1


UNPACKABLE = [
    ({"when": [datetime.datetime(2020, 1, 2)]}, "datetime"),
    ({"secret": {"set": {"s3cr3t"}}}, "set"),
    ({datetime.date(2020, 1, 2): 1}, "date"),
    ({"secret": object()}, "object"),
    ({"n": [2 ** 64]}, "64 bits"),
    ({-2 ** 63 - 1: "s3cr3t"}, "beyond 64 bits"),
    ({("s3cr3t", 1): 1}, "tuple"),
    ({"list": [{"nested": {("s3cr3t",): 1}}]}, "tuple can't be the key"),
    ({Point("s3cr3t", 1): 1}, "Point"),
    ({Hashable(["s3cr3t"]): 1}, "Hashable"),
    (recursive(), "nested too deeply"),
]
if six.PY3:
    UNPACKABLE.append(({"s3cr3t": "\ud800"}, "Unicode"))


@pytest.mark.parametrize("message, words", UNPACKABLE, ids=[words for _, words in UNPACKABLE])
@pytest.mark.parametrize("keys", [None, ["key"]], ids=["plain", "encrypted"])
def test_a_message_that_can_not_be_packed(make_layer, client, message, words, keys):
    layer = make_layer(symmetric_encryption_keys=keys)
    layer.group_add("crowd", "process!x")
    for send, name in (
        (lambda: layer.send("normal", message), "normal"),
        (lambda: layer.send_group("crowd", message), "crowd"),
        (lambda: layer.send_group("nobody", message), "nobody"),
    ):
        with pytest.raises(TypeError) as raised:
            send()
        assert name in str(raised.value) and words in str(raised.value)
        assert "s3cr3t" not in str(raised.value)
    assert layer.global_statistics()["messages_count"] == 0
    assert [key for key in client.keys("*") if b"normal" in key or b"process" in key] == []


@pytest.mark.parametrize("key", [
    "a", b"a", "\u00e9", 7, -7, 2 ** 64 - 1, 0.5, None, True, msgpack.ExtType(5, b"a"),
])
def test_other_keys_arrive_as_they_were_sent(layer, key):
    message = {"list": [{"nested": {key: 1}}], key: 2}
    layer.send("normal", message)
    _, received = layer.receive(["normal"])
    assert received == message
    assert [type(name) for name in received["list"][0]["nested"]] == [type(key)]


def push(layer, body, queue="normal"):
    """Put a body that nobody should have sent into a queue."""
    client = servers.client_of(layer)
    key = "%s%032x" % (layer.prefix, client.incr(layer.stats_prefix + "pushed"))
    client.set(key, body, ex=60)
    client.rpush(layer.prefix + queue, key)


@pytest.mark.parametrize("body", [
    b"", b"\xc1", b"\x80\x80", b"\x93\x01\x02\x03", b"\x07", b"\xdb\xff\xff\xff\xff", b"\x91" * 10000 + b"\x80",
    b"\x81\xa3s3c\xa2\xff\xfe", b"\x81\xb0__asgi_channel__\x07", b"\x81\xb0__asgi_channel__\xa3b!x", b"\x80 s3cr3t",
])
@pytest.mark.parametrize("block", [False, True])
def test_a_bad_body_is_logged_and_dropped_and_the_next_message_found(layer, caplog, body, block):
    push(layer, body)
    layer.send("normal", {"n": 1})
    with caplog.at_level(logging.ERROR, "asgi_redis"):
        assert layer.receive(["normal"], block) == ("normal", {"n": 1})
    assert len(caplog.records) == 1
    assert "normal" in caplog.text and "s3c" not in caplog.text


def test_a_subclass_may_bring_its_own_serialization(make_layer):
    from asgi_redis import RedisChannelLayer

    class Reversing(RedisChannelLayer):
        def serialize(self, message):
            return super(Reversing, self).serialize(message)[::-1]

        def deserialize(self, message):
            return super(Reversing, self).deserialize(message[::-1])

    other = make_layer()
    layer = Reversing(hosts=other.hosts, prefix=other.prefix, stats_prefix=other.stats_prefix)
    layer.group_add("crowd", "process!x")
    layer.send("process!x", {"n": 1})
    layer.send_group("crowd", {"n": 2})
    assert layer.serialize({"n": 1}) == b"\x01n\xa1\x81"
    assert [layer.receive(["process!"]) for _ in range(2)] == [("process!x", {"n": 1}), ("process!x", {"n": 2})]
