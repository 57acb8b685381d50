"""The user from "Least privilege" in docs/deploying.rst may do everything that a layer does, and nothing else."""
from __future__ import unicode_literals

import time

import pytest
import redis
from redis.exceptions import RedisError, ResponseError

from asgi_redis import RedisChannelLayer, RedisClusterChannelLayer, RedisSentinelChannelLayer, cluster
from asgi_redis.delivery.pops import OpenPop
from asgi_redis.server.clients import REDIS_PY, call
from asgi_redis.tools.check.servers import Server
from asgi_redis.tools.stats.collect import collect

from . import acl, servers
from .patience import AT_ONCE, LONG_WAIT
from .servers import eventually
from .test_blocking import Reader

pytestmark = pytest.mark.skipif(REDIS_PY < (3, 4), reason="redis-py before 3.4 knows no users")

PREFIXES = ("acl:", "acl-meta:")

LOGIN = {"username": "channels", "password": acl.PASSWORD}


def everything(layer):
    """Do everything that a layer does. RedisError or AssertionError if something is not permitted."""
    clients = [servers.client_of(layer, index) for index in range(layer.ring_size)]
    for client in clients:
        client.script_flush()
    layer.flush()
    messages(layer)
    groups(layer)
    waits(layer, clients)
    repairs(layer)
    assert layer.global_statistics()["messages_count"] > 0
    assert layer.channel_statistics("full")["channel_full_count"] == 2
    assert layer.processes()
    layer.flush()
    assert layer.global_statistics()["messages_count"] == 0


def messages(layer):
    for channel, receivable in (("normal", "normal"), ("reader?x", "reader?x"), ("process!x", "process!")):
        for block in (False, True):
            layer.send(channel, {"n": 1})
            assert layer.receive([receivable], block) == (channel, {"n": 1})
    for number in range(201):  # so many are noted of those that an empty queue got
        layer.send("reader?y", {"n": number})
        assert layer.receive(["reader?y"]) == ("reader?y", {"n": number})
    with pytest.raises(layer.ChannelFull):
        for _ in range(layer.capacity + 1):
            layer.send("full", {})


def groups(layer):
    for name in ("process!a", "process!b", "reader?x", "full", "gone"):
        layer.group_add("crowd", name)
    layer.group_discard("crowd", "gone")
    assert len(layer.group_channels("crowd")) == 4
    layer.receive(["process!"])
    layer.send_group("crowd", {"n": 2})
    assert layer.channel_statistics("process!")["messages_pending"] == 1
    found = [layer.receive(["process!"])[0] for _ in range(2)] + [layer.receive(["reader?x"])[0]]
    assert sorted(found) == ["process!a", "process!b", "reader?x"]


def waits(layer, clients):
    """Wait for messages, several times: the connections that waited in vain must be kept."""
    opened = []
    for number in range(4):
        reader = Reader(layer, ["normal"])
        while reader.is_alive() and not all(client.info("clients")["blocked_clients"] for client in clients):
            pass
        layer.send("normal", {"n": number})
        reader.join()
        if reader.error:
            raise reader.error
        assert reader.found == ("normal", {"n": number})
        opened.append([connections(client) for client in clients])
    assert all(after <= before for before, after in zip(opened[1], opened[3]))  # no new ones


def repairs(layer):
    """What is done after failures."""
    layer.return_message("reader?x", {"n": 1})
    shard, pops = layer._parts.shards[layer.consistent_hash("reader?x")], layer._parts.pops
    queue_keys = [shard.keys.queue("reader?x")]
    assert layer.receive(["reader?x"]) == ("reader?x", {"n": 1})
    session = shard.borrow()  # that of the receive, as if its reply had been lost
    pops.lost_call(shard, queue_keys, session.key, session.number, RedisError())
    shard.retire(session)
    assert layer.receive(["reader?x"]) == ("reader?x", {"n": 1})
    layer.send("reader?x", {"n": 2})
    entry = pops.start(shard, queue_keys, 5)
    assert pops.result(entry)
    pops.leave([entry])
    pops._add(OpenPop(shard, queue_keys, 0))
    pops.settle(shard)
    assert layer.receive(["reader?x"], block=True) == ("reader?x", {"n": 2})
    session = shard.borrow()
    session.number -= 1  # so that the next call has the number of the last one, as if that was repeated
    shard.give_back(session)
    layer.send("reader?x", {"n": 3})
    assert layer.receive(["reader?x"]) == (None, None)


def connections(client):
    """The numbers of all connections of users of least privilege."""
    return {info["id"] for info in client.client_list() if info.get("user", "").startswith("channels")}


def denied(client):
    """Return the commands and keys that were denied to users."""
    entries = [log if isinstance(log, dict) else dict(zip(log[::2], log[1::2])) for log in call(client, "ACL", "LOG")]
    return {entry[b"object"] for entry in entries}


@pytest.fixture
def make_user():
    """``make_user(words)``: a layer of two shards, of a user with these permissions; nothing is in the ACL LOG."""
    made = []

    def make(words):
        for client in (servers.client(index) for index in range(2)):
            acl.set_user(client, "channels", acl.fitted(words, *PREFIXES))
            call(client, "ACL", "LOG", "RESET")
        hosts = [acl.with_user(server.url, "channels") for server in servers.plain(2)]
        made.append(RedisChannelLayer(hosts=hosts, prefix=PREFIXES[0], stats_prefix=PREFIXES[1], capacity=3))
        return made[-1]

    yield make
    if made:
        RedisChannelLayer(
            hosts=[server.url for server in servers.plain(2)], prefix=PREFIXES[0], stats_prefix=PREFIXES[1]
        ).flush()


def permissions(words):
    return [word for word in words if word[0] in "+~"]


def without(words, permission):
    return [word for word in words if word != permission]


def test_the_user_may_do_all_that_a_layer_does(make_user):
    everything(make_user(acl.words()))
    for index in range(2):
        assert denied(servers.client(index)) == set()


@pytest.mark.parametrize("permission", permissions(acl.words()))
def test_no_permission_is_superfluous(make_user, permission):
    layer = make_user(without(acl.words(), permission))
    layer.blpop_timeout = 1
    with pytest.raises((RedisError, AssertionError)):
        everything(layer)


def test_all_but_flush_may_do_without_scan_and_type(make_user):
    layer = make_user(without(without(acl.words(), "+scan"), "+type"))
    messages(layer)
    groups(layer)
    assert layer.global_statistics()["messages_count"] > 0


def test_a_database_other_than_0_needs_select(make_user):
    make_user(acl.words())
    host = acl.with_user(servers.plain()[0].url.replace("/0", "/1"), "channels")
    layer = RedisChannelLayer(hosts=[host], prefix=PREFIXES[0], stats_prefix=PREFIXES[1])
    with pytest.raises(RedisError):
        layer.send("normal", {"n": 1})
    make_user(acl.words() + ["+select"])
    layer.send("normal", {"n": 1})
    assert layer.receive(["normal"]) == ("normal", {"n": 1})
    layer.flush()


def test_a_refusal_is_an_error_at_once(make_user, monkeypatch):
    monkeypatch.setattr(RedisChannelLayer, "blpop_timeout", LONG_WAIT)
    begun = time.time()
    layer = make_user(without(acl.words(), "+evalsha"))
    for refused in (
        lambda: layer.send("normal", {"n": 1}),
        lambda: layer.receive(["normal"]),
        lambda: layer.receive(["normal"], block=True),
        lambda: layer.group_add("crowd", "normal"),
        lambda: make_user(without(acl.words(), "+blpop")).receive(["normal"], block=True),
    ):
        with pytest.raises(ResponseError) as raised:
            refused()
        assert acl.PASSWORD not in str(raised.value)
    assert time.time() - begun < AT_ONCE


def stats(layer):
    found = collect(layer)
    assert not any("error" in shard for shard in found["shards"])
    return found


def test_a_wait_that_the_user_must_not_end_is_given_up(make_user):
    """It ends by a push to a list of its own. If it went on, the server would give it the next message."""
    layer = make_user(without(acl.words(), "+lpush"))
    layer.blpop_timeout = LONG_WAIT
    hosts = [server.url for server in servers.plain(2)]
    sender = RedisChannelLayer(hosts=hosts, prefix=PREFIXES[0], stats_prefix=PREFIXES[1])
    clients = [servers.client_of(layer, index) for index in range(2)]
    reader = Reader(layer, ["normal"])
    eventually(lambda: all(client.info("clients")["blocked_clients"] for client in clients), "it waits")
    begun = time.time()
    sender.send("normal", {"n": 1})
    reader.join()
    assert reader.found == ("normal", {"n": 1})
    layer.receive(["normal"])
    eventually(lambda: not any(client.info("clients")["blocked_clients"] for client in clients), "nobody waits")
    assert time.time() - begun < AT_ONCE


def test_stats_needs_one_more(make_user):
    layer = make_user(acl.words() + ["+zcount"])
    layer.send("normal", {"n": 1})
    layer.group_add("crowd", "normal")
    assert stats(layer)["groups"] == [{"group": "crowd", "members": 1}]
    with pytest.raises(AssertionError):
        stats(make_user(acl.words()))


def test_check_can_tell_all_with_three_more(make_user):
    layer = make_user(acl.words() + ["+info", "+time", "+config|get"])
    found = Server(layer, 0, layer.connection(0)).verdicts()
    assert {verdict.about for verdict in found if verdict.level not in ("ok", "WARNING")} == set()
    assert denied(servers.client()) == set()


@pytest.mark.parametrize("command", [
    ["GET", "other"], ["SET", "other", "1"], ["DEL", "asgi-other"], ["MGET", "acl:x", "other"],
    ["EVAL", "return redis.call('GET', KEYS[1])", "1", "other"], ["EVAL", "return redis.call('GET', 'other')", "0"],
    ["EVAL", "return redis.call('KEYS', '*')", "0"], ["EVAL", "return redis.call('FLUSHALL')", "0"],
    ["KEYS", "*"], ["FLUSHALL"], ["FLUSHDB"], ["CONFIG", "GET", "*"], ["ACL", "LIST"], ["ACL", "WHOAMI"], ["INFO"],
    ["CLIENT", "LIST"], ["CLIENT", "KILL", "TYPE", "normal"], ["MONITOR"], ["SUBSCRIBE", "x"], ["PUBLISH", "x", "1"],
    ["SCRIPT", "FLUSH"], ["SHUTDOWN", "NOSAVE"], ["REPLICAOF", "NO", "ONE"], ["SELECT", "1"],
    ["RENAME", "acl:x", "other"], ["DUMP", "acl:x"],
], ids=" ".join)
def test_the_user_may_do_nothing_else(make_user, command):
    layer = make_user(acl.words())
    with pytest.raises(ResponseError) as raised:
        call(layer.connection(0), *command)
    words = str(raised.value)
    assert "permission" in words or "can't" in words


# Sentinel.


@pytest.fixture(scope="module")
def sentinels():
    with servers.Sentinels(["alpha"]) as running:
        yield running


def sentinel_layer(sentinels, words, words_for_sentinels):
    for port in sentinels.ports():
        acl.set_user(redis.StrictRedis(port=port), "channels", acl.fitted(words, *PREFIXES))
    for _, port in sentinels.hosts:
        acl.set_user(redis.StrictRedis(port=port), "channels", acl.fitted(words_for_sentinels, *PREFIXES))
    return RedisSentinelChannelLayer(
        hosts=sentinels.hosts, prefix=PREFIXES[0], stats_prefix=PREFIXES[1], capacity=3, connection_kwargs=LOGIN,
        sentinel_kwargs=LOGIN, reconnect_timeout=0.1,
    )


def test_the_permissions_are_enough_with_sentinels(sentinels):
    layer = sentinel_layer(sentinels, acl.words(), acl.words(1))
    everything(layer)
    for _, port in sentinels.hosts:
        assert denied(redis.StrictRedis(port=port)) == set()


@pytest.mark.parametrize("permission", permissions(acl.words(1)))
def test_no_permission_on_sentinels_is_superfluous(sentinels, permission):
    layer = sentinel_layer(sentinels, acl.words(), without(acl.words(1), permission))
    with pytest.raises(RedisError):
        layer.send("normal", {"n": 1})


# Cluster.


@pytest.fixture(scope="module")
def running_cluster():
    if cluster.RedisCluster is None:
        pytest.skip("redis-py before 4.1 knows no Redis Cluster")
    with servers.Cluster() as running:
        yield running


def cluster_layer(running, words):
    for server in running.servers:
        client = redis.StrictRedis(port=server.port)
        acl.set_user(client, "channels", acl.fitted(words, *PREFIXES))
        call(client, "ACL", "LOG", "RESET")
    return RedisClusterChannelLayer(
        hosts=running.hosts, prefix=PREFIXES[0], stats_prefix=PREFIXES[1], capacity=3, connection_kwargs=LOGIN,
        reconnect_timeout=0.1,
    )


def everything_and_a_move(running, layer):
    """``everything(layer)``, and a command for a slot that is on its way from one node to another."""
    everything(layer)
    slot = cluster.key_slot(layer.tag(layer.consistent_hash("crowd")).encode("ascii"))
    source = running.master_of_slot(slot)
    target = next(master for master in running.masters() if master is not source)
    clients = {server: redis.StrictRedis(port=server.port) for server in (source, target)}
    nodes = running.nodes()
    call(clients[target], "CLUSTER", "SETSLOT", slot, "IMPORTING", nodes[source.port][0])
    call(clients[source], "CLUSTER", "SETSLOT", slot, "MIGRATING", nodes[target.port][0])
    try:
        layer.group_discard("crowd", "normal")
    finally:
        for client in clients.values():
            call(client, "CLUSTER", "SETSLOT", slot, "STABLE")


def test_the_permissions_are_enough_with_a_cluster(running_cluster):
    layer = cluster_layer(running_cluster, acl.words() + acl.words_for_cluster())
    everything_and_a_move(running_cluster, layer)
    for server in running_cluster.servers:
        assert denied(redis.StrictRedis(port=server.port)) == set()


@pytest.mark.parametrize("permission", acl.words_for_cluster())
def test_no_permission_on_a_cluster_is_superfluous(running_cluster, permission):
    layer = cluster_layer(running_cluster, acl.words() + without(acl.words_for_cluster(), permission))
    with pytest.raises(RedisError):
        everything_and_a_move(running_cluster, layer)


def test_a_slot_that_moves_with_all_its_keys(running_cluster):
    layer = cluster_layer(running_cluster, acl.words() + acl.words_for_cluster())
    slot = cluster.key_slot(layer.tag(layer.consistent_hash("reader?x")).encode("ascii"))
    source = running_cluster.master_of_slot(slot)
    target = next(master for master in running_cluster.masters() if master is not source)
    layer.send("reader?x", {"n": 1})
    running_cluster.move_slot(slot, target)
    assert layer.receive(["reader?x"], block=True) == ("reader?x", {"n": 1})
    running_cluster.move_slot(slot, source)
    everything(layer)
