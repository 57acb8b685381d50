"""What breaks again and again leaves nothing behind: no object in the process, no key on the server."""
from __future__ import unicode_literals

import collections
import gc
import logging

import pytest
import redis

from asgi_redis import RedisChannelLayer

from .patience import attempt
from .servers import Server, eventually
from .troubles import Stopped, Worker, took

#: How often connections break before objects are counted first, for caches to fill, and then until the second time.
BEFORE = 30
COUNTED = 120

#: How many objects, entries of containers or keys may have come: far fewer than one for each time.
SLACK = COUNTED // 2


@pytest.fixture(autouse=True)
def without_log():
    """Else what pytest keeps of the log would grow."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(params=[1, 2])
def servers(request):
    running = [Server().start() for _ in range(request.param)]
    yield running
    for server in running:
        server.stop()


def size_of_process():
    """{what: how many}."""
    for _ in range(3):
        gc.collect()
    objects = gc.get_objects()
    own = [thing for thing in objects if str(type(thing).__module__).startswith(("asgi_redis", "redis"))]
    # The collector does not know texts, numbers, and tuples of them.
    containers = [thing for thing in objects if type(thing) in (dict, list, set, collections.deque)]
    return {"objects": len(objects), "own objects": len(own), "entries": sum(len(thing) for thing in containers)}


def assert_does_not_grow(clients, break_once):
    def keys():
        return sum(client.dbsize() for client in clients)

    for _ in range(BEFORE):
        break_once()
    before, keys_before = size_of_process(), keys()
    for _ in range(COUNTED):
        break_once()
    after = size_of_process()
    grown = {what: after[what] - before[what] for what in before}
    assert all(number < SLACK for number in grown.values()), grown
    # Some keys live on for a few seconds.
    eventually(lambda: keys() - keys_before < SLACK, "the keys on the servers are no more than before")


def wait_until_blocked(clients, worker):
    def all_block():
        assert worker.error is None, repr(worker.error)
        return all(client.info("clients")["blocked_clients"] for client in clients)

    eventually(all_block, "the worker waits")


def test_a_worker_whose_connections_are_killed_while_it_waits(servers):
    clients = [redis.StrictRedis(port=server.port) for server in servers]
    layer = RedisChannelLayer(hosts=[server.url for server in servers])

    def kill():
        wait_until_blocked(clients, worker)
        for client in clients:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal")
        del worker.idle[:]  # the test's own, one for each time that a receive returned nothing

    with Worker(layer, ["normal", "process!"]) as worker:
        assert_does_not_grow(clients, kill)
        layer.send("normal", {"n": 1})
        assert worker.wait_for(lambda: worker.found)
        worker.ended = True
        layer.send("normal", {"n": 2})


def test_a_process_whose_connections_are_killed_before_each_call(servers):
    clients = [redis.StrictRedis(port=server.port) for server in servers]
    layer = RedisChannelLayer(hosts=[server.url for server in servers], capacity=10 ** 6)

    def kill():
        for client in clients:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal")
        layer.send("normal", {"n": 1})
        layer.send_group("crowd", {"n": 1})
        for _ in range(6):  # all that was sent, and an answer that was lost
            took(layer.receive, ["normal", "process!"])

    for name in ("normal", "process!x", "process!y"):
        layer.group_add("crowd", name)
    assert_does_not_grow(clients, kill)


def test_outages_leave_no_connections_behind(hurry, hurried_outages):
    with Server() as server:
        client = redis.StrictRedis(port=server.port)
        layer = RedisChannelLayer(hosts=[server.url])
        hurry(layer, reply=0.3)
        for _ in range(4):
            layer.send("normal", {})
            with Stopped(server):
                eventually(lambda: "next try in" in str(attempt(layer.send, "normal", {})), "sends fail at once")
            eventually(lambda: attempt(layer.send, "normal", {}) is None, "sends succeed")
        eventually(lambda: client.info("clients")["connected_clients"] == 2, "the layer has one connection")
