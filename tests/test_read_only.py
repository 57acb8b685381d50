"""A server that replies, but refuses writes, is unavailable: a replica, MISCONF, NOREPLICAS, BUSY."""
from __future__ import unicode_literals

import logging
import os
import time

import pytest
from redis.exceptions import RedisError, ResponseError

from asgi_redis import RedisChannelLayer
from asgi_redis.server.clients import is_outage

from .patience import AT_ONCE
from .servers import Server, eventually
from .troubles import (
    Worker,
    calls_within,
    can_not_save,
    client_of,
    error_of,
    has_no_replicas,
    is_busy,
    is_replica,
    is_replica_that_serves_nothing,
    levels,
    records,
    took,
)

#: How long, in seconds, tests look at what an outage costs.
WATCHED = 1.2

#: How many commands may reach the server in that time: some ten tries, with those that open a connection.
FEW = 40

pytestmark = pytest.mark.usefixtures("hurried_outages")

REFUSALS = [is_replica, can_not_save, has_no_replicas, is_replica_that_serves_nothing]


@pytest.fixture(params=REFUSALS, ids=lambda refusal: refusal.__name__)
def refuses(request):
    return request.param


@pytest.fixture
def server():
    with Server() as server:
        yield server


@pytest.fixture
def layer(server):
    layer = RedisChannelLayer(hosts=[server.url])
    layer.blpop_timeout = 1
    return layer


class Cost(object):
    """What happens inside this ``with`` block: ``commands`` on the server, ``cpu`` seconds of this process."""

    def __init__(self, server):
        self.client = client_of(server)

    def _commands(self):
        return self.client.info("stats")["total_commands_processed"]

    def __enter__(self):
        self._before = self._commands(), sum(os.times()[:2])
        return self

    def __exit__(self, *error):
        self.commands = self._commands() - self._before[0] - 1
        self.cpu = sum(os.times()[:2]) - self._before[1]


def waits(server, worker):
    """Return once ``worker`` waits."""
    eventually(lambda: client_of(server).info("clients")["blocked_clients"] or worker.error, "the worker waits")


def assert_costs_little(server, worker, caplog):
    """That ``worker``, whose server refuses writes, leaves server, processor and log in peace."""
    with Cost(server) as cost:
        worker.wait_for(lambda: worker.error, WATCHED)
        worker.wait_for(lambda: worker.error or records(caplog))
    assert worker.error is None, repr(worker.error)
    assert cost.commands <= FEW
    assert cost.cpu < WATCHED / 4
    assert levels(caplog) == ["WARNING"]


def test_it_costs_an_idle_worker_little(server, layer, refuses, caplog):
    with caplog.at_level(logging.INFO, "asgi_redis"), Worker(layer, ["normal", "process!"]) as worker:
        waits(server, worker)
        with refuses(server):
            assert_costs_little(server, worker, caplog)


def test_it_costs_a_worker_little_that_has_just_received(server, layer, refuses, caplog):
    with caplog.at_level(logging.INFO, "asgi_redis"), Worker(layer, ["normal"]) as worker:
        layer.send("normal", {"n": 1})
        assert worker.wait_for(lambda: worker.found)
        waits(server, worker)
        with refuses(server):
            assert_costs_little(server, worker, caplog)


def test_it_costs_a_worker_little_that_starts_meanwhile(server, layer, refuses, caplog):
    with caplog.at_level(logging.INFO, "asgi_redis"), refuses(server), Worker(layer, ["normal"]) as worker:
        assert_costs_little(server, worker, caplog)


def test_a_worker_goes_on_once_the_server_takes_writes_again(server, layer, refuses, caplog):
    with caplog.at_level(logging.INFO, "asgi_redis"), Worker(layer, ["normal"]) as worker:
        with refuses(server):
            assert worker.wait_for(lambda: records(caplog) or worker.error)
        eventually(lambda: took(layer.send, "normal", {"n": 1})[1] is None, "a send succeeds again")
        assert worker.wait_for(lambda: worker.found or worker.error)
        assert (worker.found, worker.error) == ([("normal", {"n": 1})], None)
        assert levels(caplog) == ["WARNING", "INFO"]


def test_a_message_that_was_there_before_is_received_after_it(server, layer, refuses):
    layer.send("normal", {"n": 1})
    with refuses(server):
        worker = Worker(layer, ["normal"])
        worker.start()
        worker.wait_for(lambda: worker.idle or worker.error or worker.found, 3)
        assert (worker.found, worker.error) == ([], None)
    assert worker.wait_for(lambda: worker.found or worker.error)
    assert (worker.found, worker.error) == ([("normal", {"n": 1})], None)
    worker.__exit__()


def test_reconnect_timeout_is_reached(server, refuses):
    layer = RedisChannelLayer(hosts=[server.url], reconnect_timeout=1.2)
    layer.blpop_timeout = 1
    with Worker(layer, ["normal"]) as worker:
        with refuses(server):
            begun = time.time()
            assert worker.wait_for(lambda: worker.error), "it is not reached"
            assert 1 < time.time() - begun
    assert isinstance(worker.error, RedisError)
    assert "127.0.0.1:%d" % server.port in str(worker.error)


def test_sends_fail_at_once_and_cost_little(server, layer, refuses, caplog):
    with caplog.at_level(logging.INFO, "asgi_redis"), refuses(server):
        error = error_of(layer.send, "normal", {})
        assert isinstance(error, RedisError)
        with Cost(server) as cost:
            assert calls_within(AT_ONCE, 300, layer.send, "normal", {}) == 300
        assert cost.commands <= FEW
        assert "127.0.0.1:%d" % server.port in str(error_of(layer.send, "normal", {}))
        assert levels(caplog) == ["WARNING"]


def test_replies_to_reads_do_not_count(server, layer, refuses, caplog):
    with caplog.at_level(logging.INFO, "asgi_redis"), Worker(layer, ["normal"]) as worker, refuses(server):
        assert worker.wait_for(lambda: records(caplog) or worker.error)
        for call in 5 * [
            layer.global_statistics,
            lambda: layer.group_channels("crowd"),
            lambda: layer.receive(["normal"]),
            lambda: layer.send("normal", {}),
        ]:
            took(call)
            assert levels(caplog) == ["WARNING"]
            time.sleep(0.02)
        assert worker.error is None
        assert levels(caplog) == ["WARNING"]


def test_messages_for_normal_channels_go_to_another_shard(server, refuses):
    with Server() as other:
        layer = RedisChannelLayer(hosts=[server.url, other.url], capacity=1000)
        with refuses(server):
            begun = time.time()
            for number in range(200):
                layer.send("normal", {"n": number})
                assert time.time() - begun < AT_ONCE, "%d sends" % (number + 1)
        alone = RedisChannelLayer(hosts=[other.url])
        assert alone.channel_statistics("normal")["messages_pending"] == 200


def test_a_server_that_is_busy_with_a_script_is_unavailable(server, layer):
    with Worker(layer, ["normal"]) as worker:
        with is_busy(server):
            assert isinstance(error_of(layer.send, "normal", {}), layer.ChannelFull)
            assert worker.wait_for(lambda: worker.idle or worker.error)
        eventually(lambda: took(layer.send, "normal", {"n": 1})[1] is None, "a send succeeds again")
        assert worker.wait_for(lambda: worker.found or worker.error)
        assert (worker.found, worker.error) == ([("normal", {"n": 1})], None)


def test_a_cluster_that_has_too_many_clients_is_unavailable():
    assert is_outage(ResponseError("max number of clients + cluster connections reached"))


def test_out_of_memory_is_not_an_outage(server, layer, caplog):
    with caplog.at_level(logging.INFO, "asgi_redis"):
        layer.send("normal", {"n": 1})
        client_of(server).config_set("maxmemory", 1)
        for _ in range(3):
            assert isinstance(error_of(layer.send, "normal", {}), RedisError)
        assert layer.receive(["normal"], block=True) == ("normal", {"n": 1})
        client_of(server).config_set("maxmemory", 0)
        layer.send("normal", {"n": 2})
        assert layer.receive(["normal"], block=True) == ("normal", {"n": 2})
        assert levels(caplog) == []
