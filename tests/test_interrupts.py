"""Exceptions that signal handlers raise: Ctrl-C, a soft time limit, a second one. They lose nothing, break nothing."""
from __future__ import unicode_literals

import contextlib
import logging
import os
import signal
import sys

import pytest
import redis

from asgi_redis import RedisChannelLayer
from asgi_redis.server import times
from asgi_redis.tools.embedded import Server

from . import patience, servers
from .patience import attempt, receive_within, until
from .troubles import needs_timers

pytestmark = [
    needs_timers,
    # What is raised while an object is deleted, Python only reports.
    pytest.mark.filterwarnings("ignore:Exception ignored"),
]


class Stop(BaseException):
    """As KeyboardInterrupt and SystemExit are."""


class TimeLimit(Exception):
    """As the soft time limits of task queues are."""


@pytest.fixture(params=[Stop, TimeLimit], ids=["stop", "time limit"])
def error(request):
    """What the signal handler raises."""
    return request.param


def is_at_work(frame):
    """Whether ``frame`` is of the layer, or of what it calls; but for handlers of the log, and what reports errors."""
    while frame is not None:
        package = frame.f_globals.get("__name__", "").split(".")[0]
        if package in ("asgi_redis", "logging", "_pytest"):
            return package == "asgi_redis"
        frame = frame.f_back
    return False


def waits(frame):
    """Whether ``frame`` is where the layer waits for messages, or of what that calls."""
    while frame is not None:
        if frame.f_code.co_name == "first_reply":
            return True
        frame = frame.f_back
    return False


@pytest.fixture(autouse=True)
def alarm():
    """Restores the signal's handler only after the test: on a busy machine a signal may arrive late."""
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.signal(signal.SIGALRM, before)


def interrupted(call, error, after=0.0001, times=1, where=is_at_work):
    """
    Whether ``error`` comes out of ``call()``, when a signal handler raises it.

    It does so ``times`` times, ``after`` seconds from now and then every 0.1 ms: first where ``where(frame)`` is true,
    after that wherever the layer is at work.
    """
    left = [times]

    def handle(_, frame):
        if left[0] and (where if left[0] == times else is_at_work)(frame):
            left[0] -= 1
            raise error()

    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, after, 0.0001)
    try:
        call()
    except error:
        return True
    finally:
        left[0] = 0
        signal.setitimer(signal.ITIMER_REAL, 0)
    return False


@pytest.mark.parametrize("times", [1, 2, 10])
def test_what_comes_after_an_interrupted_wait_is_received(make_layer, monkeypatch, error, times):
    patience.hurry_pops(monkeypatch)
    layer = make_layer()
    layer.blpop_timeout = 1
    names = ["normal.%d" % number for number in range(10)]
    for name in names:
        # Not while it connects: redis-py 8 drops what is raised there by an Exception.
        assert interrupted(lambda: layer.receive([name], block=True), error, 0.02, times, waits)  # noqa: B023
        layer.send(name, {"name": name})
    client = servers.client_of(layer)
    until(lambda: client.info("clients")["blocked_clients"] == 0, "nobody blocks")
    found = receive_within(layer, names, count=len(names))
    assert sorted(channel for channel, _ in found) == sorted(names)
    assert layer.receive(names) == (None, None)


def interrupted_after_sending(place, call, act, error):
    """
    Call ``act()``, and raise ``error``, once ``call()`` has sent a command in ``place``, (module, function) of the
    layer. Assert that this ends it.
    """
    def look(frame, event, function):
        if event == "c_return" and function.__name__ == "send" and is_in(place, frame):
            sys.setprofile(None)
            act()
            raise error()

    with profiled(look), pytest.raises(error):
        call()


@contextlib.contextmanager
def profiled(look):
    """``look`` is called for each call and return in the block, as by ``sys.setprofile``."""
    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(None)


def is_in(place, frame):
    while frame is not None:
        if (frame.f_globals.get("__name__"), frame.f_code.co_name) == place:
            return True
        frame = frame.f_back
    return False


#: Where a receive looks for messages, where it begins to wait for them, and where it reads what it has popped.
LOOK, WAIT = ("asgi_redis.delivery.receiver", "_ask"), ("asgi_redis.server.waiting", "start")
RESULT = "asgi_redis.delivery.pops", "result"

#: Where it ends the wait.
CLEAN_UP = "asgi_redis.delivery.receiver", "_wait"


# A process that is told to end has no time to look for them later.


def test_what_was_taken_before_an_interrupt_is_back_at_once(make_layer, error):
    layer, other = make_layer(), make_layer()
    other.send("normal", {"n": 1})
    layer.receive(["other"])  # connected
    interrupted_after_sending(
        LOOK, lambda: layer.receive(["normal"]), lambda: until(lambda: not waiting(other), "taken"), error
    )
    assert other.receive(["normal"]) == ("normal", {"n": 1})


def waiting(layer):
    return layer.channel_statistics("normal")["messages_pending"]


def test_what_was_popped_before_an_interrupt_is_back_at_once(make_layer, error):
    layer, other = make_layer(), make_layer()
    interrupted_after_sending(
        WAIT, lambda: layer.receive(["normal"], block=True), lambda: other.send("normal", {"n": 1}), error
    )
    assert other.receive(["normal"]) == ("normal", {"n": 1})


def test_a_second_interrupt_while_a_message_goes_back_does_not_lose_it(make_layer, error):
    class Interrupted(RedisChannelLayer):
        def deserialize(self, message):
            raise Stop()

    def look(frame, event, _):
        if event == "call" and is_in(("asgi_redis.server.shard", "retire"), frame):
            sys.setprofile(None)
            raise error()

    other = make_layer()
    layer = Interrupted(hosts=other.hosts, prefix=other.prefix, stats_prefix=other.stats_prefix)
    other.send("normal", {"n": 1})
    with profiled(look), pytest.raises(error):
        layer.receive(["normal"])
    assert other.receive(["normal"]) == ("normal", {"n": 1})


@pytest.mark.parametrize("place", ["read", "parse", "finish"])
def test_what_a_pop_had_read_before_an_interrupt_is_back_at_once(make_layer, error, place):
    """``place``: the function that is interrupted as it returns."""
    layer, other = make_layer(), make_layer()
    layer.receive(["normal"])  # connected

    def look(frame, event, function):
        if event == "c_return" and function.__name__ == "send" and is_in(WAIT, frame):
            other.send("normal", {"n": 1})
        elif event == "return" and frame.f_code.co_name == place and is_in(RESULT, frame):
            sys.setprofile(None)
            raise error()

    with profiled(look), pytest.raises(error):
        layer.receive(["normal"], block=True)
    assert other.receive(["normal"]) == ("normal", {"n": 1})


def test_what_was_read_before_an_interrupt_is_back_at_once(make_layer, error):
    layer, other = make_layer(), make_layer()
    other.send("normal", {"n": 1})
    layer.receive(["other"])  # connected

    def look(frame, event, _):
        if event == "return" and frame.f_code.co_name == "ask" and is_in(LOOK, frame):
            if frame.f_globals["__name__"] == "asgi_redis.server.shard":
                sys.setprofile(None)
                raise error()

    with profiled(look), pytest.raises(error):
        layer.receive(["normal"])
    assert other.receive(["normal"]) == ("normal", {"n": 1})


@pytest.mark.parametrize("count, place", [(1, "__exit__"), (2, "_end")], ids=["closing", "ending the other pop"])
def test_what_was_popped_before_an_interrupted_clean_up_is_back_at_once(make_layer, error, count, place):
    layer, other = make_layer(count), make_layer(count)
    layer.receive(["normal"])  # connected
    sent = []

    def look(frame, event, function):
        if event == "c_return" and function.__name__ == "send" and is_in(WAIT, frame):
            sent.append(other.send("normal", {"n": 1}))
        elif sent and (event, frame.f_code.co_name) == ("call", place) and is_in(CLEAN_UP, frame):
            sys.setprofile(None)
            raise error()

    with profiled(look), pytest.raises(error):
        layer.receive(["normal"], block=True)
    assert other.receive(["normal"])[0] == "normal"


@pytest.mark.parametrize("event, place", [("call", "_wake"), ("return", "put"), ("return", "_keep")])
def test_a_batch_that_was_interrupted_on_its_way_into_memory_comes_once(make_layer, error, event, place):
    layer = make_layer()
    layer.receive(["process!"])
    names = ["process!a", "process!b", "process!c"]
    for name in names:
        layer.group_add("crowd", name)
    layer.send_group("crowd", {"n": 1})

    def look(frame, happens, _):
        if (happens, frame.f_code.co_name) == (event, place) and is_in(LOOK, frame):
            sys.setprofile(None)
            raise error()

    with profiled(look), pytest.raises(error):
        layer.receive(["process!"])
    found = iter(lambda: layer.receive(["process!"])[0], None)
    assert sorted(found) == names


# After it has begun what only one thread at a time may do, and before the ``try`` that would end that.


def interrupted_as_it_returns(place, call, error):
    """Return True if ``error`` ends ``call()``, raised as ``place``, (module, function) of the layer, returns True."""
    def look(frame, event, returned):
        if event == "return" and returned and (frame.f_globals.get("__name__"), frame.f_code.co_name) == place:
            sys.setprofile(None)
            raise error()

    try:
        with profiled(look):
            call()
    except error:
        return True


def test_an_interrupted_probe_is_not_the_last_one(error, monkeypatch):
    monkeypatch.setattr(times, "LONGEST_TURN", 1)
    patience.hurry_outages(monkeypatch)
    with Server() as server:
        layer = RedisChannelLayer(hosts=[server.url])
        layer.send("normal", {})
        server.kill()
        place = "asgi_redis.server.breaker", "begin_probe"
        until(lambda: interrupted_as_it_returns(place, lambda: attempt(layer.send, "normal", {}), error), "it probes")
        server.start()
        until(lambda: attempt(layer.send, "normal", {}) is None, "a send succeeds again")


def test_messages_are_put_back_after_an_interrupt_that_came_before(make_layer, error, monkeypatch):
    monkeypatch.setattr(times, "LONGEST_TURN", 1)
    layer, other = make_layer(), make_layer()
    shard, pops = layer._parts.shards[0], layer._parts.pops
    entry = pops.start(shard, [shard.keys.queue("normal")], 5)
    other.send("normal", {"n": 1})
    assert pops.result(entry)
    entry.in_use = False  # as if it could not be put back
    place = "asgi_redis.server.turn", "begin"
    assert interrupted_as_it_returns(place, lambda: layer.receive(["other"]), error)
    assert receive_within(layer, ["normal"]) == [("normal", {"n": 1})]


# While it connects. To a server with a password, and a database of its own: what is half made is refused there, or
# writes into database 0.


class Calls(object):
    """
    Counts the functions of the layer and of redis-py that ``run(call)`` enters, and raises ``error`` in the place of
    number ``last``: there, too, Python looks for signals.
    """

    def __init__(self, last=None, error=Stop):
        self.last, self.error = last, error
        self.count = 0

    def run(self, call):
        trace = self._trace  # Python 3.11 uses it after it has freed its own reference
        sys.settrace(trace)
        try:
            call()
        except self.error:
            pass
        finally:
            sys.settrace(None)

    def _trace(self, frame, event, _):
        if frame.f_globals.get("__name__", "").split(".")[0] in ("asgi_redis", "redis"):
            self.count += 1
            if self.count == self.last:
                raise self.error()


@pytest.fixture
def protected():
    with Server([str("--requirepass"), str("secret")]) as server:
        yield server


@pytest.mark.parametrize("call", [
    lambda layer: layer.send("normal", {}),
    lambda layer: layer.receive(["normal"]),
], ids=["send", "receive"])
def test_a_connection_that_an_interrupt_left_half_made_is_not_used(protected, error, call):
    def make():
        return RedisChannelLayer(hosts=["redis://:secret@127.0.0.1:%d/3" % protected.port], capacity=10 ** 6)

    make().send("scripts", {})
    calls = Calls()
    layer = make()
    calls.run(lambda: call(layer))
    steps = range(1, calls.count + 1)
    failed = []
    for step in steps:
        layer = make()
        Calls(step, error).run(lambda: call(layer))  # noqa: B023
        try:
            layer.send("after", {"step": step})
        except Exception as after:
            failed.append(after)
    assert len(steps) > 100
    assert redis.StrictRedis(port=protected.port, password="secret", db=0).keys("*") == []
    assert failed == []
    found = receive_within(make(), ["after"], count=len(steps))
    assert [message["step"] for _, message in found] == list(steps)


# While it unpacks. What is wrong with a message drops it; what comes from elsewhere does not.

LARGE = {"numbers": list(range(300000))}


@pytest.mark.parametrize("keys", [None, ["key"]], ids=["plain", "encrypted"])
@pytest.mark.parametrize("block", [False, True])
def test_a_message_whose_unpacking_was_interrupted_comes_again(make_layer, caplog, error, keys, block):
    layer = make_layer(symmetric_encryption_keys=keys)
    layer.send("normal", LARGE)
    with caplog.at_level(logging.WARNING, "asgi_redis"):
        assert interrupted(lambda: layer.receive(["normal"], block), error, where=patience.unpacks)
        found = receive_within(layer, ["normal"])
    assert [message == LARGE for _, message in found] == [True]
    assert caplog.records == []
    assert layer.receive(["normal"]) == (None, None)


@pytest.mark.parametrize("block", [False, True])
def test_a_message_whose_own_unpacking_was_interrupted_comes_again(make_layer, caplog, error, block):
    class Signalling(RedisChannelLayer):
        signals = 1

        def deserialize(self, message):
            if self.signals:
                self.signals -= 1
                os.kill(os.getpid(), signal.SIGALRM)
            return super(Signalling, self).deserialize(message)

    other = make_layer()
    layer = Signalling(hosts=other.hosts, prefix=other.prefix, stats_prefix=other.stats_prefix)
    layer.send("normal", {"n": 1})
    with caplog.at_level(logging.WARNING, "asgi_redis"):
        assert interrupted(lambda: layer.receive(["normal"], block), error, after=20)
        assert receive_within(layer, ["normal"]) == [("normal", {"n": 1})]
    assert caplog.records == []
    assert layer.receive(["normal"]) == (None, None)


def test_a_message_in_memory_whose_unpacking_was_interrupted_comes_again(make_layer, caplog, error):
    layer = make_layer()
    layer.receive(["process!"])
    for name in ("process!a", "process!b", "process!c"):
        layer.group_add("crowd", name)
    layer.send_group("crowd", LARGE)
    found = [layer.receive(["process!"])]
    with caplog.at_level(logging.WARNING, "asgi_redis"):
        assert interrupted(lambda: layer.receive(["process!"]), error, where=patience.unpacks)
        found += receive_within(layer, ["process!"], count=2)
    assert sorted(name for name, _ in found) == ["process!a", "process!b", "process!c"]
    assert all(message == LARGE for _, message in found)
    assert caplog.records == []


def test_a_message_that_its_own_unpacking_refuses_is_dropped(make_layer, caplog):
    class Refusing(RedisChannelLayer):
        def deserialize(self, message):
            message = super(Refusing, self).deserialize(message)
            if message["n"] == 0:
                raise ValueError("s3cr3t")
            return message

    other = make_layer()
    layer = Refusing(hosts=other.hosts, prefix=other.prefix, stats_prefix=other.stats_prefix)
    for number in range(2):
        layer.send("normal", {"n": number})
    with caplog.at_level(logging.ERROR, "asgi_redis"):
        assert layer.receive(["normal"]) == ("normal", {"n": 1})
    assert len(caplog.records) == 1
    assert "normal" in caplog.text and "s3cr3t" not in caplog.records[0].getMessage()
