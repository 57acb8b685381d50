"""Lost replies and servers that hang for a while: every message is received, once, in order."""
from __future__ import unicode_literals

import collections
import signal
import time

import pytest
from redis.exceptions import ConnectionError, RedisError, TimeoutError

from asgi_redis import RedisChannelLayer
from asgi_redis.delivery import pops as pops_module
from asgi_redis.delivery.pops import OpenPop
from asgi_redis.server import times
from asgi_redis.tools.embedded import Server

from . import servers
from .faults.proxy import Cut, Hold, Pass, Proxy
from .patience import AT_ONCE, clock_of, hurry, hurry_pops
from .test_blocking import Reader, wait_until_blocked
from .troubles import Stopped

pytestmark = pytest.mark.usefixtures("hurried_outages")


@pytest.fixture
def server():
    with Server() as server:
        yield server


@pytest.fixture
def proxy(server):
    proxy = Proxy(server.port)
    proxy.start()
    yield proxy
    proxy.stop()


@pytest.fixture
def direct(server):
    """A layer that reaches the server without the proxy."""
    return RedisChannelLayer(hosts=[server.url])


@pytest.fixture
def layer(proxy):
    """A layer behind the proxy, with its connection made."""
    layer = RedisChannelLayer(hosts=["redis://127.0.0.1:%d/0" % proxy.port])
    layer.receive(["warm-up"])
    return layer


def lose_replies(proxy, layer, channels):
    """Receive, with all replies lost."""
    proxy.mode = Cut(1)
    with pytest.raises((ConnectionError, TimeoutError)):
        layer.receive(channels)
    proxy.mode = Pass()
    servers.eventually(lambda: is_available(layer), "the shard is available again")


def is_available(layer):
    try:
        return layer.group_channels("crowd") is not None
    except RedisError:
        return False


def receive_when_available(layer, channels):
    servers.eventually(lambda: is_available(layer), "the shard is available again")
    return layer.receive(channels)


@pytest.mark.parametrize("channels", [["normal"], ["other", "normal"]])
def test_a_message_whose_reply_was_lost_is_returned_by_the_next_receive(proxy, layer, direct, channels):
    for number in range(3):
        direct.send("normal", {"n": number})
    lose_replies(proxy, layer, channels)
    assert [layer.receive(channels)[1]["n"] for _ in range(3)] == [0, 1, 2]
    assert layer.receive(channels) == (None, None)


@pytest.mark.parametrize("channels", [["normal"], ["other", "normal"]])
def test_a_receive_is_repeated_and_gets_the_message_whose_reply_was_lost(proxy, layer, direct, channels):
    for number in range(3):
        direct.send("normal", {"n": number})

    class CutOnce(Cut):
        """Swallows the first reply that has a message."""

        def answer(self, link, data):
            return super(CutOnce, self).answer(link, data) if not self.swallowed and b"\xa1n" in data else data

    cut = proxy.mode = CutOnce(1)
    assert [layer.receive(channels)[1]["n"] for _ in range(3)] == [0, 1, 2]
    assert sum(cut.swallowed.values()) == 1
    assert layer.receive(channels) == (None, None)


def test_it_goes_back_to_its_queue_also_where_the_next_receive_is_for_another(proxy, layer, direct):
    direct.send("process!x", {"n": 0})
    lose_replies(proxy, layer, ["process!"])
    assert layer.receive(["other"]) == (None, None)
    assert direct.receive(["process!"]) == ("process!x", {"n": 0})


def test_a_blocking_receive_gets_it_by_itself(proxy, layer, direct):
    direct.send("normal", {"n": 0})
    cut = proxy.mode = Cut(1)
    reader = Reader(layer, ["normal"])
    servers.eventually(lambda: cut.swallowed, "a reply is swallowed")
    proxy.mode = Pass()
    reader.join()
    assert reader.found == ("normal", {"n": 0})
    assert layer.receive(["normal"]) == (None, None)


def test_what_a_reader_got_does_not_come_again(proxy, layer, direct):
    direct.send("normal", {"n": 0})
    assert layer.receive(["normal"])[1] == {"n": 0}
    lose_replies(proxy, layer, ["normal"])
    assert layer.receive(["normal"]) == (None, None)


def test_a_receive_that_reaches_the_server_late_takes_nothing(proxy, layer, direct):
    hurry(layer, reply=0.2)
    layer.receive(["normal"])
    held = proxy.mode = Hold()
    with pytest.raises(TimeoutError):
        layer.receive(["normal"])
    proxy.mode = Pass()
    assert receive_when_available(layer, ["normal"]) == (None, None)
    direct.send("normal", {"n": 0})
    client = direct.connection(0)
    before = servers.calls(client)["eval"]
    held.let_go()
    servers.eventually(lambda: servers.calls(client)["eval"] > before, "the late call is made")
    assert layer.receive(["normal"]) == ("normal", {"n": 0})


@pytest.mark.parametrize("send", [
    lambda layer: layer.send("normal", {"n": 0}),
    lambda layer: layer.send("process!x", {"n": 0}),
    lambda layer: layer.send_group("crowd", {"n": 0}),
    lambda layer: layer.return_message("normal", {"n": 0}),
], ids=["normal", "process-specific", "group", "put back"])
def test_a_send_whose_reply_was_lost_is_not_sent_twice(proxy, layer, direct, send):
    direct.group_add("crowd", "normal")
    direct.group_add("crowd", "process!x")
    received = []

    class CutOnce(Cut):
        """Swallows the first reply to a send, and receives its message before it closes the connection."""

        def answer(self, link, data):
            found = [] if received else receive_all(direct)
            received.extend(found)
            return super(CutOnce, self).answer(link, data) if found else data

    cut = proxy.mode = CutOnce(1)
    send(layer)
    assert sum(cut.swallowed.values()) == 1
    proxy.mode = Pass()
    send(layer)
    received += receive_all(direct)
    assert received and set(collections.Counter(received).values()) == {2}


def receive_all(layer):
    """The channels of all messages that are there."""
    return [channel for channel, _ in iter(lambda: layer.receive(["normal", "process!"]), (None, None))]


# A server that stops, and goes on.


needs_stop = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="Windows can't stop a process")


@needs_stop
def test_a_send_to_a_server_that_has_stopped_raises_in_time(server, direct):
    direct.send("normal", {"n": 0})
    with Stopped(server):
        begun = time.time()
        with pytest.raises(RedisError):
            direct.send("normal", {"n": 1})
        assert 2 <= time.time() - begun < AT_ONCE
    found = [message["n"] for _, message in iter(lambda: receive_when_available(direct, ["normal"]), (None, None))]
    assert found in ([0], [0, 1])


@needs_stop
def test_a_shard_that_has_stopped_is_noticed_and_the_others_are_read(server, direct, monkeypatch):
    with Server() as other:
        layer = RedisChannelLayer(hosts=[server.url, other.url])
        layer.blpop_timeout = 1
        hurry(layer, reply=0.5)
        hurry_pops(monkeypatch)
        alone = RedisChannelLayer(hosts=[other.url], capacity=1000)
        reader = Reader(layer, ["normal"])
        wait_until_blocked(layer, 2)
        with Stopped(server):
            alone.send("normal", {"n": 0})
            reader.join()
            assert reader.found == ("normal", {"n": 0})
            layer.receive(["normal"], block=True)  # notices
            begun = time.time()
            for number in range(60):
                alone.send("normal", {"n": number})
                assert layer.receive(["normal"], block=True) == ("normal", {"n": number})
            assert time.time() - begun < AT_ONCE  # less than half a second each, which it takes to notice
            direct_reader = Reader(layer, ["normal"])
        direct.send("normal", {"n": 11})
        direct_reader.join()
        assert direct_reader.found == ("normal", {"n": 11})


@needs_stop
def test_what_a_stopped_server_pops_when_it_goes_on_is_received(server, direct):
    with Server() as other:
        layer = RedisChannelLayer(hosts=[server.url, other.url])
        alone = RedisChannelLayer(hosts=[other.url])
        reader = Reader(layer, ["normal"])
        wait_until_blocked(layer, 2)
        sender = direct.connection(0).connection_pool.make_connection()
        sender.connect()
        with Stopped(server):
            # It is in the server's hands before the reader gives its blocking pop up.
            key = "asgi:%032x" % 1
            sender.send_command(str("SET"), key, direct.serialize({"n": 1}), "EX", 60)
            sender.send_command(str("RPUSH"), "asgi:normal", key)
            alone.send("normal", {"n": 0})
            reader.join()
            assert reader.found == ("normal", {"n": 0})
        assert layer.receive(["normal"], block=True) == ("normal", {"n": 1})


@needs_stop
def test_what_could_not_be_put_back_is_put_back_later(server, direct):
    hurry(direct, reply=0.3)
    shard, pops = direct._parts.shards[0], direct._parts.pops
    entry = pops.start(shard, [b"asgi:normal"], 5)
    RedisChannelLayer(hosts=[server.url]).send("normal", {"n": 1})
    RedisChannelLayer(hosts=[server.url]).send("normal", {"n": 2})
    pops.result(entry)
    with Stopped(server):
        pops.leave([entry])
    assert [receive_when_available(direct, ["normal"])[1]["n"] for _ in range(2)] == [1, 2]
    assert not pops.entries


def test_what_several_lost_pops_had_popped_goes_back_in_order(direct, monkeypatch):
    let_pass = clock_of(pops_module, monkeypatch)
    for number in range(3):
        direct.send("normal", {"n": number})
    for _ in range(3):
        assert direct.connection(0).lpop("asgi:normal")
    shard, pops = direct._parts.shards[0], direct._parts.pops
    pops._add(OpenPop(shard, [b"asgi:normal"], 0))
    for _ in range(2):  # they are found, and found again a second later
        pops.settle(shard)
        let_pass(2 * times.MISSING_FOR)
    assert [direct.receive(["normal"])[1]["n"] for _ in range(3)] == [0, 1, 2]


# Out of memory.


@pytest.mark.parametrize("channel", ["normal", "reader?x", "process!x"])
def test_messages_are_received_where_the_server_is_out_of_memory(server, channel):
    layer = RedisChannelLayer(hosts=[server.url], capacity=10 ** 6)
    receivable = channel.split("!")[0] + "!" if "!" in channel else channel
    layer.receive([receivable])
    layer.send(channel, {"n": 1})
    layer.send(channel, {"n": 2})
    client = layer.connection(0)
    client.config_set("maxmemory", 1)
    with pytest.raises(RedisError):
        layer.send("normal", {})
    reader = Reader(layer, [receivable])
    reader.join()
    assert (reader.found, reader.error) == ((channel, {"n": 1}), None)
    assert layer.receive([receivable]) == (channel, {"n": 2})
    client.config_set("maxmemory", 0)
    layer.send(channel, {"n": 3})
    pops = layer._parts.pops
    entry = pops.start(layer._parts.shards[0], [(layer.prefix + receivable).encode("ascii")], 5)
    assert pops.result(entry)
    client.config_set("maxmemory", 1)
    pops.leave([entry])
    assert layer.receive([receivable]) == (channel, {"n": 3})


# A blocking pop whose connection breaks with the reply.


@pytest.mark.parametrize("send", [
    lambda layer: layer.send("normal", {"n": 0}),
    lambda layer: layer.send("process!x", {"n": 0}),
    lambda layer: layer.send_group("crowd", {"n": 0}),
], ids=["normal", "process-specific", "group"])
def test_what_a_blocking_pop_took_is_found_again(proxy, layer, direct, send):
    for name in ("process!x", "process!y"):
        direct.group_add("crowd", name)

    class CutPop(Cut):
        """Swallows the reply to a blocking pop that has popped something."""

        def answer(self, link, data):
            found = link.requests.last == b"BLPOP" and data.startswith(b"*2")
            return super(CutPop, self).answer(link, data) if found else data

    cut = proxy.mode = CutPop(1)
    reader = Reader(layer, ["normal", "process!"])
    wait_until_blocked(direct, 1)
    send(direct)
    reader.join()
    assert cut.messages == 1
    assert (reader.found[1], reader.error) == ({"n": 0}, None)
    proxy.mode = Pass()
    rest = receive_all(layer) + receive_all(direct)
    assert rest in ([], ["process!y"])


def test_what_waits_or_was_received_is_not_put_back(direct, monkeypatch):
    monkeypatch.setattr(times, "MISSING_FOR", 0)
    for number in range(3):
        direct.send("normal", {"n": number})
    assert direct.receive(["normal"])[1] == {"n": 0}
    shard, pops = direct._parts.shards[0], direct._parts.pops
    for _ in range(3):
        pops._add(OpenPop(shard, [b"asgi:normal"], 0))
        pops.settle(shard)
    assert [direct.receive(["normal"])[1] for _ in range(3)] == [{"n": 1}, {"n": 2}, None]


def test_a_message_is_noted_for_as_long_as_it_lives(make_layer, client):
    layer = make_layer()
    for _ in range(2):
        layer.send("normal", {"n": 1})
        layer.receive(["normal"])
        assert 50000 < client.pttl(layer.prefix + "normal#noted") <= 61000
        client.pexpire(layer.prefix + "normal#noted", 30000)
