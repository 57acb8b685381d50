"""Readers and senders whose keys differ: what is dropped is told apart, logged, counted, and left to other readers."""
from __future__ import unicode_literals

import logging
import re
import threading

import pytest

from asgi_redis.server import times
from asgi_redis.server.waiting import Waiter

from . import servers
from .patience import receive_within, until
from .test_bad_input import push
from .test_blocking import Reader, wait_until_blocked
from .test_messages import receive_all


def dropped(layer, *queue):
    return layer._parts.statistics.dropped(*queue)


def pending(layer):
    return layer.channel_statistics("normal")["messages_pending"]


@pytest.fixture
def keyed(make_layer):
    """A layer with keys, which has sent thirty messages to ``normal``."""
    layer = make_layer(symmetric_encryption_keys=["key"])
    for number in range(30):
        layer.send("normal", {"n": number})
    return layer


@pytest.fixture
def long_pause(monkeypatch):
    monkeypatch.setattr(times, "WRONG_KEYS_PAUSE", 60)


@pytest.fixture
def short_pause(monkeypatch):
    monkeypatch.setattr(times, "WRONG_KEYS_PAUSE", 0.1)


# Reasons.


@pytest.mark.parametrize("reader, writer, reason", [
    (None, ["key"], "encrypted, but this process has no keys"),
    (["other", "third"], ["key"], "encrypted with a key that this process does not have"),
    (["key"], None, "not encrypted, but this process has keys"),
])
def test_the_log_tells_the_reasons_apart(make_layer, caplog, reader, writer, reason):
    make_layer(symmetric_encryption_keys=writer).send("normal", {"s3cr3t": 1})
    with caplog.at_level(logging.WARNING, "asgi_redis"):
        assert make_layer(symmetric_encryption_keys=reader).receive(["normal"]) == (None, None)
    record, = caplog.records
    assert "Dropped 1 message on normal in the last second: " + reason in record.getMessage()
    assert record.levelname == "ERROR" and record.channel == "normal" and "s3cr3t" not in caplog.text


def test_many_dropped_messages_are_logged_at_once_and_then_once_a_second(layer, caplog):
    for _ in range(300):
        push(layer, b"\xc1")
    with caplog.at_level(logging.ERROR, "asgi_redis"):
        assert layer.receive(["normal"]) == (None, None)
        layer._parts.losses.wait()
    numbers = [int(re.match("Dropped ([0-9]+) message", record.getMessage()).group(1)) for record in caplog.records]
    assert numbers[0] == 1 and sum(numbers) == 300
    assert len(numbers) < 20  # the machine may be so slow that it takes some seconds


def test_each_channel_and_reason_has_a_line_of_its_own(make_layer, caplog):
    layer = make_layer(symmetric_encryption_keys=["key"])
    for queue, body in (("a", b"\x80"), ("b", b"\x80"), ("b", layer.make_fernet("other").encrypt(b"\x80"))):
        push(layer, body, queue)
        push(layer, body, queue)
    with caplog.at_level(logging.ERROR, "asgi_redis"):
        assert receive_all(layer, ["a", "b"]) == []
        layer._parts.losses.wait()
    lines = {(record.channel, "not encrypted" in record.getMessage()) for record in caplog.records}
    assert lines == {("a", True), ("b", True), ("b", False)}


# Counters.


def test_dropped_messages_are_counted_for_their_channel_and_all_channels(make_layer, shards):
    layer = make_layer(shards)
    writer = make_layer(shards, symmetric_encryption_keys=["key"])
    for channel in ("normal", "normal", "reader?x", "process!x"):
        writer.send(channel, {})
    assert receive_all(layer, ["normal", "reader?x", "process!"]) == []
    assert [dropped(layer, queue) for queue in ("normal", "reader?x", "process!", "other")] == [2, 1, 1, 0]
    assert dropped(layer) == 4


def test_the_dictionaries_of_the_statistics_have_no_other_keys_than_ever(layer):
    push(layer, b"\xc1")
    assert layer.receive(["normal"]) == (None, None)
    assert set(layer.global_statistics()) == {"messages_count", "channel_full_count"}
    assert set(layer.channel_statistics("normal")) == {
        "messages_count", "channel_full_count", "messages_pending", "messages_max_age",
    }


def test_the_counters_live_as_long_as_the_others(layer, client):
    push(layer, b"\xc1")
    assert layer.receive(["normal"]) == (None, None)
    assert client.ttl(layer.stats_prefix + "normal:dropped_count") in (3599, 3600)
    assert client.ttl(layer.stats_prefix + "#global#:dropped_count") in (86399, 86400)


def test_flush_deletes_the_counters(layer, client):
    push(layer, b"\xc1")
    assert layer.receive(["normal"]) == (None, None)
    assert dropped(layer) == 1
    layer.flush()
    assert client.keys(layer.stats_prefix + "*dropped_count") == []


def test_a_good_message_is_counted_by_no_command(layer, client):
    layer.send("normal", {})
    assert layer.receive(["normal"]) == ("normal", {})
    assert client.keys(layer.stats_prefix + "*dropped_count") == []


def test_a_message_that_can_not_be_counted_is_dropped_all_the_same(layer, client, caplog):
    client.rpush(layer.stats_prefix + "#global#:dropped_count", "this is no number")
    push(layer, b"\xc1")
    layer.send("normal", {"n": 1})
    with caplog.at_level(logging.WARNING, "asgi_redis"):
        assert layer.receive(["normal"]) == ("normal", {"n": 1})
        layer._parts.losses.wait()
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "could not count" in caplog.records[1].getMessage()


# Pauses.


@pytest.mark.usefixtures("long_pause")
def test_a_reader_without_the_keys_drops_ten_and_leaves_the_others(make_layer, keyed):
    layer = make_layer()
    assert layer.receive(["normal"]) == (None, None)
    assert layer.receive(["normal"]) == (None, None)  # at once: it does not wait for the end of the pause
    assert (dropped(layer, "normal"), pending(layer)) == (10, 20)
    assert len(receive_all(keyed, ["normal"])) == 20


@pytest.mark.usefixtures("long_pause")
def test_a_reader_that_pauses_does_not_pop_in_blocking_receives_either(make_layer, keyed):
    layer = make_layer()
    layer.blpop_timeout = 1
    for _ in range(2):
        assert layer.receive(["normal", "other"], block=True) == (None, None)
    assert (dropped(layer, "normal"), pending(layer)) == (10, 20)


@pytest.mark.usefixtures("short_pause", "keyed")
def test_a_pause_is_followed_by_one_message_and_another_pause(make_layer):
    layer = make_layer()
    assert layer.receive(["normal"]) == (None, None)

    def one_more():
        assert layer.receive(["normal"]) == (None, None)
        return pending(layer) < 20

    until(one_more, "the pause is over")
    assert pending(layer) == 19


@pytest.mark.usefixtures("short_pause")
def test_a_good_message_ends_the_pauses(make_layer):
    layer, writer = make_layer(), make_layer(symmetric_encryption_keys=["key"])
    for bad, number in ((10, 1), (9, 2)):
        for _ in range(bad):
            writer.send("normal", {})
        layer.send("normal", {"n": number})
    assert layer.receive(["normal"]) == (None, None)
    assert receive_within(layer, ["normal"]) == [("normal", {"n": 1})]
    assert layer.receive(["normal"]) == ("normal", {"n": 2})


@pytest.mark.usefixtures("long_pause")
def test_other_bad_bodies_do_not_make_a_reader_pause(layer):
    for _ in range(30):
        push(layer, b"\xc1")
    layer.send("normal", {"n": 1})
    assert layer.receive(["normal"]) == ("normal", {"n": 1})


@pytest.mark.usefixtures("long_pause")
def test_what_is_in_memory_is_handed_out_during_a_pause(make_layer, keyed):
    layer = make_layer()
    layer.receive(["process!"])
    for name in "abc":
        layer.group_add("crowd", "process!" + name)
    layer.send_group("crowd", {"n": 1})
    assert layer.receive(["process!"])[1] == {"n": 1}
    assert layer._parts.receiver.receive(frozenset(["normal"])) is None
    assert pending(layer) == 20
    assert sorted(receive_all(layer, ["process!", "normal"])) == [("process!b", {"n": 1}), ("process!c", {"n": 1})]


@pytest.mark.usefixtures("long_pause", "keyed")
def test_what_was_popped_when_a_pause_began_is_received(make_layer):
    layer = make_layer()
    reader = Reader(layer, ["other"])
    wait_until_blocked(layer, 1)
    assert layer.receive(["normal"]) == (None, None)
    layer.send("other", {"n": 1})
    reader.join(10)
    assert reader.found == ("other", {"n": 1})


@pytest.mark.usefixtures("long_pause", "keyed")
def test_a_pause_can_be_ended_from_another_thread(make_layer):
    layer, waiter, found = make_layer(), Waiter(), []
    layer.blpop_timeout = 60
    reader = threading.Thread(target=lambda: found.append(layer.receive_blocking(frozenset(["normal"]), waiter)))
    reader.daemon = True
    reader.start()
    until(lambda: dropped(layer) == 10, "the reader pauses")
    waiter.stop()
    reader.join(10)
    assert found == [None]


@pytest.mark.usefixtures("keyed")
def test_a_waiting_reader_drops_one_message_a_second_at_most(make_layer, client):
    layer = make_layer()
    layer.blpop_timeout = 2
    assert layer.receive(["normal"], block=True) == (None, None)
    # Ten at once; one after the first second, one after the second.
    assert 10 < int(client.get(layer.stats_prefix + "normal:dropped_count")) < 14
    assert servers.client_of(layer).info("clients")["blocked_clients"] == 0
