"""Sentinels that are unavailable or slow, and masters that change."""
from __future__ import unicode_literals

import logging

import pytest
from redis.exceptions import ConnectionError

from asgi_redis import RedisSentinelChannelLayer
from asgi_redis.server import shard as shards
from asgi_redis.server import times
from asgi_redis.server.session import Session
from asgi_redis.server.shard import Shard

from . import servers
from .patience import AT_ONCE, attempt, clock_of, hurry_outages, until
from .troubles import Gone, Silent, Stopped, Worker, calls_within, error_of, needs_stop, noted_probes, took


@pytest.fixture
def master():
    with servers.Server() as server:
        yield server


@pytest.fixture
def sentinel(master):
    """A Sentinel that is not started yet."""
    sentinel = servers.SentinelServer({"alpha": master})
    yield sentinel
    sentinel.stop()


def layer_of(sentinel, **arguments):
    return RedisSentinelChannelLayer(hosts=[("127.0.0.1", sentinel.port)], **arguments)


def send(layer):
    layer.send("normal", {"n": 1})


# Sentinels of which none replies.


@pytest.mark.parametrize("services", [None, ["alpha"]], ids=["unknown", "given"])
@pytest.mark.parametrize("trouble", [Gone, Silent], ids=["gone", "silent"])
def test_sends_are_refused_at_once_after_the_first(trouble, services, hurried_outages):
    with trouble() as sentinel:
        layer = layer_of(sentinel, services=services, sentinel_kwargs={"socket_timeout": 0.25})
        for _ in range(2):
            error = error_of(send, layer)
            assert isinstance(error, ConnectionError) and isinstance(error, layer.ChannelFull)
            assert "127.0.0.1:%d" % sentinel.port in str(error)
        assert calls_within(AT_ONCE, 200, send, layer) == 200


def test_the_list_of_shards_is_asked_for_again_until_a_sentinel_replies(sentinel, hurried_outages, caplog):
    layer = layer_of(sentinel)
    with caplog.at_level(logging.INFO, "asgi_redis"):
        error_of(send, layer)
        sentinel.start()
        until(lambda: attempt(send, layer) is None, "a message is sent")
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in lines] == ["WARNING", "INFO"]
    assert all(text.startswith("The list of shards is ") for _, text in lines)
    assert layer.receive(["normal"]) == ("normal", {"n": 1})


def test_a_send_leaves_that_to_the_blocking_receives_of_its_process(monkeypatch):
    hurry_outages(monkeypatch, patience=2)
    with Silent() as sentinel:
        layer = layer_of(sentinel, sentinel_kwargs={"socket_timeout": 0.25})
        layer.blpop_timeout = 1
        probes = noted_probes(layer._parts.shards.breaker, monkeypatch)
        with Worker(layer, ["normal"]):
            error_of(send, layer)
            until(lambda: took(send, layer) and probes.count(True) >= 3, "receives probe")
        assert probes.count(False) <= 1  # one may come before the receive has tried


@needs_stop
def test_they_are_asked_with_less_patience_until_one_answers(sentinel):
    layer = layer_of(sentinel, services=["alpha"], sentinel_kwargs={"socket_timeout": 60})
    error_of(layer._sentinel.discover_master, "alpha")
    sentinel.start()
    with Stopped(sentinel):
        seconds, error = took(layer._sentinel.discover_master, "alpha")
    assert isinstance(error, ConnectionError) and seconds < AT_ONCE
    until(lambda: attempt(send, layer) is None, "a message is sent")
    assert layer._sentinel._answered


def test_another_one_is_asked_each_time_until_one_answers(sentinel, hurried_outages):
    with Silent() as silent:
        hosts = [("127.0.0.1", each.port) for each in (silent, sentinel)]
        layer = RedisSentinelChannelLayer(hosts=hosts, services=["alpha"], sentinel_kwargs={"socket_timeout": 0.25})
        error_of(send, layer)
        sentinel.start()
        until(lambda: attempt(send, layer) is None, "a message is sent")


# Masters that may have changed.


@pytest.fixture
def slow_replies(layer, monkeypatch):
    """The list of slow replies that the shard of ``layer`` has told its place of."""
    noted = []
    monkeypatch.setattr(shards, "SLOW", 30)
    monkeypatch.setattr(layer._parts.shards[0].place, "was_slow", lambda: noted.append(True))
    return noted


def test_a_check_that_takes_long_is_no_slow_reply(layer, slow_replies, monkeypatch):
    send(layer)
    let_pass = clock_of(times, monkeypatch)
    let_pass(1)  # the connection counts as idle
    checks = []
    monkeypatch.setattr(layer._parts.shards[0].place, "check", lambda _: checks.append(let_pass(60)) or True)
    send(layer)
    assert (len(checks), slow_replies) == (1, [])


def test_a_slow_reply_to_a_new_connection_counts(layer, slow_replies, monkeypatch):
    let_pass, ask = clock_of(times, monkeypatch), Session.ask
    shard = layer._parts.shards[0]
    session = shard.borrow()
    monkeypatch.setattr(Session, "ask", lambda session, command: let_pass(60) or ask(session, command))
    shard.prepare(session)
    assert slow_replies == [True]
    shard.give_back(session)


def test_connections_to_a_new_master_are_kept(monkeypatch):
    with servers.Sentinels(["alpha"]) as running:
        layer = RedisSentinelChannelLayer(hosts=running.hosts, services=["alpha"], sentinel_refresh_interval=3600)
        send(layer)
        layer._parts.shards[0].place.check_at = 0  # as after an hour
        send(layer)
        old = running.master("alpha")
        running.client().execute_command("SENTINEL", "FAILOVER", "alpha")
        servers.eventually(lambda: running.master("alpha") is not old, "another master is elected")
        old.kill()
        servers.eventually(lambda: attempt(send, layer) is None, "a message is sent to the new master")
        monkeypatch.setattr(times, "IDLE_CHECK", -1)  # each call checks its connection
        connect, made = Shard.connect, []
        monkeypatch.setattr(Shard, "connect", lambda *arguments: made.append(True) or connect(*arguments))
        for _ in range(10):
            send(layer)
        assert len(made) <= 1
