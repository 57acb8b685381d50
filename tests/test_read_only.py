"""A server that answers reads and refuses writes is unavailable: a replica, MISCONF, NOREPLICAS."""
from __future__ import unicode_literals

import contextlib
import logging
import os
import time

import pytest
import redis
from redis.exceptions import RedisError, ResponseError

from asgi_redis import RedisChannelLayer

from .servers import Server, eventually
from .troubles import Worker, calls_within, error_of, levels, records, took

#: How long, in seconds, tests look at what an outage costs.
WATCHED = 2.5

#: How many commands may reach the server in that time: some ten tries, with those that open a connection.
FEW = 40


def client_of(server):
    return redis.StrictRedis(port=server.port, decode_responses=True)


def set_option(server, names, value):
    """CONFIG SET the first of ``names`` that the server has: some have newer ones."""
    for name in names:
        try:
            client_of(server).config_set(name, value)
            return
        except ResponseError:
            if name == names[-1]:
                raise


# Each: refuses writes inside the ``with`` block, and serves again after it.


@contextlib.contextmanager
def is_replica(server):
    """Of a master that is gone: what a failover behind a fixed address leaves for a while."""
    client_of(server).execute_command("SLAVEOF", "127.0.0.1", 1)
    try:
        yield
    finally:
        client_of(server).execute_command("SLAVEOF", "NO", "ONE")


@contextlib.contextmanager
def can_not_save(server):
    """MISCONF: there is a folder where its dump would go."""
    client = client_of(server)
    folder = os.path.join(server.folder, client.config_get("dbfilename")["dbfilename"])
    os.mkdir(folder)
    client.config_set("save", "3600 1000000")
    client.config_set("stop-writes-on-bgsave-error", "yes")
    save(client, "err")
    try:
        yield
    finally:
        os.rmdir(folder)
        save(client, "ok")
        client.config_set("save", "")


def save(client, status):
    """Try to, until the last try has ended so."""
    def has_status():
        info = client.info("persistence")
        if info["rdb_last_bgsave_status"] != status and not info["rdb_bgsave_in_progress"]:
            client.bgsave()
        return info["rdb_last_bgsave_status"] == status

    eventually(has_status, "saving ends with %s" % status)


@contextlib.contextmanager
def has_no_replicas(server):
    """NOREPLICAS: it wants one."""
    names = ["min-replicas-to-write", "min-slaves-to-write"]
    set_option(server, names, 1)
    try:
        yield
    finally:
        set_option(server, names, 0)


@contextlib.contextmanager
def is_replica_that_serves_nothing(server):
    """MASTERDOWN, also to reads."""
    names = ["replica-serve-stale-data", "slave-serve-stale-data"]
    set_option(server, names, "no")
    with is_replica(server):
        yield
    set_option(server, names, "yes")


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


def test_it_costs_a_worker_little(server, layer, refuses, caplog):
    with caplog.at_level(logging.INFO, "asgi_redis"), Worker(layer, ["normal", "process!"]) as worker:
        layer.send("normal", {"n": 1})
        assert worker.wait_for(lambda: worker.found)
        with refuses(server):
            with Cost(server) as cost:
                worker.wait_for(lambda: worker.error, WATCHED)
            assert worker.error is None, repr(worker.error)
            assert cost.commands <= FEW
            assert cost.cpu < WATCHED / 4
            assert levels(caplog) == ["WARNING"]


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
    layer = RedisChannelLayer(hosts=[server.url], reconnect_timeout=2)
    layer.blpop_timeout = 1
    with Worker(layer, ["normal"]) as worker:
        with refuses(server):
            begun = time.time()
            assert worker.wait_for(lambda: worker.error, 8), "it is not reached"
            assert 1 < time.time() - begun
    assert isinstance(worker.error, RedisError)
    assert "127.0.0.1:%d" % server.port in str(worker.error)


def test_sends_fail_at_once_and_cost_little(server, layer, refuses, caplog):
    with caplog.at_level(logging.INFO, "asgi_redis"), refuses(server):
        error = error_of(layer.send, "normal", {})
        assert isinstance(error, RedisError)
        with Cost(server) as cost:
            assert calls_within(3, 300, layer.send, "normal", {}) == 300
        assert cost.commands <= FEW
        assert "127.0.0.1:%d" % server.port in str(error_of(layer.send, "normal", {}))
        assert levels(caplog) == ["WARNING"]


def test_answers_to_reads_do_not_count(server, layer, refuses, caplog):
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
                assert time.time() - begun < 5, "%d sends" % (number + 1)
        alone = RedisChannelLayer(hosts=[other.url])
        assert alone.channel_statistics("normal")["messages_pending"] == 200


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
