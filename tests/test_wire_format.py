"""docs/wire-format.rst: its tables against all keys of real traffic, and what it says of values."""
from __future__ import unicode_literals

import functools
import hashlib
import json
import os
import re
import time

import pytest
import redis

from asgi_redis import RedisChannelLayer
from asgi_redis.server import scripts
from asgi_redis.server.keys import WAKE_MS
from asgi_redis.tools.check.permissions import permissions
from asgi_redis.tools.embedded import Server

from . import servers, wire_page
from .patience import LONG_WAIT
from .test_blocking import Reader, wait_until_blocked

SHARDS = 3

#: The arguments of layers that lives depend on. They differ from the defaults, which a life must not be by chance.
ARGUMENTS = {"expiry": 300, "group_expiry": 7200}
SHORT = {"expiry": 40, "group_expiry": 200}

#: How often traffic is made at most: on a busy machine, keys that live for ten seconds may expire before they are met.
ROUNDS = 3


@pytest.fixture(scope="module")
def own_servers():
    """Servers whose keys are all those of these tests."""
    running = [Server().start() for _ in range(SHARDS)]
    yield running
    for server in running:
        server.stop()


@pytest.fixture
def make(own_servers):
    """Makes layers on empty servers."""
    for server in own_servers:
        redis.StrictRedis.from_url(server.url).flushall()
    return functools.partial(RedisChannelLayer, hosts=[server.url for server in own_servers])


def clients_of(layer):
    return [servers.client_of(layer, index) for index in range(layer.ring_size)]


def page_for(layer):
    tags = [layer.tag(index) for index in range(layer.ring_size)]
    return wire_page.Page(
        [layer.prefix + tag for tag in tags], [layer.stats_prefix + tag for tag in tags],
        {"expiry": layer.expiry, "group_expiry": layer.group_expiry},
    )


# Traffic that leaves keys of every kind.


def wait_for_a_message(layer):
    """Leave the record of a process that waits."""
    layer.blpop_timeout = LONG_WAIT
    reader = Reader(layer, ["awaited", "awaited?x", "awaited!"])
    wait_until_blocked(layer, layer.ring_size)
    layer.send("awaited", {"n": 1})
    reader.join()
    assert reader.found == ("awaited", {"n": 1})


def interrupt(*arguments):
    raise KeyboardInterrupt()


def put_messages_back(layer):
    """Leave messages that were taken and put back: as one that is no longer wanted, and after an interrupt."""
    layer.return_message("returned", {"n": 1})
    layer.send("interrupted", {"n": 1})
    envelope = layer._parts.envelope
    envelope.open = interrupt
    try:
        with pytest.raises(KeyboardInterrupt):
            layer.receive(["interrupted"])
    finally:
        del envelope.open
    assert layer.receive(["other"]) == (None, None)  # which puts it back
    assert layer.channel_statistics("interrupted")["messages_pending"] == 1


def drop_a_message(layer, encrypted):
    """Leave the counters of messages that could not be read, and a message that is encrypted."""
    encrypted.send("encrypted", {"n": 1})
    assert layer.receive(["encrypted"]) == (None, None)
    encrypted.send("encrypted", {"n": 2})


def broadcast(layer):
    """Leave batches, full channels, and the reply that tells of them."""
    layer.receive(["process!"])
    for channel in ("normal", "reader?x", "process!x", "process!y"):
        layer.group_add("crowd", channel)
    for _ in range(layer.capacity + 1):
        layer.send_group("crowd", {"n": 1})


def send_and_receive(layer):
    """Leave messages, a large one too, and what sessions took last."""
    for channel in ("a", "a?x", "a!x"):
        layer.send(channel, {"n": 1})
        layer.send(channel, {"text": "x" * 100000})
    assert layer.receive(["a!"]) == ("a!x", {"n": 1})


def store_a_large_body(layer):
    """Leave the body of a large message that was not sent."""
    parts = layer._parts
    shard = parts.shards[0]
    parts.sender._store(shard, shard.borrow(), b"f" + b"0" * 11, b"x" * 100000, False)


def end_a_wait(layer):
    """Leave the list that ends a blocking pop. It stays only if the pop has ended already, which takes some luck."""
    shard = layer._parts.shards[0]
    shard.run(scripts.wake, [shard.keys.wake()], [WAKE_MS])


def empty(clients):
    for client in clients:
        client.flushall()


def rows_not_met(make, arguments):
    """Make traffic on servers that are emptied before and after. Return the rows of the page that no key has met."""
    clients = clients_of(make())
    empty(clients)
    since = time.time()
    layer = make(capacity=5, **arguments)
    wait_for_a_message(layer)
    put_messages_back(layer)
    drop_a_message(layer, make(symmetric_encryption_keys=["secret"], **arguments))
    broadcast(layer)
    send_and_receive(layer)
    store_a_large_body(layer)
    end_a_wait(layer)
    page = page_for(layer)
    met = set().union(*[page.look_at(client, since) for client in clients])
    empty(clients)
    return page.keys(wire_page.OF_LAYERS) - met


def check_that_traffic_meets_every_row(make, arguments=ARGUMENTS):
    """Make traffic until a key has met every row of the page. AssertionError if a key is not as its row says."""
    missing = rows_not_met(make, arguments)
    for _ in range(ROUNDS - 1):
        missing = missing and missing & rows_not_met(make, arguments)
    assert not missing


@pytest.mark.parametrize("arguments", [ARGUMENTS, SHORT], ids=["long", "short"])
def test_every_key_of_traffic_is_in_the_tables_and_every_row_is_met(make, arguments):
    check_that_traffic_meets_every_row(make, arguments)


def test_the_keys_of_the_check_of_permissions_are_in_its_table():
    with Server(["--rename-command", "DEL", ""]) as server:  # so that they stay
        client = redis.StrictRedis.from_url(server.url)
        page = wire_page.Page(["asgi:"], ["asgi-meta:"], ARGUMENTS)
        since = time.time()
        permissions(client, ["asgi:", "asgi-meta:"])
        assert page.look_at(client, since) == page.keys(wire_page.OF_CHECK)


# Values that the tables do not tell in full.


@pytest.fixture
def one(own_servers, make):
    """A layer on one of the servers."""
    return RedisChannelLayer(hosts=[own_servers[0].url])


@pytest.fixture
def client(one):
    return servers.client_of(one)


def texts(keys):
    return sorted(key.decode("ascii") for key in keys)


def queue(client, channel):
    return [key.decode("ascii") for key in client.lrange("asgi:" + channel, 0, -1)]


def session_of(client):
    """Return the name of the only session, and its number."""
    key, = client.keys("asgi:#session#" + "?" * 20)
    return key.decode("ascii").split("#")[-1], int(client.get(key))


def test_a_message_key_is_the_session_and_its_number(one, client):
    one.send("normal", {"n": 1})
    session, number = session_of(client)
    assert queue(client, "normal") == ["asgi:%s%012d" % (session, number)]
    one.send("normal", {"n": 1})
    assert session_of(client) == (session, number + 1)


@pytest.mark.parametrize("size, first", [(65536, "0"), (65537, "f")])
def test_a_large_body_has_an_f_in_its_key(one, client, size, first):
    one.send("normal", {"text": "x" * (size - len(one.serialize({"text": "x" * (size - 10)})) + size - 10)})
    key, = queue(client, "normal")
    assert client.strlen(key) == size
    assert key[-12] == first


def test_what_was_put_back_has_a_key_of_random_digits(one, client):
    put_messages_back(one)
    key, = queue(client, "interrupted")
    assert [name for name in texts(client.keys("asgi:#session#*")) if key[5:25] in name] == []


def test_a_receive_on_several_queues_stores_the_number_of_the_queue(one, client):
    one.receive(["first", "second"])
    stored = set()
    for channel in ["first", "second"] * 20:
        one.send(channel, {})
        before = session_of(client)[1]
        one.receive(["first", "second"])
        stored.add(session_of(client)[1] - before)
    assert stored <= {1, 2, 3} and len(stored) > 1  # a number may be left out


def test_each_entry_of_a_group_send_has_a_number_and_the_last_is_stored(one, client):
    for channel in ("first", "second", "process!x"):
        one.group_add("crowd", channel)
    one.send_group("crowd", {})
    session, number = session_of(client)
    entries = [key for name in ("first", "second", "process!") for key in queue(client, name)]
    assert sorted(entries) == ["asgi:%s%012d" % (session, number + less) for less in (-2, -1, 0)]


def test_a_session_keeps_the_body_that_it_took_as_it_was_sent(make, own_servers):
    layer = make(hosts=[own_servers[0].url], symmetric_encryption_keys=["secret"])
    client = servers.client_of(layer)
    layer.send("process!x", {"n": 1})
    body = client.get(queue(client, "process!")[0])
    layer.receive(["process!"])
    taken, = client.keys("asgi:#session#*#taken")
    assert client.get(taken) == body
    layer.receive(["process!"])
    assert client.exists(taken) == 0


def test_the_reply_of_a_group_send_lists_what_was_not_sent(make, own_servers):
    layer = make(hosts=[own_servers[0].url], capacity=1, channel_capacity={"old!*": 10})
    client = servers.client_of(layer)
    layer.receive(["full!"])
    for channel in ("full?a", "open?b", "full!c", "full!d", "old!e", "old!f"):
        layer.group_add("crowd", channel)
    layer.send("full?a", {})
    layer.send("full!c", {})
    layer.send_group("crowd", {"n": 1})
    key, = client.keys("asgi:#session#*#reply")
    number, reply = re.match("([0-9]{12}) (.*)$", client.get(key).decode("ascii")).groups()
    entries, (batch,), unannounced = json.loads(reply)
    assert (entries, unannounced) == ([1], [3 - batch])
    # Four entries and batches, then one for each member of the batch that was not announced.
    assert session_of(client)[1] == int(number) + 5


def test_noted_keys_are_the_newest_first_and_only_those_of_short_queues(one, client):
    for _ in range(12):
        one.send("normal", {})
    assert queue(client, "normal#noted") == queue(client, "normal")[:10][::-1]


def test_of_more_than_200_noted_keys_100_stay(one, client):
    for number in range(201):
        one.send("normal", {"n": number})
        one.receive(["normal"])
        assert client.llen("asgi:normal#noted") == (number + 1 if number < 200 else 100)


#: The types of fields, as the page and as Python names them.
TYPES = {
    "text": lambda value: isinstance(value, type("")),
    "number": lambda value: isinstance(value, int),
    "texts": lambda value: isinstance(value, list) and all(isinstance(text, type("")) for text in value),
}


def record(client):
    key, = client.keys("asgi:#presence#*")
    return json.loads(client.get(key).decode("utf-8"))


def test_the_record_of_a_process_has_the_fields_of_the_page(make, own_servers):
    layer = make(hosts=[own_servers[0].url], symmetric_encryption_keys=["secret"])
    layer.send("normal", {})
    layer.receive(["normal"], block=True)
    fields = {wire_page.literal(row[0]): row[1].astext() for row in wire_page.tables()["Presence"]}
    found = record(servers.client_of(layer))
    assert set(found) == set(fields)
    assert [name for name, value in found.items() if not TYPES[fields[name]](value)] == []
    assert found["process"] == os.getpid() and found["channels"] == ["normal"]


def test_the_digests_in_a_record_are_those_of_the_page(make):
    layer = make(symmetric_encryption_keys=["secret"])
    layer.send("reader?x", {})
    layer.receive(["reader?x"], block=True)
    found, = layer.processes().values()
    assert found["keys"] == [hashlib.sha256(b"asgi_redis fingerprint secret").hexdigest()[:3]]
    assert found["hosts"] == hashlib.sha256("\n".join(layer.hosts).encode("ascii")).hexdigest()[:6]


def test_connections_find_the_same_origin(make, own_servers):
    client = redis.StrictRedis.from_url(own_servers[0].url)
    found = set()
    for _ in range(2):
        make(hosts=[own_servers[0].url]).send("normal", {})
        found.add(client.get("asgi:#origin"))
    assert len(found) == 1
