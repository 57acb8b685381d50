"""What a reader that waits costs, and what it leaves behind, on every topology."""
from __future__ import unicode_literals

import collections
import json
import signal
import subprocess
import threading
import time

import pytest
from redis.exceptions import ResponseError

from asgi_redis import RedisChannelLayer, RedisClusterChannelLayer
from asgi_redis.local import RedisLocalChannelLayer

from . import servers
from .commands import start_program
from .patience import AT_ONCE
from .test_blocking import wait_until_blocked
from .troubles import interrupted_after

resource = pytest.importorskip("resource", reason="Windows does not tell how much processor time was used")

#: Seconds of processor time that a wait may use. It uses 1 to 5 ms, however long it is, and more on a busy machine; a
#: look every 20 ms would, in 3 seconds, use 100.
LITTLE = 0.05

#: What servers, and those that watch them, do among themselves.
CHATTER = {"info", "ping", "publish", "replconf"}

#: A program that waits for a message, with Ctrl-C as a terminal would have it.
RECEIVER = """
from __future__ import print_function, unicode_literals
import json, signal, sys
import asgi_redis

signal.signal(signal.SIGINT, signal.default_int_handler)
layer = getattr(asgi_redis, sys.argv[1])(hosts=json.loads(sys.argv[2]))
layer.blpop_timeout = 60
try:
    layer.receive(["normal"], block=True)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.fixture
def layer(topology):
    layer = topology.make()
    layer.flush()
    yield layer
    layer.flush()


def clients(layer):
    return [layer.connection(index) for index in range(layer.ring_size)]


# What it costs.


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def cost_of_waiting(layer):
    """Seconds of processor time for a blocking receive in which nothing comes."""
    layer.blpop_timeout = 3
    layer.receive(["normal", "process!"])
    before = cpu_seconds()
    assert layer.receive(["normal", "process!"], block=True) == (None, None)
    return cpu_seconds() - before


def test_an_idle_worker_uses_next_to_no_cpu(layer):
    assert cost_of_waiting(layer) < LITTLE


def test_nor_does_one_with_a_local_layer():
    first, second = servers.hosts(2)
    layer = RedisLocalChannelLayer(hosts=[first], local_layer=RedisChannelLayer(hosts=[second]))
    assert cost_of_waiting(layer) < LITTLE


def test_an_idle_worker_sends_two_commands_a_shard(layer):
    layer.blpop_timeout = 1
    layer.receive(["normal"], block=True)
    servers_of_shards = {client.connection_pool: client for client in clients(layer)}.values()
    before = [servers.calls(client) for client in servers_of_shards]
    layer.receive(["normal"], block=True)
    called = collections.Counter()
    for client, counted in zip(servers_of_shards, before):
        called += servers.calls(client) - counted
    # GET and LPOP in the script; LINDEX on a Redis Cluster, whose slots may move.
    look = "lindex" if isinstance(layer, RedisClusterChannelLayer) else "lpop"
    expected = {name: layer.ring_size for name in ("eval", "get", look, "blpop")}
    assert {name: count for name, count in called.items() if name not in CHATTER} == expected


# What it leaves behind.


def be_interrupted(layer):
    with interrupted_after(0.05):
        layer.receive(["normal"], block=True)


def get_a_message(layer):
    sender = threading.Timer(0.02, layer.send, ("normal", {}))
    sender.start()
    assert layer.receive(["normal"], block=True) == ("normal", {})
    sender.join()


def raise_an_error(layer):
    for index, client in enumerate(clients(layer)):
        client.set(layer.prefix + layer.tag(index) + "wrong", "no list", px=1000)
    with pytest.raises(ResponseError):
        layer.receive(["wrong"], block=True)


def in_threads_that_end(layer):
    threads = [threading.Thread(target=layer.receive, args=(["normal"], True)) for _ in range(5)]
    for thread in threads:
        thread.start()
    wait_until_blocked(layer, layer.ring_size, len(threads))
    for _ in threads:
        layer.send("normal", {})
    for thread in threads:
        thread.join()


def connections(layer):
    """How many clients each shard's server has."""
    return [len(client.client_list()) for client in clients(layer)]


def blocked(layer):
    return sum(client.info("clients")["blocked_clients"] for client in clients(layer))


@pytest.mark.parametrize("wait", [get_a_message, be_interrupted, raise_an_error, in_threads_that_end])
def test_no_wait_leaves_a_connection_behind(layer, wait):
    for _ in range(10):  # until as many calls as can coincide have done so
        wait(layer)
    before = connections(layer)
    for _ in range(10):
        wait(layer)
    assert blocked(layer) == 0
    # A server that a Sentinel or another node asks something at the moment has a client more.
    assert [now - then for now, then in zip(connections(layer), before) if now - then > 3] == []


def test_ctrl_c_ends_the_wait_at_once(topology, layer):
    hosts = json.dumps(topology.make.keywords["hosts"])
    process = start_program(RECEIVER, type(layer).__name__, hosts, stdout=subprocess.PIPE)
    wait_until_blocked(layer, layer.ring_size)
    begun = time.time()
    process.send_signal(signal.SIGINT)
    assert process.communicate()[0] == b"interrupted\n"
    assert time.time() - begun < AT_ONCE
    assert blocked(layer) == 0
