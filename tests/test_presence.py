"""The records of processes that receive."""
from __future__ import unicode_literals

import os
import platform
import threading

import pytest
import redis

from asgi_redis import __version__
from asgi_redis.delivery import presence
from asgi_redis.server.clients import call

from . import servers
from .troubles import Worker


def records(layer):
    return list(layer.processes().values())


def receive(layer, channels=("normal",)):
    for channel in channels:
        layer.send(channel, {})
    layer.receive(list(channels), block=True)


def test_a_process_that_waits_for_messages_is_present_on_each_shard(make_layer, shards):
    layer = make_layer(shards)
    assert records(layer) == []
    receive(layer, ["normal", "other"])
    record, = records(layer)
    assert record["process"] == os.getpid()
    assert record["release"] == __version__
    assert record["python"] == platform.python_version()
    assert record["redis_py"] == redis.__version__
    assert record["channels"] == ["normal", "other"]
    assert record["shards"] == shards
    for index in range(shards):
        assert len(servers.client(index).keys(layer.prefix + "#presence#*")) == 1


def test_a_forked_child_has_a_record_of_its_own(layer):
    receive(layer)
    child = os.fork()
    if not child:
        try:
            receive(layer)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert {record["process"] for record in records(layer)} == {os.getpid(), child}


def test_a_record_expires_by_itself(layer, client):
    receive(layer)
    key, = client.keys(layer.prefix + "#presence#*")
    assert 0 < client.ttl(key) <= presence.LIFE
    client.delete(key)
    assert records(layer) == []


def test_it_is_renewed_only_when_it_is_due(layer, client, monkeypatch):
    receive(layer)
    client.delete(*client.keys(layer.prefix + "#presence#*"))
    receive(layer)
    assert records(layer) == []
    monkeypatch.setattr(layer._parts.receiver._presence, "due_at", 0)
    receive(layer)
    assert len(records(layer)) == 1


def test_keys_are_told_apart_but_can_not_be_read(make_layer):
    pytest.importorskip("cryptography")
    for keys in (["first"], ["second", "first"]):
        receive(make_layer(symmetric_encryption_keys=keys, prefix="test-%s:" % len(keys)))
    found = [record["keys"] for keys in (1, 2) for record in records(make_layer(prefix="test-%s:" % keys))]
    (first,), (second, again) = found
    assert first == again != second
    assert len(first) == 3


def test_flush_removes_it(layer, client):
    receive(layer)
    layer.flush()
    assert client.keys(layer.prefix + "#presence*") == []


def test_data_that_another_process_deletes_is_missed_though_connections_stay(layer, client, monkeypatch, caplog):
    receive(layer)
    client.flushdb()
    receive(layer)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    monkeypatch.setattr(layer._parts.receiver._presence, "due_at", 0)
    receive(layer)
    record, = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "has lost its data" in record.getMessage()


def test_a_record_keeps_what_tells_the_data_that_a_process_began_with(layer, client, monkeypatch):
    receive(layer)
    before, = records(layer)
    origin = client.get(layer.prefix + "#origin").decode("ascii")
    assert origin.startswith(before["origins"][0]) and len(before["origins"][0]) == 6
    client.flushdb()
    monkeypatch.setattr(layer._parts.receiver._presence, "due_at", 0)
    receive(layer)
    after, = records(layer)
    assert after["origins"] == before["origins"]
    assert client.get(layer.prefix + "#origin").decode("ascii") != origin


def test_threads_share_one_record(layer):
    threads = [threading.Thread(target=receive, args=(layer,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(records(layer)) == 1


def waiting(client):
    """The numbers of the connections that wait for messages."""
    return {found["id"] for found in client.client_list() if found["cmd"] == "blpop"}


def test_a_thread_whose_connection_broke_is_not_counted_twice(layer, client, monkeypatch):
    others = waiting(client)
    with Worker(layer, ["normal"]) as worker:
        first, = servers.eventually(lambda: waiting(client) - others, "it waits")
        call(client, "CLIENT", "KILL", "ID", first)
        servers.eventually(lambda: waiting(client) - others - {first}, "it waits again")
        for number in (1, 2):
            monkeypatch.setattr(layer._parts.receiver._presence, "due_at", 0)
            layer.send("normal", {})
            assert worker.wait_for(lambda number=number: len(worker.found) == number)
    assert [record["waits"] for record in records(layer)] == [1]
