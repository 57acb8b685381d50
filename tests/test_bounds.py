"""Lives, lengths and sizes that have a bound, and reports that come whatever happens."""
from __future__ import unicode_literals

import logging
import re

import msgpack
import pytest
import redis
from redis.exceptions import RedisError

from asgi_redis import RedisChannelLayer
from asgi_redis.delivery import inbox
from asgi_redis.server.keys import Keys
from asgi_redis.server.session import Session
from asgi_redis.tools.embedded import Server

from . import servers
from .faults.proxy import Proxy
from .patience import LONG_WAIT, clock_of, receive_within

# Sessions.


@pytest.mark.parametrize("expiry", [0.001, 60, 181, 3600, 86400])
def test_a_session_s_number_outlives_the_message_that_it_took_last(expiry):
    keys = Keys("asgi:", "asgi-meta:", expiry)
    oldest = Session(keys).life * 1000  # how long ago it was set anew, at most
    assert keys.session_ms - oldest >= keys.message_ms


# Batches in memory.


def join(layer, *channels):
    for channel in channels:
        layer.group_add("crowd", channel)


def test_members_of_a_batch_live_no_longer_than_its_message(layer, client, monkeypatch):
    let_pass = clock_of(inbox, monkeypatch)
    layer.receive(["process!"])
    join(layer, "process!a", "process!b", "process!c")
    layer.send_group("crowd", {"n": 1})
    [message_key] = client.lrange(layer.prefix + "process!", 0, -1)
    client.pexpire(message_key, 20000)  # as if it had waited for 40 seconds
    assert layer.receive(["process!"])[1] == {"n": 1}
    let_pass(21)
    assert layer.receive(["process!"]) == (None, None)


class Slow(RedisChannelLayer):
    """Messages have expired by the time that they are unpacked."""

    def deserialize(self, message):
        client = servers.client_of(self)
        for key in client.scan_iter("*#taken"):
            if key.startswith(self.prefix.encode()):
                client.delete(key)
        return super(Slow, self).deserialize(message)


def test_members_of_a_batch_whose_message_has_just_expired_get_nothing(make_layer):
    other = make_layer()
    layer = Slow(hosts=other.hosts, prefix=other.prefix, stats_prefix=other.stats_prefix)
    layer.receive(["process!"])
    join(layer, "process!a", "process!b", "process!c")
    layer.send_group("crowd", {"n": 1})
    assert layer.receive(["process!"]) == ("process!a", {"n": 1})
    other.send("process!d", {"n": 2})
    # At once: the rest of the batch is not even looked at.
    assert layer.receive(["process!"]) == ("process!d", {"n": 2})
    assert layer.receive(["process!"]) == (None, None)


class Failing(RedisChannelLayer):
    """Unpacks the first message that has "fails" in it, and refuses those that follow."""

    unpacked = 0

    def deserialize(self, message):
        message = super(Failing, self).deserialize(message)
        if "fails" in message:
            self.unpacked += 1
            if self.unpacked > 1:
                raise ValueError("refused")
        return message


def check_dropped_once(layer, caplog):
    """Receive the rest of a batch of five, and what is behind it. If any of it was dropped, one line says so."""
    layer.send("process!a", {"after": True})
    found = []
    with caplog.at_level(logging.ERROR, "asgi_redis"):
        while ("process!a", {"after": True}) not in found and len(found) < 20:
            found.append(layer.receive(["process!"]))
    assert found[-1] == ("process!a", {"after": True})
    assert layer.receive(["process!"]) == (None, None)
    lost = 4 - len([name for name, message in found if message and message != {"after": True}])
    assert [re.search("Dropped ([0-9]+) messages on process!", record.getMessage()).group(1)
            for record in caplog.records] == ([str(lost)] if lost else [])
    assert layer._parts.statistics.dropped("process!") == lost


def test_a_batch_that_can_not_be_unpacked_again_is_dropped_and_logged_once(make_layer, caplog):
    other = make_layer()
    layer = Failing(hosts=other.hosts, prefix=other.prefix, stats_prefix=other.stats_prefix)
    layer.receive(["process!"])
    join(layer, *["process!%d" % number for number in range(5)])
    layer.send_group("crowd", {"fails": True})
    assert layer.receive(["process!"]) == ("process!0", {"fails": True})
    check_dropped_once(layer, caplog)


def test_a_batch_whose_encryption_is_too_old_to_unpack_again_is_dropped_and_logged_once(
    make_layer, client, caplog, wall_clock
):
    class Own(RedisChannelLayer):
        def deserialize(self, message):
            return super(Own, self).deserialize(message)

    other = make_layer()
    layer = Own(
        hosts=other.hosts, prefix=other.prefix, stats_prefix=other.stats_prefix, symmetric_encryption_keys=["key"]
    )
    names = ["process!%d" % number for number in range(5)]
    packed = msgpack.packb({"n": 1, "__asgi_channel__": names}, use_bin_type=True)
    # From a sender whose clock is slow: it is accepted for another second, by the clocks.
    wall_clock(1 - (layer.expiry + 10))
    body = layer.make_fernet("key").encrypt(packed)
    wall_clock(0)
    client.set(layer.prefix + "0" * 32, body, ex=60)
    client.rpush(layer.prefix + "process!", layer.prefix + "0" * 32)
    assert layer.receive(["process!"]) == ("process!0", {"n": 1})
    wall_clock(2)
    check_dropped_once(layer, caplog)


# What is noted in Redis.


def size(client, key):
    """How many elements, or bytes of a string, are in ``key``."""
    kind = client.type(key).decode("ascii")
    measure = {
        "string": client.strlen, "list": client.llen, "hash": client.hlen, "set": client.scard, "zset": client.zcard,
    }
    return measure[kind](key) if kind in measure else 0


@pytest.mark.parametrize("send", [
    lambda layer: layer.send("normal", {}),
    lambda layer: layer.send("process!x", {}),
    lambda layer: layer.send_group("crowd", {}),
], ids=["normal", "process-specific", "group"])
def test_what_is_noted_stays_small_however_much_is_sent(make_layer, client, send):
    layer = make_layer()
    layer.receive(["normal", "process!"])
    join(layer, "normal", "process!x")
    queues = [layer.prefix + "normal", layer.prefix + "process!"]
    for _ in range(3000):
        send(layer)
        client.delete(*queues)  # always empty
    noted = [
        key for prefix in (layer.prefix, layer.stats_prefix) for key in client.scan_iter(prefix + "*")
        if b"#" in key and not key.endswith((b":messages_count", b":channel_full_count"))
    ]
    sizes = {key: size(client, key) for key in noted}
    assert len(sizes) < 20
    assert {key: length for key, length in sizes.items() if length >= 1000} == {}


# Group sends.


@pytest.mark.parametrize("names", [
    ["process%d!x" % number for number in range(16)],
    ["process%d!%s" % (number // 2, "ab"[number % 2]) for number in range(16)],
    ["reader?%d" % number for number in range(16)],
], ids=["processes", "members of processes", "single readers"])
def test_a_group_send_of_large_bodies_is_split_into_commands_of_some_megabytes(names):
    with Server() as server:
        proxy = Proxy(server.port).start()
        try:
            url = "redis://127.0.0.1:%d/0" % proxy.port
            # A busy machine takes its time over 16 MB.
            layer = RedisChannelLayer(hosts=[url], connection_kwargs={"socket_timeout": LONG_WAIT})
            queues = {name.split("!")[0] + "!" if "!" in name else name for name in names}
            layer.receive(queues)
            join(layer, *names)
            layer.send_group("crowd", {"body": b"x" * 1000000})
            longest = max(link.requests.longest for link in proxy.links)
            assert 1000000 < longest < 7000000
            found = receive_within(layer, queues, count=16)
            assert sorted(name for name, _ in found) == sorted(names)
        finally:
            proxy.stop()


def test_dropped_messages_of_a_group_are_reported_though_another_shard_fails(caplog):
    with Server() as first, Server() as second:
        layer = RedisChannelLayer(hosts=[first.url, second.url], capacity=1)
        channels = {0: [], 1: []}
        number = 0
        while min(map(len, channels.values())) < 3:
            number += 1
            channels[layer.consistent_hash("reader?%d" % number)].append("reader?%d" % number)
        group = next(name for name in map("crowd{}".format, range(100)) if layer.consistent_hash(name) == 0)
        for name in channels[0][:3]:
            layer.group_add(group, name)
            layer.send(name, {})
        layer.group_add(group, channels[1][0])
        second.kill()
        with caplog.at_level(logging.WARNING, "asgi_redis"):
            with pytest.raises(RedisError):
                layer.send_group(group, {})
        client = redis.StrictRedis.from_url(first.url)
        counters = [client.get("asgi-meta:%s:channel_full_count" % name) for name in channels[0][:3]]
        assert counters == [b"1"] * 3
        assert client.get("asgi-meta:#global#:channel_full_count") == b"3"
        for name in channels[0][:3]:
            assert [record for record in caplog.records if name in record.getMessage()]
