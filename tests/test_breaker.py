"""A shard that is unavailable costs a process a second, not a second a call; the other shards are used meanwhile."""
from __future__ import unicode_literals

import functools
import logging
import time
import traceback

import pytest
from redis.exceptions import ConnectionError, RedisError, TimeoutError

from asgi_redis import RedisChannelLayer
from asgi_redis.server.waiting import Waiter

from .patience import AT_ONCE, hurry_outages, until
from .servers import Server, eventually
from .troubles import (
    Gone,
    Silent,
    Stopped,
    Worker,
    calls_within,
    error_of,
    in_threads,
    levels,
    needs_stop,
    noted_probes,
    records,
    took,
)

#: How long, in seconds, the servers of these tests may take to answer.
REPLY = 0.25

TROUBLES = [Gone, Silent]


@pytest.fixture(params=TROUBLES, ids=lambda kind: kind.__name__.lower())
def trouble(request):
    """A server that refuses connections, or one that never answers."""
    with request.param() as server:
        yield server


@pytest.fixture
def silent():
    with Silent() as server:
        yield server


@pytest.fixture
def server():
    with Server() as server:
        yield server


@pytest.fixture
def make_patient(hurry):
    """Makes a layer on servers of which some are in trouble, and which may take ``REPLY`` to answer."""

    def make(*servers, **arguments):
        reply = arguments.pop("reply", REPLY)
        layer = RedisChannelLayer(hosts=[server.url for server in servers], **arguments)
        hurry(layer, reply=reply)
        return layer

    return make


@pytest.fixture
def make(make_patient, hurried_outages):
    """``make_patient``, for tests of what comes after a shard was found to be unavailable."""
    return make_patient


def send(layer, channel="normal"):
    layer.send(channel, {"n": 1})


CALLS = {
    "send": send,
    "send to a process": lambda layer: layer.send("process!x", {"n": 1}),
    "receive": lambda layer: layer.receive(["normal"]),
    "group_add": lambda layer: layer.group_add("crowd", "normal"),
    "group_discard": lambda layer: layer.group_discard("crowd", "normal"),
    "group_channels": lambda layer: layer.group_channels("crowd"),
    "send_group": lambda layer: layer.send_group("crowd", {"n": 1}),
    "global_statistics": lambda layer: layer.global_statistics(),
    "channel_statistics": lambda layer: layer.channel_statistics("normal"),
}


# Calls while a shard is unavailable.


def test_calls_fail_at_once_after_the_first(make, trouble):
    layer = make(trouble)
    assert isinstance(error_of(send, layer), RedisError)
    assert calls_within(AT_ONCE, 200, send, layer) == 200


@pytest.mark.parametrize("call", sorted(CALLS))
def test_all_kinds_of_calls_share_what_one_has_found_out(make, silent, call):
    layer = make(silent)
    error_of(send, layer)
    assert calls_within(AT_ONCE, 200, CALLS[call], layer) == 200
    assert isinstance(error_of(CALLS[call], layer), RedisError)


@pytest.mark.parametrize("call", sorted(set(CALLS) - {"send"}))
def test_each_kind_of_call_finds_it_out(make, silent, call):
    layer = make(silent)
    error_of(CALLS[call], layer)
    assert calls_within(AT_ONCE, 200, send, layer) == 200


def test_threads_share_it(make, silent):
    layer = make(silent)
    assert in_threads(8, lambda: [took(send, layer) for _ in range(60)]) < AT_ONCE


def test_only_one_call_at_a_time_tries_again(make, silent):
    layer = make(silent)
    error_of(send, layer)
    before = silent.accepted
    in_threads(8, lambda: calls_within(1.5, 10 ** 9, lambda: (took(send, layer), time.sleep(0.01))))
    assert silent.accepted - before <= 10


def test_threads_do_not_spin_while_one_of_them_tries_again(make, silent, monkeypatch):
    layer, seconds, sleep = make(silent), [], Waiter.sleep
    monkeypatch.setattr(Waiter, "sleep", lambda waiter, left: seconds.append(left) or sleep(waiter, left))
    probes = noted_probes(layer._parts.shards[0].breaker, monkeypatch)
    with Worker(layer, ["a"]), Worker(layer, ["b"]), Worker(layer, ["c"]):
        until(lambda: len(probes) >= 3, "receives probe")
    assert seconds.count(0) < 100


def test_a_send_leaves_the_tries_to_the_blocking_receives_of_its_process(make_patient, silent, monkeypatch):
    hurry_outages(monkeypatch, patience=2)
    layer = make_patient(silent)
    layer.blpop_timeout = 1
    probes = noted_probes(layer._parts.shards[0].breaker, monkeypatch)
    with Worker(layer, ["normal"]):
        error_of(send, layer)
        deadline = time.time() + 2 * AT_ONCE
        while probes.count(True) < 3:  # without a pause: the first call when a try is due makes it
            took(send, layer)
            assert time.time() < deadline, probes
    # One may come before the receive has tried.
    assert probes.count(False) <= 1


@pytest.mark.parametrize("call", sorted(CALLS))
def test_every_error_is_of_redis_py_and_names_the_server(make, trouble, call):
    layer = make(trouble)
    for _ in range(4):
        error = error_of(CALLS[call], layer)
        assert isinstance(error, (ConnectionError, TimeoutError))
        assert "127.0.0.1:%d" % trouble.port in str(error)


def test_an_error_that_is_raised_again_and_again_does_not_grow(make, trouble):
    layer = make(trouble)
    error_of(send, layer)
    assert calls_within(AT_ONCE, 200, send, layer) == 200
    error = error_of(send, layer)
    assert len(traceback.extract_tb(getattr(error, "__traceback__", None))) < 50
    chain = [error]
    while getattr(chain[-1], "__context__", None) is not None and len(chain) < 50:
        chain.append(chain[-1].__context__)
    assert len(chain) < 20
    assert len(str(error)) < 500


def test_a_server_that_is_available_again_is_used_again(make, server):
    layer = make(server)
    send(layer)
    server.kill()
    error_of(send, layer)
    server.start()
    eventually(lambda: took(send, layer)[1] is None, "a send succeeds again")
    assert layer.receive(["normal"]) == ("normal", {"n": 1})


# Other shards.


def make_two(make, trouble, server, place, **arguments):
    """A layer whose shard ``place`` is in trouble, and another is not."""
    servers = [server, server]
    servers[place] = trouble
    return make(*servers, **arguments)


def name_on(layer, shard, pattern="name%d"):
    """A name that lies on this shard."""
    return next(name for name in (pattern % number for number in range(1000)) if layer.consistent_hash(name) == shard)


@pytest.mark.parametrize("place", [0, 1])
def test_messages_for_normal_channels_go_to_the_other_shard(make, trouble, server, place):
    layer = make_two(make, trouble, server, place, capacity=1000)
    begun = time.time()
    for number in range(200):
        layer.send("normal", {"n": number})
        assert time.time() - begun < AT_ONCE, "%d sends" % (number + 1)
    alone = RedisChannelLayer(hosts=[server.url])
    assert alone.channel_statistics("normal")["messages_pending"] == 200
    assert alone.receive(["normal"]) == ("normal", {"n": 0})


def test_messages_for_a_group_of_normal_channels_go_to_the_other_shard(make, trouble, server):
    layer = make_two(make, trouble, server, 0, capacity=1000)
    group = name_on(layer, 1)
    for number in range(4):
        layer.group_add(group, "normal%d" % number)
    begun = time.time()
    for _ in range(80):
        layer.send_group(group, {"n": 1})
        assert time.time() - begun < AT_ONCE
    alone = RedisChannelLayer(hosts=[server.url])
    for number in range(4):
        assert alone.channel_statistics("normal%d" % number)["messages_pending"] == 80


def test_what_lies_on_the_other_shard_goes_on_at_full_speed(make, trouble, server):
    layer = make_two(make, trouble, server, 0, capacity=1000)
    single, lost = name_on(layer, 1, "single?%d"), name_on(layer, 0, "single?%d")
    error_of(layer.send, lost, {})
    begun = time.time()
    for number in range(200):
        layer.send(single, {"n": number})
        assert layer.receive([single, "normal"], block=True) == (single, {"n": number})
        assert time.time() - begun < AT_ONCE, "%d round trips" % (number + 1)


def test_a_message_for_one_reader_is_not_sent_to_another_shard(make, trouble, server):
    layer = make_two(make, trouble, server, 0)
    for _ in range(3):
        error = error_of(layer.send, name_on(layer, 0, "single?%d"), {})
        assert "127.0.0.1:%d" % trouble.port in str(error)


def test_statistics_are_those_of_the_shards_that_answer(make, trouble, server, caplog):
    alone = RedisChannelLayer(hosts=[server.url], capacity=4)
    for _ in range(5):
        took(send, alone)
    layer = make_two(make, trouble, server, 0, capacity=10)
    assert layer.global_statistics() == {"messages_count": 4, "channel_full_count": 1}
    found = layer.channel_statistics("normal")
    assert found.pop("messages_max_age") >= 0
    assert found == {"messages_count": 4, "channel_full_count": 1, "messages_pending": 4}
    warnings = [record.getMessage() for record in records(caplog, logging.WARNING)]
    assert any("127.0.0.1:%d" % trouble.port in warning for warning in warnings), warnings


def test_there_are_no_statistics_if_no_shard_answers(make):
    with Gone() as first, Gone() as second:
        layer = make(first, second)
        for call in (layer.global_statistics, functools.partial(layer.channel_statistics, "normal")):
            assert isinstance(error_of(call), ConnectionError)


# Blocking receives.


def test_a_blocking_receive_returns_nothing_every_blpop_timeout(make, trouble):
    layer = make(trouble)
    layer.blpop_timeout = 1
    begun = time.time()
    with Worker(layer, ["normal"]) as worker:
        assert worker.wait_for(lambda: len(worker.idle) >= 2 or worker.error), "it does not return"
        assert worker.error is None
        ends = [begun] + worker.idle
        assert all(0.8 < later - earlier < AT_ONCE for earlier, later in zip(ends, ends[1:]))


def test_it_does_so_if_only_one_of_two_shards_is_available(make, trouble, server):
    layer = make_two(make, trouble, server, 0)
    layer.blpop_timeout = 1
    with Worker(layer, ["normal"]) as worker:
        assert worker.wait_for(lambda: len(worker.idle) >= 2 or worker.error), "it does not return"
        assert worker.error is None
        RedisChannelLayer(hosts=[server.url]).send("normal", {"n": 1})
        assert worker.wait_for(lambda: worker.found)


def test_it_goes_on_for_ever_by_default():
    assert RedisChannelLayer().reconnect_timeout is None


def test_it_goes_on_with_reconnect_timeout_none(make, server):
    layer = make(server, reconnect_timeout=None)
    layer.blpop_timeout = 1
    server.kill()
    with Worker(layer, ["normal"]) as worker:
        assert worker.wait_for(lambda: len(worker.idle) >= 2 or worker.error)
        server.start()
        RedisChannelLayer(hosts=[server.url]).send("normal", {"n": 1})
        assert worker.wait_for(lambda: worker.found or worker.error)
        assert (worker.found, worker.error) == ([("normal", {"n": 1})], None)


def test_it_raises_once_the_outage_has_lasted_reconnect_timeout(make, trouble):
    layer = make(trouble, reconnect_timeout=1.5)
    layer.blpop_timeout = 1
    begun = time.time()
    with Worker(layer, ["normal"]) as worker:
        assert worker.wait_for(lambda: worker.error), "it goes on"
        assert 1.4 < time.time() - begun < AT_ONCE
        assert worker.idle, "it did not return before"
        assert isinstance(worker.error, (ConnectionError, TimeoutError))
        assert "127.0.0.1:%d" % trouble.port in str(worker.error)


@needs_stop
def test_it_notices_a_server_that_hangs_while_it_waits(make, server, caplog):
    layer = make(server, reconnect_timeout=1.5)
    layer.blpop_timeout = 1
    with Worker(layer, ["normal"]) as worker:
        eventually(lambda: layer.connection(0).info("clients")["blocked_clients"] or worker.error, "it waits")
        with Stopped(server):
            assert worker.wait_for(lambda: worker.error), "it goes on"
    assert isinstance(worker.error, TimeoutError)
    assert levels(caplog)[0] == "WARNING"


def test_calls_that_fail_meanwhile_do_not_put_that_off(make, trouble):
    layer = make(trouble, reconnect_timeout=1.5)
    layer.blpop_timeout = 1
    with Worker(layer, ["normal"]) as worker:
        end = time.time() + AT_ONCE
        while not worker.error and time.time() < end:
            took(send, layer)
            took(layer.receive, ["normal"])
            time.sleep(0.02)
        assert worker.error, "it goes on"


# What the log says.


def test_the_log_has_one_warning_at_the_beginning_and_one_info_at_the_end(make, server, caplog):
    with caplog.at_level(logging.INFO, "asgi_redis"), Server() as other:
        layer = make(server, other)
        layer.blpop_timeout = 1
        port = server.port
        server.kill()
        with Worker(layer, ["normal"]) as first, Worker(layer, ["normal"]):
            assert first.wait_for(lambda: first.idle)
            for _ in range(20):
                took(layer.send, "normal", {})
                took(layer.receive, ["normal"])
                took(layer.global_statistics)
            assert levels(caplog) == ["WARNING"]
            server.start()
            eventually(lambda: len(records(caplog)) > 1, "its end is logged")
            assert first.wait_for(lambda: len(first.idle) > 1)
        assert levels(caplog) == ["WARNING", "INFO"]
    begin, end = records(caplog)
    place = "Redis 127.0.0.1:%d (shard 1 of 2)" % port
    assert begin.getMessage().startswith(place + " is unavailable, retrying: ")
    assert "Connection refused" in begin.getMessage()
    assert end.getMessage().startswith(place)
    for record in (begin, end):
        assert record.address == "127.0.0.1:%d" % port
        assert record.shard in (0, 1)
        assert record.shard == begin.shard


def test_the_log_says_again_that_it_goes_on_but_not_at_every_call(make, trouble, hurry, caplog):
    with caplog.at_level(logging.INFO, "asgi_redis"):
        layer = make(trouble)
        layer.blpop_timeout = 1
        hurry(layer, remind=1)
        with Worker(layer, ["normal"]) as worker:
            eventually(lambda: took(send, layer) and len(records(caplog)) >= 3, "it is said again")
            assert worker.error is None
        assert set(levels(caplog)) == {"WARNING"} and len(records(caplog)) <= 5
        assert all("127.0.0.1:%d" % trouble.port in record.getMessage() for record in records(caplog))


def test_a_process_that_only_sends_logs_both_too(make, server, caplog):
    with caplog.at_level(logging.INFO, "asgi_redis"):
        layer = make(server)
        server.kill()
        for _ in range(5):
            took(send, layer)
        assert levels(caplog) == ["WARNING"]
        server.start()
        eventually(lambda: took(send, layer)[1] is None, "a send succeeds again")
        assert levels(caplog) == ["WARNING", "INFO"]
