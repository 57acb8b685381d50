"""Replies that are lost in ways of their own, and what must come of the messages in them: received, once."""
from __future__ import unicode_literals

import collections
import threading
import time

import pytest
import redis
import six

from asgi_redis import RedisChannelLayer
from asgi_redis.delivery import receiver
from asgi_redis.delivery.pops import OpenPop
from asgi_redis.server import scripts, times
from asgi_redis.tools.embedded import Server

from . import patience, servers
from .faults.proxy import Delay, Hold, Pass, Proxy, brings_message
from .patience import AT_ONCE, attempt, receive_within, until
from .test_blocking import Reader, wait_until_blocked

#: What a proxy knows the message by.
MARK = b"precious"
MESSAGE = {"text": MARK.decode("ascii")}

#: A message whose body does not pass through a script, and how the command that stores it begins.
LARGE = {"text": "x" * 70000}
SET = b"*5\r\n$3\r\nSET\r\n"


@pytest.fixture
def server():
    with Server() as server:
        yield server


@pytest.fixture
def client(server):
    return redis.StrictRedis.from_url(server.url)


@pytest.fixture
def make_proxied(server):
    """Makes (proxy, a layer behind it, connected): ``make_proxied(**arguments)``."""
    proxies = []

    def make(**arguments):
        proxies.append(Proxy(server.port).start())
        layer = RedisChannelLayer(hosts=["redis://127.0.0.1:%d/0" % proxies[-1].port], **arguments)
        layer.receive(["warm-up"])
        return proxies[-1], layer

    yield make
    for proxy in proxies:
        proxy.mode = Pass()
        proxy.stop()


@pytest.fixture
def direct(server):
    """A layer that reaches the server without a proxy."""
    return RedisChannelLayer(hosts=[server.url])


class Gate(Pass):
    """``reached``: it has something in its hands; ``open()`` lets that, and all that follows, go on."""

    def __init__(self):
        self.reached = threading.Event()
        self._open = threading.Event()

    def open(self):
        self._open.set()

    def wait(self):
        self.reached.set()
        self._open.wait(20)


class HoldMessages(Gate):
    """Holds the replies that have the message in them."""

    def answer(self, link, data):
        if MARK in data:
            self.wait()
        return data


class HoldFirstAndLoseMessages(Gate):
    """Holds the replies of the first link on which one comes; on others, swallows those with the message, and cuts."""

    def __init__(self):
        super(HoldFirstAndLoseMessages, self).__init__()
        self.first = None
        self.lost = 0

    def answer(self, link, data):
        self.first = self.first or link
        if self.first is link:
            self.wait()
        elif MARK in data:
            self.lost += 1
            link.close()
            return b""
        return data


class HoldFirst(Gate):
    """Holds the first request in which there is ``mark``; its client tries again on another link."""

    def __init__(self, mark):
        super(HoldFirst, self).__init__()
        self.mark = mark

    def request(self, link, data):
        if self.mark in data and not self.reached.is_set():
            self.wait()
        return data


class LoseFirst(Pass):
    """Swallows the first reply that is ``lost``, and cuts, after ``act()``."""

    def __init__(self, lost, act):
        self.lost = lost
        self.act = act
        self.has_lost = False

    def answer(self, link, data):
        if data != self.lost or self.has_lost:
            return data
        self.has_lost = True
        self.act()
        link.close()
        return b""


class LoseMessages(Pass):
    """Swallows the replies with the message, and cuts."""

    def answer(self, link, data):
        if MARK not in data:
            return data
        link.close()
        return b""


class LosePop(Pass):
    """Swallows the first reply of a blocking pop that brings a message, and cuts."""

    def __init__(self):
        self.lost = threading.Event()

    def answer(self, link, data):
        if self.lost.is_set() or link.requests.last != b"BLPOP" or not brings_message(data):
            return data
        self.lost.set()
        link.close()
        return b""


class CutAfterPop(Pass):
    """
    Passes the reply of a blocking pop that brings a message; whatever is asked after that is cut: ``refused`` requests.
    """

    def __init__(self):
        self.popped = threading.Event()
        self.refused = 0

    def request(self, link, data):
        if not self.popped.is_set():
            return data
        self.refused += 1
        link.close()
        return b""

    def answer(self, link, data):
        if link.requests.last == b"BLPOP" and brings_message(data):
            self.popped.set()
        return data


class LosePopAndCut(CutAfterPop):
    """Swallows also the reply of that pop."""

    def answer(self, link, data):
        super(LosePopAndCut, self).answer(link, data)
        if not self.popped.is_set():
            return data
        link.close()
        return b""


def end(thread):
    """Wait until a thread ends."""
    thread.join(20)
    assert not thread.is_alive()


def found_by(reader):
    """The messages that a Reader has received: a list of one or none."""
    end(reader)
    return [reader.found] if reader.found and reader.found[0] else []


def push(client, channel, message_key, layer):
    """Send as release 1.4.3 does, which leaves no note beside the queue."""
    with client.pipeline() as pipe:
        pipe.set(layer.prefix + message_key, layer.serialize(MESSAGE), ex=60)
        pipe.rpush(layer.prefix + channel, layer.prefix + message_key)
        pipe.execute()


# A call that is repeated, and whose first try then arrives late.


@pytest.fixture
def call_late(client, monkeypatch):
    """
    ``call_late(proxy, layer, mark, call, meanwhile)``: return what ``call()`` returns. The network holds the first
    request in which there is ``mark``, and delivers it after ``meanwhile()``.
    """
    monkeypatch.setattr(times, "RETRY_FOR", 10)

    def call_late(proxy, layer, mark, call, meanwhile):
        patience.hurry(layer)
        layer.group_channels("crowd")  # connected
        held = proxy.mode = HoldFirst(mark)
        returned = call()
        assert held.reached.is_set()
        meanwhile()
        before = executed()
        held.open()
        until(lambda: executed() > before, "the first try arrives")
        return returned

    def executed():
        calls = servers.calls(client)
        return calls["eval"] + calls["set"]

    return call_late


@pytest.mark.parametrize("expired", [0, 1], ids=["nothing waited", "an expired message waited"])
def test_a_receive_that_found_nothing_takes_nothing_if_it_arrives_late(
    make_proxied, direct, client, call_late, monkeypatch, expired
):
    monkeypatch.setattr(receiver, "DROPPED_AT_ONCE", 1)
    proxy, layer = make_proxied()
    for _ in range(expired):
        client.rpush("asgi:normal", "asgi:%032x" % 1)
    found = call_late(
        proxy, layer, scripts.receive.by_digest, lambda: layer.receive(["normal"]),
        lambda: direct.send("normal", MESSAGE),
    )
    assert found == (None, None)
    layer.send("other", {"n": 1})
    assert direct.receive(["other"]) == ("other", {"n": 1})
    assert layer.receive(["other"]) == (None, None)
    assert direct.receive(["normal"]) == ("normal", MESSAGE)


@pytest.mark.parametrize("message", [MESSAGE, LARGE], ids=["small", "large"])
def test_a_send_to_a_full_channel_is_not_sent_if_it_arrives_late(make_proxied, direct, call_late, message):
    proxy, layer = make_proxied(capacity=1)
    direct.send("normal", {"n": 1})
    call_late(
        proxy, layer, scripts.send.by_digest, lambda: pytest.raises(layer.ChannelFull, layer.send, "normal", message),
        lambda: direct.receive(["normal"]),
    )
    assert direct.receive(["normal"]) == (None, None)
    layer.send("normal", message)
    assert [direct.receive(["normal"])[1] for _ in range(2)] == [message, None]


def test_a_send_to_a_full_channel_whose_reply_was_lost_raises_channel_full(make_proxied, direct):
    proxy, layer = make_proxied(capacity=1)
    direct.send("normal", {"n": 1})
    mode = proxy.mode = LoseFirst(b":0\r\n", lambda: direct.receive(["normal"]))
    with pytest.raises(layer.ChannelFull):
        layer.send("normal", MESSAGE)
    assert mode.has_lost
    assert direct.receive(["normal"]) == (None, None)
    layer.send("normal", MESSAGE)
    assert direct.receive(["normal"]) == ("normal", MESSAGE)


def test_a_large_body_that_arrives_late_is_not_received_again(make_proxied, direct, call_late, monkeypatch):
    monkeypatch.setattr(times, "MISSING_FOR", 0)
    proxy, layer = make_proxied()
    found = []
    call_late(
        proxy, layer, SET, lambda: layer.send("normal", LARGE), lambda: found.append(direct.receive(["normal"])),
    )
    assert found == [("normal", LARGE)]
    shard, pops = direct._parts.shards[0], direct._parts.pops
    pops._add(OpenPop(shard, [b"asgi:normal"], 0))  # as if a reply to a blocking pop had been lost
    for _ in range(3):
        pops.settle(shard)
    assert direct.receive(["normal"]) == (None, None)


def test_a_large_body_that_could_not_be_stored_was_certainly_not_sent(make_proxied, monkeypatch):
    monkeypatch.setattr(times, "IDLE_CHECK", 60)
    proxy, layer = make_proxied()
    patience.hurry(layer)
    patience.hurry_outages(monkeypatch)
    layer.send("normal", MESSAGE)
    held = proxy.mode = Hold()
    with pytest.raises(layer.ChannelFull) as raised:
        layer.send("normal", LARGE)
    held.let_go()
    assert isinstance(raised.value, redis.RedisError)


# A receive whose reply is lost.


def test_a_lost_reply_is_found_whoever_of_two_threads_came_back_first(make_proxied, direct):
    proxy, layer = make_proxied()
    mode = proxy.mode = HoldFirstAndLoseMessages()
    other = threading.Thread(target=attempt, args=(layer.receive, ["other"]))
    other.start()
    assert mode.reached.wait(AT_ONCE)
    direct.send("normal", MESSAGE)
    attempt(layer.receive, ["normal"])
    assert mode.lost
    proxy.mode = Pass()
    mode.open()
    end(other)
    assert receive_within(layer, ["normal"]) == [("normal", MESSAGE)]
    assert layer.receive(["normal"]) == (None, None)


def test_a_receive_that_the_network_held_for_longer_than_messages_live_takes_nothing(make_proxied, direct):
    proxy, layer = make_proxied(expiry=0.5)
    patience.hurry(layer)
    layer.receive(["normal"])
    held = proxy.mode = Hold()
    attempt(layer.receive, ["normal"])
    links = list(proxy.links)
    proxy.mode = Pass()
    until(lambda: attempt(layer.receive, ["normal"]) == (None, None), "the server is available")
    # Whatever lives as long as a message, or as its queue, is gone by then.
    time.sleep(1.8)
    direct.send("normal", MESSAGE)
    held.let_go()
    until(lambda: not proxy.links.intersection(links), "the held requests have reached the server, and were answered")
    assert receive_within(layer, ["normal"]) == [("normal", MESSAGE)]


# A blocking pop whose reply is lost.


def test_what_the_server_pops_for_a_client_that_has_gone_is_found(make_proxied, direct, monkeypatch):
    patience.hurry_pops(monkeypatch)
    proxy, layer = make_proxied()
    layer.blpop_timeout = 2
    reader = Reader(layer, ["normal"])
    wait_until_blocked(direct, 1)
    proxy.abandon()
    # The reader has seen the end, has looked, and waits again; but the server serves its first pop first.
    wait_until_blocked(direct, 1, count=2)
    direct.send("normal", MESSAGE)
    assert (found_by(reader) or receive_within(layer, ["normal"])) == [("normal", MESSAGE)]
    assert layer.receive(["normal"]) == (None, None)


def test_a_message_that_could_not_be_put_back_at_once_still_comes_before_later_ones(make_proxied, direct, monkeypatch):
    patience.hurry_outages(monkeypatch, repeat=0)
    proxy, layer = make_proxied()
    layer.blpop_timeout = 10
    reader = Reader(layer, ["reader?x"])
    wait_until_blocked(direct, 1)
    proxy.cut()  # what this pop may have taken is looked for again, a second later
    until(lambda: len(layer._parts.pops.entries) > 1, "it waits again")
    wait_until_blocked(direct, 1)
    mode = proxy.mode = LosePopAndCut()
    direct.send("reader?x", MESSAGE)
    assert mode.popped.wait(AT_ONCE)
    until(lambda: mode.refused > 3, "it could not be put back")
    direct.send("reader?x", {"text": "later"})
    proxy.mode = Pass()
    assert found_by(reader) == [("reader?x", MESSAGE)]
    assert layer.receive(["reader?x"]) == ("reader?x", {"text": "later"})


def test_what_a_reader_of_the_release_is_about_to_read_is_not_put_back(make_proxied, direct, client, monkeypatch):
    monkeypatch.setattr(times, "MISSING_FOR", 2.5)  # longer than this test takes until it deletes the message
    proxy, layer = make_proxied()
    layer.blpop_timeout = 2
    # Release 1.4.3 receives by three commands: BLPOP, GET and DEL.
    popped = []
    release = threading.Thread(target=lambda: popped.append(client.blpop([direct.prefix + "normal"], 10)))
    release.start()
    wait_until_blocked(direct, 1)
    reader = Reader(layer, ["normal"])
    wait_until_blocked(direct, 1, count=2)
    direct.send("normal", MESSAGE)
    end(release)
    (_, message_key), = popped
    body = client.get(message_key)
    proxy.cut()  # the reader's own pop may have taken something
    reader.join(0.4)
    client.delete(message_key)
    found = [("normal", direct.deserialize(body))] + found_by(reader)
    assert found + receive_within(layer, ["normal"], 3) == [("normal", MESSAGE)]


class Watcher(threading.Thread):
    """Looks at a queue all the time; ``most``: how often one message was in it at once."""

    def __init__(self, client, queue_key):
        super(Watcher, self).__init__()
        self.client, self.queue_key = client, queue_key
        self.most = 0
        self.goes_on = True
        self.start()

    def run(self):
        while self.goes_on:
            counts = collections.Counter(self.client.lrange(self.queue_key, 0, -1))
            self.most = max([self.most] + list(counts.values()))


@pytest.mark.parametrize("lose", [CutAfterPop, LosePop], ids=["reading it", "its reply"])
def test_several_threads_put_a_popped_message_back_once(make_proxied, direct, client, lose):
    proxy, layer = make_proxied(reconnect_timeout=1)
    layer.blpop_timeout = 1
    mode = proxy.mode = lose()
    reader = Reader(layer, ["normal"])
    wait_until_blocked(direct, 1)
    direct.send("normal", MESSAGE)
    if lose is LosePop:
        assert mode.lost.wait(AT_ONCE)
        proxy.mode = CutAfterPop()
        proxy.mode.popped.set()
    end(reader)
    proxy.mode = Delay(0.15, 0.2)
    until(lambda: attempt(layer.send, "other", {}) is None, "the server can be reached")
    watcher = Watcher(client, direct.prefix + "normal")
    try:
        found = []
        threads = [
            threading.Thread(target=lambda: found.extend(receive_within(layer, ["normal"], 1))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            end(thread)
    finally:
        watcher.goes_on = False
        end(watcher)
    assert watcher.most <= 1
    proxy.mode = Pass()
    found += receive_within(layer, ["normal"], 4 if not found else 0)
    assert found == [("normal", MESSAGE)]


# A message that was put back, and whose pop is lost again. Nothing but what was noted then can tell of it.


def test_a_message_put_back_after_a_lost_reply_is_found_if_its_pop_is_lost_too(make_proxied, direct):
    proxy, layer = make_proxied()
    other_proxy, other = make_proxied()
    other.blpop_timeout = 3
    direct.send("normal", MESSAGE)
    proxy.mode = LoseMessages()
    attempt(layer.receive, ["normal"])
    assert other.receive(["normal"]) == (None, None)
    mode = other_proxy.mode = LosePop()
    reader = Reader(other, ["normal"])
    wait_until_blocked(direct, 1)
    proxy.mode = Pass()
    found = []

    def pass_on():
        """Receives until the message is back in its queue, and popped by the other."""
        found.extend(receive_within(layer, ["elsewhere"], 0.01))
        return mode.lost.is_set()

    until(pass_on, "it is put back, and popped")
    found += found_by(reader) or receive_within(other, ["normal"])
    assert found == [("normal", MESSAGE)]


def test_a_message_put_back_after_a_failed_read_is_found_if_its_pop_is_lost_too(make_proxied, direct, client):
    proxy, layer = make_proxied()
    layer.blpop_timeout = 1
    other_proxy, other = make_proxied()
    other.blpop_timeout = 3
    mode = proxy.mode = CutAfterPop()
    reader = Reader(layer, ["normal"])
    wait_until_blocked(direct, 1)
    push(client, "normal", "%032x" % 1, direct)
    assert mode.popped.wait(AT_ONCE)
    end(reader)
    other_mode = other_proxy.mode = LosePop()
    other_reader = Reader(other, ["normal"])
    wait_until_blocked(direct, 1)
    proxy.mode = Pass()
    until(lambda: attempt(layer.receive, ["elsewhere"]) and other_mode.lost.is_set(), "it is popped again, and lost")
    found = found_by(reader) + found_by(other_reader) or receive_within(other, ["normal"])
    assert found == [("normal", MESSAGE)]


@pytest.mark.skipif(six.PY2, reason="Python 2 has no asyncio")
def test_a_message_put_back_by_a_loop_that_stopped_is_found_if_its_pop_is_lost_too(make_proxied, direct):
    import asyncio

    proxy, layer = make_proxied()
    other_proxy, other = make_proxied()
    other.blpop_timeout = 3
    direct.send("normal", MESSAGE)
    mode = proxy.mode = HoldMessages()
    loop = asyncio.new_event_loop()
    receiving = []

    def receive():
        receiving.append(layer.receive_async(["normal"]))
        loop.stop()

    loop.call_soon(receive)
    loop.run_forever()
    assert mode.reached.wait(AT_ONCE)
    other_mode = other_proxy.mode = LosePop()
    reader = Reader(other, ["normal"])
    wait_until_blocked(direct, 1)
    proxy.mode = Pass()
    mode.open()
    assert other_mode.lost.wait(AT_ONCE)
    found = found_by(reader) or receive_within(other, ["normal"])
    receiving[0].cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert found == [("normal", MESSAGE)]
