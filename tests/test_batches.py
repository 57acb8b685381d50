"""Group sends to several channels of one process: one entry in Redis, handed out from memory."""
from __future__ import unicode_literals

import functools
import logging
import os
import re
import threading

import pytest
from redis.exceptions import ResponseError

from asgi_redis.delivery import inbox, receiver

from . import servers
from .patience import AT_ONCE, LONG_WAIT, clock_of
from .test_blocking import Reader, wait_until_blocked
from .test_messages import receive_all


def join(layer, *channels):
    for channel in channels:
        layer.group_add("crowd", channel)


def announced(layer, queue):
    """How many milliseconds the announcement of ``queue`` still lives."""
    index = layer.consistent_hash(queue) if layer.ring_size > 1 else 0
    return servers.client_of(layer, index).pttl(layer.prefix + queue + "#batches")


@pytest.fixture(params=[None, ["key"]], ids=["plain", "encrypted"])
def batching(request, make_layer, shards):
    """A layer whose reader of ``process!`` has announced itself, with ten members of that process in a group."""
    layer = make_layer(shards, symmetric_encryption_keys=request.param)
    join(layer, *["process!%d" % number for number in range(10)])
    assert layer.receive(["process!"]) == (None, None)
    return layer


def pending(layer, queue="process!"):
    return layer.channel_statistics(queue)["messages_pending"]


def test_members_of_one_process_share_one_entry(batching):
    batching.send_group("crowd", {"n": 1})
    assert pending(batching) == 1
    assert batching.channel_statistics("process!")["messages_count"] == 10
    assert receive_all(batching, ["process!"]) == [("process!%d" % number, {"n": 1}) for number in range(10)]


def test_batches_of_several_processes_wait_in_memory_at_once(layer):
    names = ["process%d!%d" % (process, number) for process in range(8) for number in range(3)]
    queues = ["process%d!" % process for process in range(8)]
    join(layer, *names)
    layer.receive(queues)
    for number in range(3):
        layer.send_group("crowd", {"n": number})
    assert sum(pending(layer, queue) for queue in queues) == 24
    found = receive_all(layer, queues)
    assert sorted(found, key=str) == sorted([(name, {"n": n}) for name in names for n in range(3)], key=str)


def test_one_place_of_the_capacity_for_all(batching):
    batching.capacity = 3
    for number in range(5):
        batching.send_group("crowd", {"n": number})
    statistics = batching.channel_statistics("process!")
    assert (statistics["messages_pending"], statistics["messages_count"]) == (3, 30)
    assert statistics["channel_full_count"] == 20


def test_everything_on_the_queue_stays_in_order(batching):
    for number in range(0, 9, 3):
        batching.send("process!3", {"n": number})
        batching.send_group("crowd", {"n": number + 1})
        batching.send("process!3", {"n": number + 2})
    found = receive_all(batching, ["process!"])
    assert [message["n"] for channel, message in found if channel == "process!3"] == list(range(9))
    assert [message["n"] for _, message in found] == sorted(message["n"] for _, message in found)


def test_a_reader_that_has_not_announced_itself_gets_an_entry_for_each_member(make_layer, shards):
    layer = make_layer(shards)
    join(layer, "process!a", "process!b", "normal")
    layer.send_group("crowd", {"n": 1})
    assert pending(layer) == 2
    assert sorted(receive_all(layer, ["process!", "normal"])) == [
        (name, {"n": 1}) for name in ("normal", "process!a", "process!b")
    ]


def test_an_announcement_ends_when_nobody_reads(make_layer, client):
    layer = make_layer()
    layer.receive(["process!"])
    assert 9000 < announced(layer, "process!") <= 10000
    client.delete(layer.prefix + "process!#batches")  # as its end does
    join(layer, "process!a", "process!b")
    layer.send_group("crowd", {"n": 1})
    assert pending(layer) == 2


@pytest.fixture
def later(monkeypatch):
    """Call it, and readers find that six seconds have passed."""
    return functools.partial(clock_of(receiver, monkeypatch), 6)


def test_reading_keeps_announcing(make_layer, shards, later):
    layer = make_layer(shards)
    layer.blpop_timeout = 1
    for read in (
        lambda: layer.receive(["other", "process!"]),
        lambda: layer.receive(["process!"], block=True),
        lambda: layer.receive(["process!"]),
    ):
        index = layer.consistent_hash("process!") if shards > 1 else 0
        servers.client_of(layer, index).delete(layer.prefix + "process!#batches")
        later()
        read()
        assert announced(layer, "process!") > 7000


def test_a_message_that_ends_a_wait_on_another_channel_keeps_announcing(layer, client, later):
    reader = Reader(layer, ["normal", "process!"])
    wait_until_blocked(layer, 1)
    client.delete(layer.prefix + "process!#batches")
    later()
    layer.send("normal", {"n": 1})
    reader.join()
    assert reader.found == ("normal", {"n": 1})
    layer.receive(["normal", "process!"])
    assert announced(layer, "process!") > 7000


def test_an_announcement_that_the_server_refused_is_made_again(layer, client):
    client.set(layer.prefix + "process!", "no list", px=60000)
    with pytest.raises(ResponseError):
        layer.receive(["process!"])
    client.delete(layer.prefix + "process!", layer.prefix + "process!#batches")
    layer.receive(["process!"])
    assert announced(layer, "process!") > 7000


def test_handing_out_from_memory_keeps_announcing(batching, later):
    batching.send_group("crowd", {"n": 1})
    batching.receive(["process!"])
    index = batching.consistent_hash("process!") if batching.ring_size > 1 else 0
    servers.client_of(batching, index).delete(batching.prefix + "process!#batches")
    batching.receive(["process!"])
    assert announced(batching, "process!") < 0  # it is fresh enough, as far as the reader knows
    later()
    batching.receive(["process!"])
    assert announced(batching, "process!") > 8000


def test_announcing_costs_no_round_trip(layer, client):
    layer.receive(["process!"])
    before = servers.calls(client)["eval"]
    layer.receive(["process!"])
    assert servers.calls(client)["eval"] == before + 1


def test_only_process_specific_channels_are_announced(layer, client):
    layer.receive(["normal", "reader?x"])
    assert servers.message_keys(client, layer) == []


# What is in memory.


def test_a_message_handed_out_is_the_callers_own(batching):
    batching.send_group("crowd", {"list": [1], "map": {"a": 1}})
    for _ in range(10):
        _, message = batching.receive(["process!"])
        assert message == {"list": [1], "map": {"a": 1}}
        message["list"].append(2)
        message["map"]["b"] = 2
        message["other"] = 3


def test_other_channels_are_not_held_up(batching):
    join(batching, *["process!more%d" % number for number in range(200)])
    batching.send_group("crowd", {"n": 1})
    assert batching.receive(["process!"])[1] == {"n": 1}
    for channel in ("other!x", "normal", "reader?x"):
        batching.send(channel, {"n": 2})
        found = [batching.receive(["process!", "other!", "normal", "reader?x"])[0] for _ in range(50)]
        assert channel in found
        assert batching.receive(["nothing"]) == (None, None)


def test_flush_empties_the_memory(batching):
    batching.send_group("crowd", {"n": 1})
    batching.receive(["process!"])
    batching.flush()
    assert batching.receive(["process!"]) == (None, None)


def test_what_is_in_memory_expires(layer, monkeypatch):
    let_pass = clock_of(inbox, monkeypatch)
    join(layer, "process!a", "process!b", "process!c")
    layer.receive(["process!"])
    layer.send_group("crowd", {"n": 1})
    assert layer.receive(["process!"])[1] == {"n": 1}
    let_pass(layer.expiry + 1)
    assert layer.receive(["process!"]) == (None, None)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows can't fork")
def test_a_fork_does_not_share_the_memory(batching):
    batching.send_group("crowd", {"n": 1})
    batching.receive(["process!"])
    child = os.fork()
    if child == 0:
        os._exit(0 if batching.receive(["process!"]) == (None, None) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert len(receive_all(batching, ["process!"])) == 9


@pytest.mark.parametrize("block", [False, True])
def test_threads_never_get_the_same_message_and_none_is_skipped(batching, block):
    batching.blpop_timeout = 1
    found = []

    def read():
        found.extend(iter(lambda: batching.receive(["process!"], block), (None, None)))

    for number in range(30):
        batching.send_group("crowd", {"n": number})
    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 300
    assert {(channel, message["n"]) for channel, message in found} == {
        ("process!%d" % member, number) for member in range(10) for number in range(30)
    }


def test_a_thread_that_waits_gets_what_another_brought_into_memory(make_layer):
    layer = make_layer()
    layer.blpop_timeout = LONG_WAIT
    join(layer, *["process!%d" % number for number in range(3)])
    readers = [Reader(layer, ["process!"]) for _ in range(3)]
    wait_until_blocked(layer, 1, count=3)
    layer.send_group("crowd", {"n": 1})
    for reader in readers:
        reader.join()
    assert sorted(reader.found[0] for reader in readers) == ["process!0", "process!1", "process!2"]
    assert max(reader.took for reader in readers) < AT_ONCE


# Losses.


def test_losses_are_logged_once_a_second_with_channel_and_number(layer, caplog):
    layer.capacity = 1
    join(layer, *["process!%d" % number for number in range(10)])
    layer.receive(["process!"])
    with caplog.at_level(logging.WARNING, "asgi_redis"):
        for number in range(12):
            layer.send_group("crowd", {"n": number})
        layer._parts.losses.wait()  # what came since the first line
    lines = [record.getMessage() for record in caplog.records]
    assert all("process!" in line for line in lines)
    assert [int(re.search("dropped ([0-9]+)", line).group(1)) for line in lines] == [10, 100]


def test_losses_are_logged_again_after_a_time_in_which_no_thread_could_start(make_layer, caplog):
    layer = make_layer(capacity=1)
    layer.send("normal", {})
    before = threading.stack_size(2 ** 50)  # no machine has that much memory
    try:
        with pytest.raises(layer.ChannelFull):
            layer.send("normal", {})
    finally:
        threading.stack_size(before)
    del caplog.records[:]
    with pytest.raises(layer.ChannelFull):
        layer.send("normal", {})
    assert "refused 1 message" in caplog.text
