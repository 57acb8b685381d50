"""A server that comes back without its data has no group memberships: the log says so, once, and says what to do."""
from __future__ import unicode_literals

import contextlib
import logging
import re

import pytest
import redis

from asgi_redis import RedisChannelLayer

from .faults.proxy import Proxy
from .servers import Server, eventually
from .troubles import Stopped, Worker, levels, needs_stop, records, took

#: Options of servers whose data survives.
KEEPS = {
    "appendonly": ["--appendonly", "yes", "--appendfsync", "always"],
    "save": [],
}


@contextlib.contextmanager
def working(*urls, **options):
    """A layer, and a worker that has received by it, with channels in groups. ``prepare(layer)`` is called first."""
    layer = RedisChannelLayer(hosts=list(urls))
    layer.blpop_timeout = 1
    options.get("prepare", id)(layer)
    for number in range(10):
        layer.group_add("crowd%d" % number, "process!%d" % number)
    with Worker(layer, ["normal", "process!"]) as worker:
        receive_again(layer, worker)
        yield layer, worker


def receive_again(layer, worker):
    """Return once messages come through every shard again."""
    for name in ["normal", "process!x"] + ["normal"] * 2 * layer.ring_size:
        before = len(worker.found)
        eventually(lambda name=name: took(layer.send, name, {})[1] is None, "a send succeeds")
        assert worker.wait_for(lambda before=before: len(worker.found) > before or worker.error)
        assert worker.error is None


def errors(caplog):
    return [record.getMessage() for record in records(caplog, logging.ERROR)]


def assert_says_so(text, port):
    assert "127.0.0.1:%d" % port in text
    assert re.search("group memberships", text, re.IGNORECASE)
    assert re.search("restart[^.]*interface server|interface server[^.]*restart", text, re.IGNORECASE)


def test_a_worker_logs_one_error(caplog):
    with Server() as server, working(server.url) as (layer, worker):
        server.kill()
        server.start()
        receive_again(layer, worker)
        [text] = errors(caplog)
        assert_says_so(text, server.port)
        assert "127.0.0.1:%d" % server.port == records(caplog, logging.ERROR)[0].address


def test_two_workers_in_one_process_log_one_error(caplog):
    with Server() as server, working(server.url) as (layer, worker):
        with Worker(layer, ["other"]) as other:
            server.kill()
            server.start()
            receive_again(layer, worker)
            layer.send("other", {})
            assert other.wait_for(lambda: other.found or other.error) and other.error is None
        [text] = errors(caplog)
        assert_says_so(text, server.port)


def test_it_is_logged_each_time(caplog):
    with Server() as server, working(server.url) as (layer, worker):
        for times in (1, 2):
            server.kill()
            server.start()
            receive_again(layer, worker)
            assert len(errors(caplog)) == times


def test_it_names_the_shard(caplog):
    with Server() as first, Server() as second, working(first.url, second.url) as (layer, worker):
        second.kill()
        second.start()
        receive_again(layer, worker)
        [text] = errors(caplog)
        assert_says_so(text, second.port)
        assert "shard 2 of 2" in text


def test_it_is_logged_also_if_nobody_noticed_that_the_server_was_gone(caplog):
    with Server() as server:
        layer = RedisChannelLayer(hosts=[server.url])
        layer.group_add("crowd", "process!x")
        layer.send("normal", {})
        layer.receive(["normal"])
        server.kill()
        server.start()
        with Worker(layer, ["normal", "process!"]) as worker:
            receive_again(layer, worker)
            [text] = errors(caplog)
            assert_says_so(text, server.port)


def test_processes_that_only_send_to_groups_log_it_too(caplog):
    with Server() as server:
        layer = RedisChannelLayer(hosts=[server.url])
        layer.group_add("crowd", "normal")
        for _ in range(3):
            layer.send_group("crowd", {})
        server.kill()
        server.start()
        for _ in range(3):
            layer.send_group("crowd", {})
        [text] = errors(caplog)
        assert_says_so(text, server.port)


# What is none of this.


@pytest.mark.parametrize("kind", sorted(KEEPS))
def test_nothing_is_said_of_a_server_that_keeps_its_data(kind, caplog):
    with Server(KEEPS[kind]) as server, working(server.url) as (layer, worker):
        if kind == "save":
            redis.StrictRedis(port=server.port).config_set("save", "3600 1")
        server.process.terminate()
        server.process.wait()
        server.start()
        receive_again(layer, worker)
        assert layer.group_channels("crowd1") == ["process!1"]
        assert errors(caplog) == []


def test_nothing_is_said_after_a_flush(caplog):
    with Server() as server, working(server.url) as (layer, worker):
        layer.flush()
        receive_again(layer, worker)
        RedisChannelLayer(hosts=[server.url]).flush()  # as another process
        receive_again(layer, worker)
        assert errors(caplog) == []


def test_nothing_is_said_of_a_flush_followed_by_a_restart_of_connections(caplog):
    with Server() as server, working(server.url) as (layer, worker):
        layer.flush()
        client = redis.StrictRedis(port=server.port)
        for _ in range(3):
            client.execute_command("CLIENT", "KILL", "TYPE", "normal")
            receive_again(layer, worker)
        assert errors(caplog) == []


def test_nothing_is_said_of_broken_connections(caplog):
    with Server() as server:
        proxy = Proxy(server.port).start()
        try:
            with working("redis://127.0.0.1:%d/0" % proxy.port) as (layer, worker):
                for link in list(proxy.links):
                    link.close()
                receive_again(layer, worker)
        finally:
            proxy.stop()
        assert errors(caplog) == []


@needs_stop
def test_nothing_is_said_of_a_server_that_stood_still(caplog, hurry):
    with Server() as server, working(server.url, prepare=lambda layer: hurry(layer, reply=0.3)) as (layer, worker):
        with Stopped(server):
            eventually(lambda: took(layer.send, "normal", {}) and (levels(caplog) or worker.error), "it is noticed")
        receive_again(layer, worker)
        assert errors(caplog) == []


def test_nothing_is_said_of_a_server_that_is_empty_at_first(caplog):
    with Server() as server:
        for _ in range(2):
            with working(server.url) as (layer, worker):
                receive_again(layer, worker)
        assert errors(caplog) == []
