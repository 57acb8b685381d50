"""What calls cost, counted: commands and bytes as the server sees them, and work that could grow with what is there."""
from __future__ import division, unicode_literals

import collections
import sys

import pytest
import redis

from asgi_redis import RedisChannelLayer, codec
from asgi_redis.delivery import receiver
from asgi_redis.server import times
from asgi_redis.tools.embedded import Server

from .servers import calls

MESSAGE = {"text": "x" * 100}

#: Calls that are counted for one number.
CALLS = 20

#: Calls before these. After that many sends a queue is not almost empty, so keys are not noted any more.
WARM = 10


class Cost(object):
    """
    What one call costs a server. ``commands``: {name: how many}, those within scripts too, and whatever redis-py sends;
    ``written``, ``read``: bytes to and from the server.
    """

    def __init__(self, commands, written, read):
        self.commands = commands
        self.written = written
        self.read = read

    def __repr__(self):
        return "%r, %.1f bytes written, %.1f read" % (self.commands, self.written, self.read)


class Meter(object):
    """Counts what calls cost the server at ``url``, which must have no other clients."""

    #: What INFO says, and what is taken of it.
    TOTALS = [
        "total_commands_processed", "total_net_input_bytes", "total_net_output_bytes", "total_connections_received",
    ]

    def __init__(self, url):
        self._client = redis.StrictRedis.from_url(url)
        self._calls_alone()

    def _totals(self):
        totals = self._client.info("stats")
        return [totals.get(name, 0) for name in self.TOTALS]  # Redis before 3 counts no bytes

    def _counted(self, work):
        """Differences of the totals, and of the calls, around ``work()``; its own INFOs are in them."""
        calls_before, before = calls(self._client), self._totals()
        work()
        after, calls_after = self._totals(), calls(self._client)
        return [now - then for now, then in zip(after, before)], calls_after - calls_before

    def _calls_alone(self):
        self._counted(lambda: None)  # the first connects
        return self._counted(lambda: None)

    def __call__(self, call, count=CALLS, warm=WARM):
        """The ``Cost`` of one ``call()``: the ``count``th part of that many, after ``warm`` others."""
        for _ in range(warm):
            call()
        (own_total, own_written, own_read, _), own_calls = self._calls_alone()
        (total, written, read, connections), counted = self._counted(lambda: [call() for _ in range(count)])
        counted -= own_calls
        assert total - own_total == sum(counted.values())
        assert connections == 0
        return Cost(
            {name: number / count for name, number in counted.items()},
            (written - own_written) / count, (read - own_read) / count,
        )


@pytest.fixture(scope="module")
def server():
    """A server of its own, which only the calls that are counted reach."""
    with Server() as server:
        yield server


@pytest.fixture
def meter(server):
    return Meter(server.url)


@pytest.fixture
def layer(make_costly):
    return make_costly()


@pytest.fixture
def make_costly(server, monkeypatch):
    """Makes layers on that server whose channels hold everything, and whose readers announce themselves once."""
    monkeypatch.setattr(receiver, "ANNOUNCED_FOR", 60)
    made = []

    def make(kind=RedisChannelLayer, **arguments):
        made.append(kind(hosts=[server.url], capacity=10 ** 6, **arguments))
        return made[-1]

    yield make
    for layer in made:
        layer.flush()


def fill(layer, channel, count):
    for _ in range(count):
        layer.send(channel, MESSAGE)


def join(layer, channels):
    for channel in channels:
        layer.group_add("crowd", channel)


def join_processes(layer, processes, members):
    """Make ``members`` channels of each of ``processes`` processes a group; their readers have announced themselves."""
    for process in range(processes):
        assert layer.receive(["process%d!" % process]) == (None, None)
        join(layer, ["process%d!%04d" % (process, member) for member in range(members)])


SEND = dict.fromkeys(["eval", "set", "rpush", "pexpire"], 1)
SEND["incr"] = 3  # the session's number, and messages_count, of the channel and of all

RECEIVE = {"eval": 1, "get": 2, "lpop": 1, "rename": 1, "incr": 1}

NOTHING = {"eval": 1, "get": 1, "lpop": 1}


# Commands and bytes.


@pytest.mark.parametrize("channel", ["normal", "reader?x", "process!x"])
def test_a_send_is_one_script(layer, meter, channel):
    cost = meter(lambda: layer.send(channel, MESSAGE))
    assert cost.commands == SEND
    assert cost.written < 520
    assert cost.read < 8


def test_a_send_to_an_empty_queue_also_notes_the_message(layer, meter):
    names = iter(["normal%02d" % number for number in range(100)])
    cost = meter(lambda: layer.send(next(names), MESSAGE))
    # The life of the channel's counters, and of those of all, begins too.
    assert cost.commands == dict(SEND, lpush=1, pexpire=2, expire=2)
    assert cost.written < 520
    assert cost.read < 8


@pytest.mark.parametrize("channel", ["normal", "reader?x", "process!x"])
def test_a_receive_is_one_script(layer, meter, channel):
    fill(layer, channel, 2 * CALLS)
    cost = meter(lambda: layer.receive([layer.non_local_name(channel)]))
    assert cost.commands == RECEIVE
    assert cost.written < 220
    assert cost.read < 170


def test_a_receive_from_five_channels_costs_as_one_from_one(layer, meter):
    channels = ["normal%d" % number for number in range(5)]
    for channel in channels:
        fill(layer, channel, 2 * CALLS)
    cost = meter(lambda: layer.receive(channels))
    assert cost.commands == RECEIVE
    assert cost.written < 300
    assert cost.read < 170


def test_a_receive_that_finds_nothing_looks_once_at_each_channel(layer, meter):
    assert meter(lambda: layer.receive(["normal"])).commands == NOTHING
    cost = meter(lambda: layer.receive(["normal%d" % number for number in range(5)]))
    assert cost.commands == dict(NOTHING, lpop=5)
    assert cost.written < 300
    assert cost.read < 8


def test_a_blocking_receive_of_a_message_that_waits_costs_as_any(layer, meter):
    fill(layer, "normal", 2 * CALLS)
    cost = meter(lambda: layer.receive(["normal"], block=True))
    assert cost.commands == RECEIVE
    assert cost.written < 220
    assert cost.read < 170


def test_an_idle_blocking_receive_is_a_look_and_a_pop(layer, meter):
    layer.blpop_timeout = 1
    cost = meter(lambda: layer.receive(["normal"], block=True), count=2, warm=1)
    assert cost.commands == dict(NOTHING, blpop=1)
    assert cost.written < 300
    assert cost.read < 20


def test_a_group_add_is_one_script(layer, meter):
    cost = meter(lambda: layer.group_add("crowd", "process!x"))
    assert cost.commands == dict.fromkeys(["eval", "zadd", "expire"], 1)
    assert cost.written < 170
    assert cost.read < 8


def group_send(entries, batches=0):
    """The commands of a send to a group whose members have that many queues, of which some take batches."""
    of_entries = dict.fromkeys(["set", "rpush", "pexpire"], entries)
    of_entries.update(
        eval=2, zremrangebyscore=1, zrange=1, get=1,
        incrby=entries + 1, expire=1,  # messages_count, of each channel and of all
    )
    of_entries["set"] += 1  # the session's number
    if batches:
        of_entries["exists"] = batches
    return of_entries


@pytest.mark.parametrize("processes, members, written, read", [
    (1, 100, 2200, 1500), (10, 10, 4000, 1500),
])
def test_a_group_send_costs_an_entry_a_process(layer, meter, processes, members, written, read):
    join_processes(layer, processes, members)
    layer.send_group("crowd", MESSAGE)
    cost = meter(lambda: layer.send_group("crowd", MESSAGE))
    assert cost.commands == group_send(processes, processes)
    assert cost.written < written
    assert cost.read < read


@pytest.mark.parametrize("channel", ["normal", "process0!0000"])
def test_a_send_to_a_group_of_one_costs_a_send_and_a_look_at_the_group(layer, meter, channel):
    join(layer, [channel])
    layer.send_group("crowd", MESSAGE)
    cost = meter(lambda: layer.send_group("crowd", MESSAGE))
    assert cost.commands == dict(SEND, eval=2, zremrangebyscore=1, zrange=1)
    assert cost.written < 700
    assert cost.read < 50


def test_a_group_send_to_normal_channels_writes_the_message_once(layer, meter):
    join(layer, ["normal%02d" % number for number in range(100)])
    cost = meter(lambda: layer.send_group("crowd", {"text": "x" * 10000}))
    assert cost.commands == group_send(100)
    assert cost.written < 10000 + 3000
    assert cost.read < 1000


def test_receive_twisted_hands_out_what_is_in_memory_without_a_command(layer, meter):
    pytest.importorskip("twisted")
    join_processes(layer, 1, 3 * CALLS)
    layer.send_group("crowd", MESSAGE)
    layer.receive(["process0!"])
    found = []
    cost = meter(lambda: layer.receive_twisted(["process0!"]).addCallback(found.append))
    assert len(found) == CALLS + WARM and all(message == MESSAGE for _, message in found)
    assert cost.commands == {}


# What does not grow.


def assert_alike(cost, other):
    assert cost.commands == other.commands
    assert abs(cost.written - other.written) <= 2 and abs(cost.read - other.read) <= 2, (cost, other)


def test_a_send_costs_the_same_whatever_waits(layer, meter):
    fill(layer, "normal", 10)
    few = meter(lambda: layer.send("normal", MESSAGE))
    fill(layer, "normal", 5000)
    assert_alike(few, meter(lambda: layer.send("normal", MESSAGE)))


@pytest.mark.parametrize("block", [False, True])
def test_a_receive_costs_the_same_whatever_waits(layer, meter, block):
    fill(layer, "normal", 5000)
    many = meter(lambda: layer.receive(["normal"], block=block))
    while layer.channel_statistics("normal")["messages_pending"] > CALLS + 10:
        layer.receive(["normal"])
    assert_alike(many, meter(lambda: layer.receive(["normal"], block=block)))


def test_a_group_send_grows_with_members_by_the_bytes_of_their_names(layer, meter):
    message = {"text": "x" * 1000}
    join_processes(layer, 10, 10)
    few = meter(lambda: layer.send_group("crowd", message))
    layer.flush()
    join_processes(layer, 10, 100)
    many = meter(lambda: layer.send_group("crowd", message))
    names = 10 * (100 - 10) * len("process0!0000")
    assert many.commands == few.commands
    assert many.written - few.written < 1.2 * names
    assert many.read - few.read < 1.2 * names


def hand_out(layer, count):
    for _ in range(count):
        channel, message = layer.receive(["process0!"])
        assert channel and message == MESSAGE


def broadcast(layer, members):
    """Send to a group of ``members`` channels of one process, and receive for the first; the others are in memory."""
    join_processes(layer, 1, members)
    layer.send_group("crowd", MESSAGE)
    hand_out(layer, 1)


def test_handing_out_a_broadcast_costs_no_command(layer, meter):
    broadcast(layer, 100)
    cost = meter(lambda: hand_out(layer, 1))
    assert cost.commands == {}
    assert (cost.written, cost.read) == (pytest.approx(0, abs=2), pytest.approx(0, abs=2))


class Overriding(RedisChannelLayer):
    """What is known of the form of its bodies is that ``deserialize`` undoes ``serialize``."""

    def serialize(self, message):
        return b"/" + super(Overriding, self).serialize(message)

    def deserialize(self, body):
        return super(Overriding, self).deserialize(body[1:])


#: Layers that unpack in different ways.
KINDS = pytest.mark.parametrize("kind, arguments", [
    (RedisChannelLayer, {}), (RedisChannelLayer, {"symmetric_encryption_keys": ["key"]}), (Overriding, {}),
], ids=["plain", "encrypted", "overriding"])


@pytest.fixture
def unpacked(monkeypatch):
    """A list of the lengths of all bodies that are decrypted and unpacked."""
    lengths = []

    def counting(function):
        def count(self, body):
            lengths.append(len(body))
            return function(self, body)

        return count

    for name in ("decrypt", "unpack"):
        monkeypatch.setattr(codec.Codec, name, counting(getattr(codec.Codec, name)))
    return lengths


@KINDS
def test_handing_out_unpacks_as_much_for_each_member_of_few_and_of_many(make_costly, unpacked, kind, arguments):
    layer = make_costly(kind, **arguments)
    taken = []
    for members in (100, 1000):
        broadcast(layer, members)
        del unpacked[:]
        hand_out(layer, members - 1)
        taken.append(sum(unpacked) / (members - 1))
    assert taken[0] == taken[1]


def called(work):
    """({name: how often ``work()`` calls a function of that name in Python}, the same in C)."""
    in_python, in_c = collections.Counter(), collections.Counter()

    def count(frame, event, argument):
        if event == "call":
            in_python[frame.f_code.co_name] += 1
        elif event == "c_call":
            in_c[argument.__name__] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return in_python, in_c


@KINDS
def test_handing_out_calls_as_much_for_each_member_of_few_and_of_many(make_costly, kind, arguments):
    layer = make_costly(kind, **arguments)
    calls_of_each = []
    for members in (100, 1000):
        broadcast(layer, members)
        in_python, in_c = called(lambda members=members: hand_out(layer, members - 1))
        calls_of_each.append((sum(in_python.values()) + sum(in_c.values())) / (members - 1))
    assert calls_of_each[1] < 1.05 * calls_of_each[0]


#: Functions of C by which sockets, and what polls them, are asked for something.
SYSTEM_CALLS = {"send", "sendall", "recv", "recv_into", "poll", "select"}


@pytest.mark.parametrize("call", [
    lambda layer: layer.send("normal", MESSAGE), lambda layer: layer.receive(["normal"]),
], ids=["send", "receive"])
def test_a_call_in_constant_use_is_one_write_and_one_read(layer, monkeypatch, call):
    monkeypatch.setattr(times, "IDLE_CHECK", 60)
    fill(layer, "normal", 2 * CALLS)
    call(layer)
    in_c = called(lambda: [call(layer) for _ in range(CALLS)])[1]
    assert sum(in_c[name] for name in SYSTEM_CALLS) == 2 * CALLS, in_c
