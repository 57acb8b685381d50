"""RedisLocalChannelLayer while the shared Redis is in trouble: what is on the machine goes on at once."""
from __future__ import unicode_literals

import time

import pytest
from redis.exceptions import ConnectionError

from asgi_redis import RedisChannelLayer, RedisLocalChannelLayer

from .patience import AT_ONCE
from .servers import Server
from .test_blocking import wait_until_blocked
from .troubles import Stopped, Worker, error_of, needs_stop, took

#: How often a receive is tried: where it looks first may be a matter of chance. To wait half a second each time would
#: take longer than ``AT_ONCE``.
TRIES = 40


@pytest.fixture
def shared():
    with Server() as server:
        yield server


@pytest.fixture
def local():
    with Server() as server:
        yield server


def make(shared, local):
    return RedisLocalChannelLayer(
        hosts=[shared.url], local_layer=RedisChannelLayer(hosts=[local.url], prefix="local:")
    )


@pytest.fixture
def layer(shared, local):
    """One that is connected already."""
    layer = make(shared, local)
    assert layer.receive(["normal", "process!"]) == (None, None)
    return layer


def assert_local_messages_come_at_once(layer, block):
    begun = time.time()
    for number in range(TRIES):
        layer.send("normal", {"n": number})
        assert layer.receive(["normal", "process!"], block=block) == ("normal", {"n": number})
        assert time.time() - begun < AT_ONCE, "try %d" % (number + 1)


@needs_stop
@pytest.mark.parametrize("block", [True, False])
def test_a_local_message_that_is_there_is_received_at_once_while_redis_hangs(shared, layer, block):
    with Stopped(shared):
        assert_local_messages_come_at_once(layer, block)


@pytest.mark.parametrize("block", [True, False])
def test_so_it_is_while_redis_is_gone(shared, layer, block):
    shared.kill()
    assert_local_messages_come_at_once(layer, block)


@needs_stop
def test_a_busy_local_channel_is_seldom_held_up_while_redis_hangs(shared, layer, hurried_outages):
    """Some receives look at Redis first, and those wait for a server that hangs."""
    held_up = 0
    with Stopped(shared):
        begun = time.time()
        while time.time() - begun < 5:
            layer.send("normal", {})
            before = time.time()
            assert layer.receive(["normal", "process!"]) == ("normal", {})
            held_up += time.time() - before if time.time() - before > 0.2 else 0
    # The first look takes 2 seconds, until a reply is overdue, or so; then each takes half a second.
    assert 0 < held_up < 3


@needs_stop
def test_one_that_comes_later_is_received_at_once_too(shared, local, layer):
    layer.blpop_timeout = 1
    with Worker(layer, ["normal", "process!"]) as worker:
        assert worker.wait_for(lambda: worker.idle)
        begun = time.time()
        with Stopped(shared):
            for number in range(20):
                wait_until_blocked(RedisChannelLayer(hosts=[local.url]), 1)
                layer.send("normal", {"n": number})
                assert worker.wait_for(lambda number=number: len(worker.found) > number)
                assert time.time() - begun < AT_ONCE, "message %d" % (number + 1)


@needs_stop
def test_a_blocking_receive_still_returns_after_blpop_timeout(shared, local, hurry):
    layer = make(shared, local)
    layer.blpop_timeout = 1
    hurry(layer, reply=0.3)
    with Stopped(shared), Worker(layer, ["normal", "process!"]) as worker:
        begun = time.time()
        assert worker.wait_for(lambda: len(worker.idle) >= 2 or worker.error, 10)
        assert worker.error is None
        assert time.time() - begun > 1


def test_messages_for_redis_fail_at_once_and_local_ones_are_sent(shared, layer):
    shared.kill()
    error = error_of(layer.send, "process!x", {})
    assert "127.0.0.1:%d" % shared.port in str(error)
    begun = time.time()
    for number in range(80):
        layer.send("normal", {"n": number})
        took(layer.send, "process!x", {})
        assert time.time() - begun < AT_ONCE, "%d sends" % (number + 1)


def test_a_local_server_that_is_gone_does_not_hold_up_what_comes_from_redis(local, layer):
    local.kill()
    begun = time.time()
    for number in range(TRIES):
        layer.send("process!x", {"n": number})
        assert layer.receive(["normal", "process!"], block=True) == ("process!x", {"n": number})
        assert time.time() - begun < AT_ONCE, "try %d" % (number + 1)


def test_a_group_send_without_the_local_server_reaches_the_other_members_and_raises(local, layer, caplog):
    for member in ("normal", "process!x"):
        layer.group_add("crowd", member)
    local.kill()
    for number in range(3):
        error = error_of(layer.send_group, "crowd", {"n": number})
        assert isinstance(error, ConnectionError) and "127.0.0.1:%d" % local.port in str(error)
        assert not isinstance(error, layer.ChannelFull)
        assert layer.receive(["process!"]) == ("process!x", {"n": number})
    assert "is full" not in caplog.text
