"""Every topology: four shards, Sentinel services, a Redis Cluster. The same tests on each."""
from __future__ import print_function, unicode_literals

import collections
import functools
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from asgi_redis import RedisChannelLayer, RedisClusterChannelLayer, RedisSentinelChannelLayer, cluster
from asgi_redis.delivery.sender import LARGE_BODY
from asgi_redis.server import shard
from asgi_redis.tools.embedded import free_port

from . import acl, old_asgiref, servers, traffic
from .conftest import needs_cluster
from .patience import AT_ONCE, bear_slow_replies
from .test_conformance import lives
from .test_exactly_once import MESSAGES
from .test_wire_format import check_that_traffic_meets_every_row
from .test_wire_peer import peer_of
from .troubles import Silent, Stopped, calls_within, error_of, needs_stop, took


@pytest.fixture
def layer(topology):
    layer = topology.make()
    layer.flush()
    yield layer
    layer.flush()


CONFORMANCE = [name for name in dir(old_asgiref.ConformanceTestCase) if name.startswith("test_")]


@pytest.mark.parametrize("name", CONFORMANCE)
def test_conformance(topology, name):
    case = type(str("Case"), (old_asgiref.ConformanceTestCase,), {
        str("channel_layer"): topology.make(capacity=5, **lives(name, group_expiry=2)),
        str("expiry_delay"): 1.1, str("capacity_limit"): 5, str("receive_tries"): 1,
    })(name)
    case.setUp()
    getattr(case, name)()


def test_each_message_arrives_exactly_once(topology, layer):
    counts, errors = traffic.exchange(topology.make, MESSAGES)
    assert errors == []
    assert len(counts) == MESSAGES and set(counts.values()) == {1}


def test_every_key_is_in_the_tables_of_the_wire_format(topology):
    check_that_traffic_meets_every_row(topology.make)


def test_a_peer_by_the_page_of_the_wire_format_exchanges_messages_with_a_layer(layer):
    peer = peer_of(layer, is_cluster=isinstance(layer, RedisClusterChannelLayer))
    for channel in ("normal", "reader?x", "process!x"):
        queue = layer.non_local_name(channel)
        layer.send(channel, {"n": 1})
        assert peer.receive(queue) == [(channel, {"n": 1})]
        peer.send(channel, {"n": 2})
        assert layer.receive([queue]) == (channel, {"n": 2})


def test_a_peer_by_that_page_and_a_layer_are_members_of_one_group(layer):
    peer = peer_of(layer, is_cluster=isinstance(layer, RedisClusterChannelLayer))
    for name in ("peer!a", "peer!b"):
        peer.join("crowd", name)
    for name in ("layer!a", "layer!b"):
        layer.group_add("crowd", name)
    assert (peer.receive("peer!"), layer.receive(["layer!"])) == ([], (None, None))  # both take batches
    for sender in (layer, peer):
        sender.send_group("crowd", {"n": 1})
        assert peer.receive("peer!") == [("peer!a", {"n": 1}), ("peer!b", {"n": 1})]
        assert [layer.receive(["layer!"])[0] for _ in range(3)] == ["layer!a", "layer!b", None]


def percentiles(seconds):
    """p50, p99 and maximum in ms."""
    seconds = sorted(seconds)
    return [1000 * seconds[place] for place in (len(seconds) // 2, len(seconds) * 99 // 100, -1)]


def test_one_blocking_worker_gets_messages_from_all_shards_at_once(topology, layer, capsys):
    latencies = []
    reader = topology.make()

    def read():
        while len(latencies) < 300:
            _, message = reader.receive(["normal"], block=True)
            if message:
                latencies.append(time.time() - message["sent"])

    thread = threading.Thread(target=read)
    thread.start()
    while thread.is_alive():
        layer.send("normal", {"sent": time.time()})
        time.sleep(0.005)
    p50, p99, maximum = percentiles(latencies)
    with capsys.disabled():
        print("\n%s, %d shards: p50 %.1f ms, p99 %.1f ms, max %.1f ms" % (
            type(layer).__name__, layer.ring_size, p50, p99, maximum
        ))
    # A few ms on a quiet machine; the bound is for busy ones. To wait for one shard at a time takes seconds.
    assert p99 < 4000


def test_groups_and_batches(layer):
    names = ["normal.%d" % n for n in range(20)] + ["reader?%d" % n for n in range(20)]
    names += ["process%d!%d" % (n % 3, n) for n in range(60)]
    for name in names:
        layer.group_add("crowd", name)
    queues = {layer.non_local_name(name) for name in names}
    assert layer.receive(queues) == (None, None)
    layer.send_group("crowd", {"n": 1})
    assert layer.channel_statistics("process0!")["messages_pending"] == 1
    found = list(iter(lambda: layer.receive(queues), (None, None)))
    assert sorted(found) == sorted((name, {"n": 1}) for name in names)
    assert layer.global_statistics() == {"messages_count": 100, "channel_full_count": 0}


def test_flush_deletes_everything_on_every_master(layer):
    for number in range(100):
        layer.send("normal.%d" % number, {})
        layer.send("process%d!x" % number, {})
        layer.group_add("crowd%d" % number, "normal")
    layer.flush()
    for index in range(layer.ring_size):
        keys = servers.client_of(layer, index).keys("*")
        assert [key for key in keys if key.startswith((layer.prefix.encode(), layer.stats_prefix.encode()))] == []


def test_flush_leaves_alone_keys_of_other_applications(layer):
    foreign = []
    for index in range(layer.ring_size):
        foreign.append((servers.client_of(layer, index), layer.prefix + layer.tag(index) + "celery"))
        foreign[-1][0].rpush(foreign[-1][1], "task")
    layer.flush()
    assert [client.lrange(key, 0, -1) for client, key in foreign] == [[b"task"]] * layer.ring_size
    for client, key in foreign:
        client.delete(key)


def test_an_encrypted_message_is_read_with_its_key_only(topology, layer):
    sender, reader, other = [topology.make(symmetric_encryption_keys=[key]) for key in ("key", "key", "other")]
    for without_key in (layer, other):
        sender.send("normal", {"n": 1})
        assert without_key.receive(["normal"]) == (None, None)  # dropped: it cannot be decrypted
    sender.send("normal", {"n": 2})
    assert reader.receive(["normal"], block=True) == ("normal", {"n": 2})


# Failures in the middle of traffic.


class Traffic(object):
    """
    A writer and two blocking readers, in threads. ``acknowledged``: the numbers whose send returned.

    ``stop()`` ends it once everything was read that is there, and returns {number: how often it arrived}.
    """

    def __init__(self, make):
        self.make = make
        self.acknowledged = []
        self.found = []
        self.errors = []
        self.writing = self.reading = True
        work = (self.write, self.read, self.read)
        self.threads = [threading.Thread(target=self.guard, args=(method,)) for method in work]
        for thread in self.threads:
            thread.start()

    def guard(self, work):
        try:
            work(self.make(reconnect_timeout=30))
        except Exception as error:
            self.errors.append(error)

    def write(self, layer):
        number = 0
        while self.writing:
            number += 1
            try:
                layer.send(traffic.CHANNEL, {"n": number})
                self.acknowledged.append(number)
            except Exception:
                time.sleep(0.05)  # not acknowledged: it may arrive or not, but not twice

    def read(self, layer):
        layer.blpop_timeout = 1
        while self.reading:
            _, message = layer.receive([traffic.CHANNEL], block=True)
            if message:
                self.found.append(message["n"])

    def wait_for_more(self, count=200):
        """Return once ``count`` more messages were acknowledged and read."""
        sent, read = len(self.acknowledged) + count, len(self.found) + count
        servers.eventually(
            lambda: self.errors or (len(self.acknowledged) > sent and len(self.found) > read), "messages go through"
        )
        assert self.errors == []

    def stop(self):
        self.writing = False
        self.threads[0].join()
        layer = self.make()

        def is_all_read():
            # The last messages may all have come over one shard, while readers paused on another.
            waiting = layer.channel_statistics(traffic.CHANNEL)["messages_pending"]
            return not waiting and set(self.acknowledged[-100:]) <= set(self.found)

        servers.eventually(is_all_read, "the last messages arrive")
        self.reading = False
        for thread in self.threads:
            thread.join()
        assert self.errors == []
        return collections.Counter(self.found)


@pytest.fixture
def start_traffic():
    """``start_traffic(make)`` gives a ``Traffic``, which ends with the test, also where that fails."""
    started = []

    def start(make):
        started.append(Traffic(make))
        return started[-1]

    yield start
    for each in started:
        each.writing = each.reading = False
        for thread in each.threads:
            thread.join()


def check(counts, acknowledged, since):
    """Everything that was acknowledged after number ``since`` arrived, and nothing after it twice."""
    assert [number for number, count in counts.items() if number > since and count > 1] == []
    assert [number for number in acknowledged if number > since and number not in counts] == []


@needs_cluster
def test_a_slot_moves_in_the_middle_of_traffic(redis_cluster, start_traffic):
    topology = redis_cluster
    running = topology.servers
    traffic_ = start_traffic(topology.make)
    traffic_.wait_for_more()
    layer = topology.make()
    for index in range(layer.ring_size):
        slot = cluster.key_slot(layer.tag(index).encode())
        source = running.master_of_slot(slot)
        target = next(master for master in running.masters() if master is not source)
        running.move_slot(slot, target)
        traffic_.wait_for_more()
        running.move_slot(slot, source)
        traffic_.wait_for_more()
    check(traffic_.stop(), traffic_.acknowledged, 0)


def slot_and_other_master(running, layer):
    """The slot of ``layer``, which has one shard, and a master that does not have it."""
    slot = cluster.key_slot(layer.tag(0).encode())
    source = running.master_of_slot(slot)
    return slot, next(master for master in running.masters() if master is not source)


@needs_cluster
def test_a_large_message_is_sent_while_its_slot_moves(redis_cluster, monkeypatch):
    monkeypatch.setattr(shard, "FOLLOW_FOR", servers.PATIENCE)
    running, layer = redis_cluster.servers, redis_cluster.make(shards=1)
    layer.flush()
    message = {"text": "x" * 2 * LARGE_BODY}
    slot, target = slot_and_other_master(running, layer)
    thread = threading.Thread(target=layer.send, args=("normal", message))
    with running.moving(slot, target):
        thread.start()
        # Its body goes to the target; the queue can't be changed before all of it is there.
        stored = functools.partial(servers.call, running.client(target), "CLUSTER", "COUNTKEYSINSLOT", slot)
        servers.eventually(stored, "the target stores it")
    thread.join(servers.PATIENCE)
    assert layer.receive(["normal"]) == ("normal", message)


@needs_cluster
def test_a_command_that_is_no_script_follows_a_slot_that_moves(redis_cluster):
    running, layer = redis_cluster.servers, redis_cluster.make(shards=1)
    layer.flush()
    with running.moving(*slot_and_other_master(running, layer)):
        assert layer.processes() == {}


def test_a_sentinel_fails_over_in_the_middle_of_traffic(sentinel, start_traffic):
    topology = sentinel
    running = topology.servers
    traffic_ = start_traffic(topology.make)
    traffic_.wait_for_more()
    master = running.master("alpha")
    master.kill()
    servers.eventually(lambda: running.master("alpha") is not master, "another master is elected")
    traffic_.wait_for_more()
    since = traffic_.acknowledged[-1]
    traffic_.wait_for_more()
    check(traffic_.stop(), traffic_.acknowledged, since)


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="Windows can't stop a process")
def test_a_master_that_stood_still_and_was_replaced_is_left_at_once(sentinel):
    layer = sentinel.make()
    service = "beta"  # the other has no replica any more
    index = layer.services.index(service)
    channel = next(name for name in map("reader?{}".format, range(100)) if layer.consistent_hash(name) == index)
    layer.send(channel, {"n": 0})
    old = sentinel.servers.master(service)
    goes_on = threading.Timer(0.7, os.kill, (old.process.pid, signal.SIGCONT))
    os.kill(old.process.pid, signal.SIGSTOP)
    try:
        servers.eventually(lambda: sentinel.servers.master(service) is not old, "another master is elected")
    finally:
        goes_on.start()
    layer.send(channel, {"n": 1})  # takes as long, and goes to the old one, which does not know
    layer.send(channel, {"n": 2})
    new = RedisChannelLayer(hosts=[sentinel.servers.master(service).url], prefix=layer.prefix)
    assert {"n": 2} in [message for _, message in iter(lambda: new.receive([channel]), (None, None))]
    servers.eventually(lambda: servers.is_in_sync(old), "the old master has the data of the new one")


def test_a_sentinel_is_lost(sentinel):
    topology = sentinel
    topology.servers.sentinels[0].kill()
    layer = topology.make()
    layer.send("normal", {"n": 1})
    assert layer.receive(["normal"], block=True) == ("normal", {"n": 1})


@needs_cluster
def test_a_node_that_is_added_is_followed_in_the_middle_of_traffic(redis_cluster, start_traffic, monkeypatch):
    bear_slow_replies(monkeypatch)
    running, layer = redis_cluster.servers, redis_cluster.make()
    traffic_ = start_traffic(redis_cluster.make)
    traffic_.wait_for_more()
    slot = cluster.key_slot(layer.tag(0).encode())
    added = running.add_node()
    acl.arguments([added.port], acl.words_for_cluster())  # its users
    running.move_slot(slot, added)
    traffic_.wait_for_more()
    assert layer.connection(0).exists(layer.prefix + layer.tag(0) + "none") == 0
    assert running.master_of_slot(slot) is added
    check(traffic_.stop(), traffic_.acknowledged, 0)


@needs_cluster
def test_a_cluster_fails_over_in_the_middle_of_traffic(redis_cluster, start_traffic):
    topology = redis_cluster
    traffic_ = start_traffic(topology.make)
    traffic_.wait_for_more()
    topology.servers.fail_over(topology.servers.masters()[0])
    traffic_.wait_for_more()
    since = traffic_.acknowledged[-1]
    traffic_.wait_for_more()
    check(traffic_.stop(), traffic_.acknowledged, since)


@needs_cluster
def test_a_cluster_that_is_unavailable_is_named_and_waited_for():
    from redis.exceptions import ConnectionError

    port = free_port()
    layer = RedisClusterChannelLayer(hosts=["redis://:s3cr3t@127.0.0.1:%d" % port], reconnect_timeout=1)
    for call in (lambda: layer.send("normal", {}), lambda: layer.receive(["normal"])):
        with pytest.raises(ConnectionError) as raised:
            call()
        assert str(port) in str(raised.value) and "s3cr3t" not in str(raised.value)
    begun = time.time()
    with pytest.raises(ConnectionError):
        layer.receive(["normal"], block=True)
    assert time.time() - begun < 10


# Nodes that hang.


@needs_cluster
def test_a_start_node_that_hangs_is_asked_once():
    with Silent() as silent:
        # The call that asks would wait as long as that, if it waited for the reply.
        layer = RedisClusterChannelLayer(hosts=[silent.url], connection_kwargs={"socket_timeout": 2 * servers.PATIENCE})
        assert calls_within(AT_ONCE, 200, layer.send, "normal", {}) == 200
        assert str(silent.port) in str(error_of(layer.send, "normal", {}))
        assert silent.accepted == 1


@needs_cluster
def test_a_shard_of_a_cluster_is_named_without_a_connection():
    with Silent() as silent:
        layer = RedisClusterChannelLayer(hosts=[silent.url])
        assert str(silent.port) in str(layer._parts.shards[0])
        assert silent.accepted == 0


@pytest.fixture(scope="module")
def node():
    with servers.one_node_cluster() as node:
        yield node


@needs_cluster
@needs_stop
def test_a_node_that_hangs_does_not_hold_up_calls(node):
    # This client itself waits for ever.
    client = cluster.RedisCluster(host="127.0.0.1", port=node.port, socket_timeout=None)
    layer = RedisClusterChannelLayer(hosts=[client], shards=1)
    layer.send("normal", {})
    goes_on = threading.Timer(2 * AT_ONCE, os.kill, (node.process.pid, signal.SIGCONT))  # if a call waits for it
    with Stopped(node):
        goes_on.start()
        try:
            assert calls_within(AT_ONCE, 200, layer.send, "normal", {}) == 200
        finally:
            goes_on.cancel()
    servers.eventually(lambda: took(layer.send, "normal", {})[1] is None, "a send succeeds again")


@needs_cluster
def test_a_process_that_is_ending_can_connect_to_a_cluster(node):
    program = """if True:
        import atexit, sys
        from asgi_redis import RedisClusterChannelLayer
        layer = RedisClusterChannelLayer(hosts=[sys.argv[1]])
        atexit.register(layer.send, "goodbye", {"n": 1})
    """
    subprocess.check_call([sys.executable, "-W", "ignore", "-c", program, node.url])
    layer = RedisClusterChannelLayer(hosts=[node.url])
    assert layer.receive(["goodbye"]) == ("goodbye", {"n": 1})


def test_sentinels_that_are_unavailable_are_named():
    from redis.exceptions import ConnectionError

    port = free_port()
    for services in (None, ["alpha"]):
        layer = RedisSentinelChannelLayer(hosts=[("127.0.0.1", port)], services=services, reconnect_timeout=1)
        for block in (False, True):
            with pytest.raises(ConnectionError) as raised:
                layer.receive(["normal"], block)
            assert str(port) in str(raised.value)


@pytest.mark.parametrize("arguments", [
    {"hosts": ["redis://localhost:26379"]}, {"hosts": "localhost"}, {"hosts": []}, {"services": "alpha"},
    {"services": [7]}, {"hosts": [("localhost",)]},
])
def test_bad_arguments_for_sentinel(arguments):
    with pytest.raises(ValueError):
        RedisSentinelChannelLayer(**{str(name): value for name, value in arguments.items()})
