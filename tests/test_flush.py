"""``flush`` deletes the layer's keys, and no others."""
from __future__ import unicode_literals

import logging

import pytest
import redis

from asgi_redis import RedisChannelLayer
from asgi_redis.delivery import statistics
from asgi_redis.server.keys import Keys
from asgi_redis.tools.embedded import Server

from . import servers
from .test_blocking import Reader

DIGEST = "d41d8cd98f00b204e9800998ecf8427e"


@pytest.fixture(scope="module")
def own_server():
    """A server of its own: with an empty prefix, a layer's keys are among all others."""
    with Server() as server:
        yield server


@pytest.fixture
def database(own_server):
    """A client of that server, which is empty before and after the test."""
    client = redis.StrictRedis.from_url(own_server.url)
    client.flushall()
    yield client
    client.flushall()


@pytest.fixture
def make_own(own_server, database):
    """Makes layers on that server."""
    return lambda **arguments: RedisChannelLayer(hosts=[own_server.url], **arguments)


def leave_keys(layer):
    """Leave keys of every kind but one (a list that ends a wait: it is gone when the wait has ended)."""
    for channel in ("normal", "reader?x", "process!x", "process!y"):
        layer.send(channel, {"n": 1})
        layer.group_add("crowd", channel)
    layer.send("large", {"text": "x" * 100000})
    layer.send("taken", {"n": 1})
    layer.receive(["process!"])
    layer.receive(["taken"])
    for _ in range(layer.capacity + 1):
        layer.send_group("crowd", {"n": 1})


# The layer's keys.


@pytest.mark.parametrize("prefix, stats_prefix", [
    ("asgi:", "asgi-meta:"), ("same:", "same:"), ("", "x:"), ("x:", ""), ("", ""),
])
def test_it_deletes_all_keys_of_the_layer(make_own, database, prefix, stats_prefix):
    layer = make_own(prefix=prefix, stats_prefix=stats_prefix, capacity=5)
    leave_keys(layer)
    patterns = [
        ":group:crowd", "large", "normal#noted", "process!#batches", "#session#*#taken", "#session#*#reply", "#origin",
    ]
    assert [pattern for pattern in patterns if not database.keys(prefix + pattern)] == []
    layer.flush()
    assert database.keys("*") == []


@pytest.mark.parametrize("make, kinds", [
    (lambda keys: keys.prefix + b"0123456789abcdef0123456789abcdef", ["message", "queue"]),
    (lambda keys: keys.prefix + b"0123456789abcdef0123f00000000001#body", ["string"]),
    (lambda keys: keys.queue("normal"), ["queue"]),
    (lambda keys: keys.queue("reader?x"), ["queue"]),
    (lambda keys: keys.queue("process!"), ["queue"]),
    (lambda keys: keys.queue("normal") + b"#noted", ["queue"]),
    (lambda keys: keys.batches("process!"), ["string"]),
    (lambda keys: keys.group("crowd"), ["zset"]),
    (lambda keys: keys.counter("process!", "messages_count"), ["string"]),
    (lambda keys: keys.counter("#global#", "channel_full_count"), ["string"]),
    (lambda keys: keys.session(b"0123456789abcdef0123"), ["string"]),
    (lambda keys: keys.session(b"0123456789abcdef0123") + b"#taken", ["string"]),
    (lambda keys: keys.session(b"0123456789abcdef0123") + b"#reply", ["string"]),
    (lambda keys: keys.wake(), ["list"]),
    (lambda keys: keys.origin, ["string"]),
    (lambda keys: keys.prefix + b"process!x", []),
    (lambda keys: keys.prefix + b"normal\n", []),
    (lambda keys: keys.queue("normal") + b"#other", []),
    (lambda keys: keys.stats_prefix + b"normal:other_count", []),
    (lambda keys: b"celery", []),
])
def test_the_name_of_a_key_tells_its_kind(make, kinds):
    for prefix in ("site:", "[o*d]?"):
        keys = Keys(prefix, "meta:", 60, tag="{7}")
        assert keys.kinds(make(keys)) == kinds


def test_it_deletes_messages_groups_and_statistics_on_all_shards(make_layer, shards):
    layer = make_layer(shards)
    for number in range(50):
        layer.send("normal", {})
        layer.send("process%d!x" % number, {})
        layer.group_add("crowd%d" % number, "normal")
    layer.flush()
    for index in range(shards):
        left = servers.client(index).keys("*")
        assert [key for key in left if key.startswith((layer.prefix.encode(), layer.stats_prefix.encode()))] == []
    assert layer.receive(["normal"]) == (None, None)
    assert layer.global_statistics() == {"messages_count": 0, "channel_full_count": 0}


def test_it_may_run_while_others_wait(layer):
    reader = Reader(layer, ["normal"])
    layer.flush()
    layer.send("normal", {"n": 1})
    reader.join()
    assert reader.found == ("normal", {"n": 1})


# Keys of others.


#: What other applications may have in a database: its key, the command that makes it, and its life in seconds, or None.
FOREIGN = {
    "session": ("session:abc", ["SET", "1"], 30),
    "cache entry": (":1:page", ["SET", "1"], 30),
    "hash": ("user.1", ["HSET", "name", "x"], 30),
    "set": ("ids", ["SADD", DIGEST], 30),
    "string with the name of a channel": ("http.request", ["SET", DIGEST], 30),
    "queue of tasks": ("celery", ["RPUSH", '{"id": 1}'], None),
    "queue of tasks that expires": ("celery", ["RPUSH", '{"id": 1}'], 30),
    "list of keys with another prefix": ("ids", ["RPUSH", "bull:" + DIGEST], 30),
    "list of long digests": ("ids", ["RPUSH", DIGEST + DIGEST], 30),
    "list of names of 32 letters": ("ids", ["RPUSH", "x" * 32], 30),
    "list of digests that never expires": ("ids", ["RPUSH", DIGEST], None),
    "string named by a digest": (DIGEST, ["SET", "1"], None),
    "string named by a digest that expires late": (DIGEST, ["SET", "1"], 300),
    "hash named by a digest": (DIGEST, ["HSET", "name", "x"], 30),
    "sorted set that never expires": (":group:crowd", ["ZADD", 1, "x"], None),
    "set with the name of a group": (":group:crowd", ["SADD", "x"], 30),
    "hash with the name of a count": ("x:messages_count", ["HSET", "name", "x"], 30),
    "count that never expires": ("x:messages_count", ["SET", "1"], None),
}


def make_key(client, key, command, life):
    client.execute_command(command[0], key, *command[1:])
    if life is not None:
        assert client.expire(key, life)


@pytest.mark.parametrize("prefix, stats_prefix", [("", ""), ("asgi:", "asgi-meta:")])
@pytest.mark.parametrize("what", sorted(FOREIGN))
def test_it_leaves_alone_a_foreign(make_own, database, what, prefix, stats_prefix):
    layer = make_own(prefix=prefix, stats_prefix=stats_prefix)
    key, command, life = FOREIGN[what]
    if prefix and command[-1] == DIGEST:
        command = command[:-1] + [prefix + DIGEST]
    make_key(database, prefix + key, command, life)
    before = database.dump(prefix + key)
    layer.send("normal", {})
    layer.flush()
    assert database.keys("*") == [(prefix + key).encode("utf-8")]
    assert database.dump(prefix + key) == before


@pytest.mark.parametrize("prefix", ["a*:", "a?:", "a[bc]:", "a\\*:", "[^a]:", "\u00e9*:"])
def test_it_takes_the_prefix_literally(make_layer, client, prefix):
    layer = make_layer(prefix="flush" + prefix, stats_prefix="flush-meta" + prefix)
    others = ["flushab:", "flusha", "flushaxx:", "flushb:", "flush\\*:", "flush-metaab:"]
    others = [other + DIGEST for other in others]
    for key in others:
        make_key(client, key, ["SET", "1"], 30)
    layer.send("normal", {})
    layer.flush()
    assert sorted(client.keys("flush*")) == sorted(key.encode() for key in others)
    client.delete(*others)


def test_it_costs_a_site_with_the_same_stats_prefix_no_more_than_counters(make_own, database):
    site, neighbour = [make_own(prefix=prefix, stats_prefix="asgi-meta:") for prefix in ("site:", "neighbour:")]
    leave_keys(neighbour)
    before = set(database.keys("*"))
    leave_keys(site)
    site.flush()
    assert set(database.keys("*")) == {key for key in before if not key.startswith(b"asgi-meta:")}


def test_it_costs_a_site_whose_prefix_begins_with_this_one_no_messages(make_own):
    site, neighbour = [make_own(prefix=prefix, stats_prefix="meta-" + prefix) for prefix in ("site", "site2")]
    neighbour.send("normal", {"n": 1})
    site.flush()
    assert neighbour.receive(["normal"]) == ("normal", {"n": 1})


def logged(caplog, **arguments):
    """Make a layer, and return what that logged."""
    caplog.clear()
    caplog.set_level(logging.INFO, "asgi_redis")
    RedisChannelLayer(**arguments)
    return [record.getMessage() for record in caplog.records]


@pytest.fixture
def nothing_logged(monkeypatch):
    """As in a new process."""
    monkeypatch.setattr(statistics, "_logged", set())


@pytest.mark.usefixtures("nothing_logged")
def test_a_prefix_of_its_own_with_the_default_stats_prefix_is_logged_once(caplog):
    first, again, other = [logged(caplog, prefix=prefix) for prefix in ("shop:", "shop:", "blog:")]
    assert (len(first), again, len(other)) == (1, [], 1)
    assert "shop:" in first[0] and "asgi-meta:" in first[0]


@pytest.mark.usefixtures("nothing_logged")
@pytest.mark.parametrize("arguments", [
    {}, {"prefix": "asgi:"}, {"prefix": "shop:", "stats_prefix": "shop-meta:"}, {"stats_prefix": "shop-meta:"},
])
def test_no_other_prefixes_are_logged(caplog, arguments):
    assert logged(caplog, **{str(name): value for name, value in arguments.items()}) == []


# Small steps.


def test_it_neither_lists_nor_deletes_very_many_keys_at_once(layer, client):
    pipeline = client.pipeline(transaction=False)
    for number in range(10000):
        pipeline.set("%s%032x" % (layer.prefix, number), "1", ex=60)
    pipeline.execute()
    before = servers.calls(client)
    layer.flush()
    made = servers.calls(client)
    made.subtract(before)
    assert made["keys"] == 0
    assert made["scan"] >= 10000 / (2 * statistics.SCANNED_AT_ONCE)
    assert made["eval"] >= 10000 / statistics.DELETED_AT_ONCE
    assert not any(key.startswith(layer.prefix.encode()) for key in client.scan_iter(count=10000))
