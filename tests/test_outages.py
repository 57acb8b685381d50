"""Outages: blocking receives wait for the server, sends are repeated, and no message arrives twice."""
from __future__ import unicode_literals

import logging
import os
import signal
import socket
import threading
import time

import pytest
from redis.exceptions import ConnectionError, ResponseError, TimeoutError

from asgi_redis import RedisChannelLayer
from asgi_redis.server import scripts, times
from asgi_redis.server.shard import Shard
from asgi_redis.tools.embedded import Server, free_port

from . import servers
from .faults.proxy import Proxy
from .patience import AT_ONCE, LONG_WAIT, attempt, until
from .test_blocking import Reader, wait_until_blocked
from .troubles import Stopped, needs_stop


@pytest.fixture
def server():
    with Server() as server:
        yield server


def test_a_blocking_receive_outlives_a_restart(server, caplog):
    layer = RedisChannelLayer(hosts=[server.url])
    layer.blpop_timeout = LONG_WAIT
    sender = RedisChannelLayer(hosts=[server.url])
    with caplog.at_level(logging.INFO, "asgi_redis"):
        reader = Reader(layer, ["normal"])
        wait_until_blocked(sender, 1)
        server.kill()
        until(lambda: caplog.records, "the outage is logged")
        assert reader.is_alive()
        server.start()
        sender.send("normal", {"n": 1})
        reader.join()
    assert reader.found == ("normal", {"n": 1})
    lines = [(record.levelname, record.getMessage()) for record in caplog.records if record.levelname != "ERROR"]
    assert [level for level, _ in lines] == ["WARNING", "INFO"]
    assert lines[0][1].startswith("Redis 127.0.0.1:%d (shard 1 of 1) is unavailable, retrying: " % server.port)


def test_in_an_outage_it_returns_nothing_after_its_own_wait_for_ever(server):
    layer = RedisChannelLayer(hosts=[server.url])
    layer.blpop_timeout = 1
    server.kill()
    for _ in range(2):
        assert layer.receive(["normal"], block=True) == (None, None)
    server.start()
    RedisChannelLayer(hosts=[server.url]).send("normal", {"n": 1})
    assert servers.eventually(lambda: layer.receive(["normal"], block=True)[1], "it is received") == {"n": 1}


def test_it_gives_up_after_reconnect_timeout():
    layer = RedisChannelLayer(hosts=["redis://:s3cr3t@127.0.0.1:%d" % free_port()], reconnect_timeout=1.5)
    reader = Reader(layer, ["normal"])
    reader.join()
    assert isinstance(reader.error, ConnectionError)
    assert 1.4 < reader.took < AT_ONCE


def test_an_outage_costs_a_process_one_second_not_one_a_call(server):
    layer = RedisChannelLayer(hosts=[server.url])
    layer.receive(["normal"])
    server.kill()
    begun = time.time()
    for _ in range(50):
        for call in (
            lambda: layer.receive(["normal"]), lambda: layer.send("normal", {}), lambda: layer.send_group("crowd", {}),
            lambda: layer.group_add("crowd", "normal"), layer.global_statistics,
        ):
            with pytest.raises(ConnectionError) as raised:
                call()
            assert str(server.port) in str(raised.value)
    assert time.time() - begun < AT_ONCE
    assert "next try in" in str(raised.value)


def test_a_shard_that_is_unavailable_does_not_hold_up_the_others(server):
    with Server() as other:
        layer = RedisChannelLayer(hosts=[server.url, other.url])
        layer.blpop_timeout = LONG_WAIT
        server.kill()
        reader = Reader(layer, ["normal"])
        alone = RedisChannelLayer(hosts=[other.url])
        wait_until_blocked(alone, 1)
        alone.send("normal", {"n": 1})
        reader.join()
        assert reader.found == ("normal", {"n": 1})
        layer.blpop_timeout = 1
        assert layer.receive(["normal"], block=True) == (None, None)
        layer.blpop_timeout = LONG_WAIT
        server.start()
        RedisChannelLayer(hosts=[server.url]).send("normal", {"n": 2})
        assert layer.receive(["normal"], block=True) == ("normal", {"n": 2})


def test_a_send_tries_again_for_a_second(server):
    layer = RedisChannelLayer(hosts=[server.url])
    layer.send("normal", {"n": 1})
    server.kill()
    begun = time.time()
    with pytest.raises(ConnectionError):
        layer.send("normal", {"n": 2})
    assert 0.5 < time.time() - begun < AT_ONCE
    server.start()
    servers.eventually(lambda: attempt(layer.send, "normal", {"n": 3}) is None, "sends succeed again")
    assert layer.receive(["normal"]) == ("normal", {"n": 3})


def test_every_connection_is_killed_and_nothing_is_lost_or_doubled(server):
    layer = RedisChannelLayer(hosts=[server.url], capacity=1000)
    killer = RedisChannelLayer(hosts=[server.url]).connection(0)
    found = []
    for number in range(200):
        if number % 5 == 0:
            killer.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        layer.send("normal", {"n": number})
        if number % 2:
            found.append(layer.receive(["normal"], block=True)[1]["n"])
    while len(found) < 200:
        found.append(layer.receive(["normal"], block=True)[1]["n"])
    assert found == list(range(200))


def test_a_shard_that_is_back_is_found_although_another_is_waited_on(server):
    with Server() as other:
        layer = RedisChannelLayer(hosts=[server.url, other.url])
        layer.blpop_timeout = LONG_WAIT
        layer.receive(["normal"])
        server.kill()
        reader = Reader(layer, ["normal"])
        wait_until_blocked(RedisChannelLayer(hosts=[other.url]), 1)
        server.start()
        begun = time.time()
        RedisChannelLayer(hosts=[server.url]).send("normal", {"n": 1})
        reader.join()
        assert reader.found == ("normal", {"n": 1})
        assert time.time() - begun < AT_ONCE


def test_all_threads_give_up_after_reconnect_timeout():
    layer = RedisChannelLayer(hosts=["redis://127.0.0.1:%d" % free_port()], reconnect_timeout=1)
    readers = [Reader(layer, ["normal"]) for _ in range(30)]
    for reader in readers:
        reader.join()
    assert all(isinstance(reader.error, ConnectionError) for reader in readers)
    # If each gave up only after a try of its own, a second apart, that would take half a minute.
    assert 0.9 < max(reader.took for reader in readers) < AT_ONCE


class Clock(object):
    """The library's clock, which stands still, and which a test can set forward."""

    def __init__(self, monkeypatch):
        self.passed = 0
        now = times.monotonic()
        monkeypatch.setattr(times, "monotonic", lambda: now + self.passed)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def breaker(layer):
    return layer._parts.shards[0].breaker


@pytest.mark.parametrize("rest, lasts", [(1, 71), (9, 79), (11, 0)])
def test_an_outage_in_which_nothing_was_tried_for_ten_seconds_begins_anew(breaker, clock, rest, lasts):
    breaker.failed(ConnectionError())
    for _ in range(10):
        clock.passed += 7
        breaker.failed(ConnectionError())
    clock.passed += rest
    assert breaker.pause() <= 1
    breaker.failed(ConnectionError())
    assert breaker.lasts() == pytest.approx(lasts)


def test_a_shard_that_fails_again_soon_goes_on_with_its_pauses(breaker, clock):
    breaker.failed(ConnectionError())
    while breaker.failed(ConnectionError()):
        clock.passed += 0.3
    pause = breaker.pause()
    breaker.succeeded()
    clock.passed += 5
    assert not breaker.failed(ConnectionError())
    assert breaker.is_open() and breaker.pause() > pause
    breaker.succeeded()
    clock.passed += 11
    assert breaker.failed(ConnectionError()) and breaker.pause() < pause


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows can't fork")
def test_a_child_is_not_held_up_by_what_its_parent_was_about(server):
    layer = RedisChannelLayer(hosts=[server.url])
    parts = layer._parts
    assert parts.pops._settling.begin()
    with parts.shards[0].breaker._lock, parts.inbox._lock:  # as if another thread was just there
        child = os.fork()
        if child == 0:
            layer._parts.shards[0].breaker.failed(ConnectionError())
            layer.send("normal", {"n": layer.receive(["process!"])[1]})
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    assert layer.receive(["normal"]) == ("normal", {"n": None})


def test_the_log_may_be_sent_to_a_group_that_is_full(make_layer):
    layer = make_layer(capacity=1)
    layer.group_add("crowd", "log")
    layer.send("log", {})

    class ToGroup(logging.Handler):
        def emit(self, record):
            handled.append(record)
            layer.send_group("crowd", {"text": record.getMessage()})

    handled = []
    handler, logger = ToGroup(), logging.getLogger("asgi_redis.delivery.losses")
    logger.addHandler(handler)
    try:
        sender = threading.Thread(target=layer.send_group, args=("crowd", {}))
        sender.daemon = True
        sender.start()
        sender.join(10)
        assert not sender.is_alive() and handled
    finally:
        logger.removeHandler(handler)


def test_what_can_not_be_counted_does_not_keep_the_rest_from_being_sent(make_layer, monkeypatch):
    layer = make_layer(capacity=1)
    layer.receive(["process!"])
    for name in ("full", "process!x", "other!x", "other!y"):  # nobody reads the last ones: they need a second pass
        layer.group_add("crowd", name)
    layer.send("full", {})

    run = Shard.run

    def run_but_not_count(shard, script, keys, args):
        if script is scripts.count:
            raise ConnectionError()
        return run(shard, script, keys, args)

    monkeypatch.setattr(Shard, "run", run_but_not_count)
    layer.send_group("crowd", {"n": 1})
    assert layer.receive(["process!"]) == ("process!x", {"n": 1})
    assert layer.receive(["other!"])[1] == {"n": 1}


# Connections that are not what they seem.


def test_a_half_open_connection_is_noticed(server, hurry):
    proxy = Proxy(server.port).start()
    try:
        layer = RedisChannelLayer(hosts=["redis://127.0.0.1:%d" % proxy.port])
        layer.blpop_timeout = 1
        hurry(layer, reply=1)
        layer.send("normal", {"n": 0})
        proxy.sever()
        begun = time.time()
        layer.send("normal", {"n": 1})
        assert 0.9 < time.time() - begun < AT_ONCE
        assert [layer.receive(["normal"])[1]["n"] for _ in range(2)] == [0, 1]
        reader = Reader(layer, ["normal"])
        wait_until_blocked(RedisChannelLayer(hosts=[server.url]), 1)
        proxy.sever()
        reader.join()
        assert (reader.error, reader.found) == (None, (None, None)) and reader.took < AT_ONCE
    finally:
        proxy.stop()


def test_a_connection_that_a_repeated_call_made_is_as_patient_as_any(server, monkeypatch):
    monkeypatch.setattr(times, "IDLE_CHECK", 60)
    monkeypatch.setattr(times, "RETRY_FOR", 20)
    layer = RedisChannelLayer(hosts=[server.url])

    def timeout():
        session, = layer._parts.shards[0]._sessions
        return session.connection.timeout

    layer.send("normal", {"n": 0})
    before = timeout()
    server.kill()
    server.start()  # it does not have the scripts any more
    layer.send("normal", {"n": 1})
    assert timeout() == before


def test_a_connection_whose_first_script_failed_is_not_used(server):
    layer = RedisChannelLayer(hosts=[server.url])
    layer.connection(0).rpush("asgi:#origin", "of the wrong type")
    for _ in range(2):
        with pytest.raises(ResponseError):
            layer.send("normal", {})


@needs_stop
@pytest.mark.parametrize("size", [10, 2 ** 25], ids=["reading", "writing"])
def test_a_call_ends_within_its_timeout_although_a_timer_ticks(server, size):
    layer = RedisChannelLayer(hosts=[server.url])
    layer.send("normal", {})
    deadline = time.time() + AT_ONCE

    def tick(*_):
        assert time.time() < deadline

    before = signal.signal(signal.SIGALRM, tick)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    try:
        with Stopped(server), pytest.raises(TimeoutError):
            layer.send("normal", {"text": "x" * size})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@needs_stop
def test_a_unix_socket_whose_server_hangs_holds_nothing_up_when_its_backlog_is_full(tmpdir):
    path = tmpdir.join("redis.sock").strpath
    with Server(["--unixsocket", path, "--tcp-backlog", "1"]) as server, Stopped(server):
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(path)
        layer = RedisChannelLayer(hosts=["unix://" + path])
        sender = threading.Thread(target=attempt, args=(layer.send, "normal", {}))
        sender.daemon = True
        sender.start()
        sender.join(AT_ONCE)
        assert not sender.is_alive()
        for one in waiting:
            one.close()


def test_a_clock_that_is_set_back_goes_on():
    readings = iter([5000, 5001, 1401, 1402, 1401.5])
    clock = times.forward(lambda: next(readings))
    assert [clock() for _ in range(4)] == [5001, 5001, 5002, 5001.5]


def test_timeouts_and_keepalive_by_default_and_otherwise():
    def options(**connection_kwargs):
        layer = RedisChannelLayer(connection_kwargs=connection_kwargs)
        kwargs = layer.connection(0).connection_pool.connection_kwargs
        return [kwargs[name] for name in ("socket_timeout", "socket_connect_timeout", "socket_keepalive")]

    assert options() == [5, 2, True]
    assert options(socket_timeout=30, socket_keepalive=False) == [30, 2, False]
    assert options(socket_timeout=None) == [None, 2, True]
