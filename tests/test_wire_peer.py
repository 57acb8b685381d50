"""A reader and a sender that are written by docs/wire-format.rst alone, and a layer, exchange messages both ways."""
from __future__ import unicode_literals

import functools

import pytest

from asgi_redis import cluster

from . import servers
from .conftest import needs_cluster
from .patience import AT_ONCE, LONG_WAIT, receive_within
from .test_blocking import Reader, wait_until_blocked
from .test_wire_format import interrupt
from .wire_peer import Peer, hash_tags

SHARDS = 3


def peer_of(layer, **arguments):
    clients = [servers.client_of(layer, index) for index in range(layer.ring_size)]
    return Peer(clients, layer.prefix, layer.stats_prefix, **arguments)


@pytest.fixture(params=[(), ("secret", "older")], ids=["plain", "encrypted"])
def secrets(request):
    return list(request.param)


@pytest.fixture
def layer(make_layer, secrets):
    layer = make_layer(SHARDS, symmetric_encryption_keys=secrets or None)
    layer.receive(["process!"])  # it takes batches
    return layer


@pytest.fixture
def peer(layer, secrets):
    return peer_of(layer, secrets=secrets)


MESSAGE = {"text": "caf\u00e9", "bytes": b"\x00\xff", "list": [1, -2, 1.5, None, True], "map": {"n": 1}}
MESSAGES = [MESSAGE, {"text": "x" * 100000}, {}]
CHANNELS = ["normal", "reader?x", "process!x"]


def rest_of(peer, channel):
    """Return all (channel, message) that the peer receives."""
    return [found for several in iter(lambda: peer.receive(channel), []) for found in several]


def in_order(found):
    """Return ``found`` by the size of the messages: those of a normal channel have no order."""
    return sorted(found, key=lambda pair: len(repr(pair)))


@pytest.mark.parametrize("channel", CHANNELS)
def test_the_peer_receives_what_a_layer_sends(layer, peer, channel):
    for message in MESSAGES:
        layer.send(channel, message)
    found = rest_of(peer, layer.non_local_name(channel))
    assert in_order(found) == in_order([(channel, message) for message in MESSAGES])


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_layer_receives_what_the_peer_sends(layer, peer, channel):
    for message in MESSAGES:
        assert peer.send(channel, message)
    found = list(iter(lambda: layer.receive([layer.non_local_name(channel)]), (None, None)))
    assert in_order(found) == in_order([(channel, message) for message in MESSAGES])


def test_single_readers_get_messages_in_order(layer, peer):
    for number in range(10):
        (layer if number % 2 else peer).send("process!x", {"n": number})
    assert [layer.receive(["process!"])[1]["n"] for _ in range(5)] == list(range(5))
    assert [message["n"] for _, message in rest_of(peer, "process!")] == list(range(5, 10))


def test_a_waiting_layer_gets_what_the_peer_sends(layer, peer):
    layer.blpop_timeout = LONG_WAIT
    reader = Reader(layer, ["process!", "normal"])
    wait_until_blocked(layer, SHARDS)
    peer.send("process!x", MESSAGE)
    reader.join()
    assert reader.found == ("process!x", MESSAGE)
    assert reader.took < AT_ONCE


def test_the_waiting_peer_gets_what_a_layer_sends(layer, peer):
    class Waiting(object):
        def receive(self, channels, block):
            return peer.receive(channels[0], wait=LONG_WAIT)

    reader = Reader(Waiting(), ["process!"])
    shard = peer.number("process!")
    servers.eventually(lambda: peer.shards[shard].client.info("clients")["blocked_clients"], "the peer waits", AT_ONCE)
    layer.send("process!x", MESSAGE)
    reader.join()
    assert reader.found == [("process!x", MESSAGE)]


@pytest.mark.parametrize("channel", CHANNELS)
def test_both_find_a_channel_full_at_the_same_number(layer, peer, channel):
    capacity = 7  # which three shards can't share out evenly
    layer.capacity = capacity
    sent = 0
    while sent <= capacity and peer.send(channel, {}, capacity):
        sent += 1
    assert sent == capacity
    with pytest.raises(layer.ChannelFull):
        layer.send(channel, {})
    layer.receive([layer.non_local_name(channel)])
    layer.send(channel, {})
    assert not peer.send(channel, {}, capacity)


def test_the_peer_counts_as_a_layer_does(layer, peer):
    for sender in (layer, peer):
        for channel in ("normal", "process!x"):
            sender.send(channel, {})
    peer.send("process!x", {}, capacity=2)
    assert layer.channel_statistics("normal")["messages_count"] == 2
    assert layer.channel_statistics("process!x")["channel_full_count"] == 1
    assert layer.global_statistics() == {"messages_count": 4, "channel_full_count": 1}


def test_the_peer_finds_every_name_on_the_shard_of_a_layer(layer, peer):
    names = ["%s%d%s" % (name, number, mark) for name in "ab" for number in range(100) for mark in ("!", "?x", "")]
    assert [peer.number(name) for name in names] == [layer.consistent_hash(name) for name in names]


@needs_cluster
def test_hash_tags_are_those_of_a_cluster_layer():
    for shards in range(1, 130):
        assert hash_tags(shards) == ["{%s}" % tag for tag in cluster.slot_tags(shards)]


# Groups and batches.

MEMBERS = ["process!x", "process!y", "other!z", "normal", "reader?x"]


def everything(receive, channels=("process!", "other!", "normal", "reader?x")):
    """Return the names of all channels that got the message."""
    found = [pair for channel in channels for pair in receive(channel)]
    assert all(message == MESSAGE for _, message in found)
    return sorted(name for name, _ in found)


def test_the_peer_is_a_member_of_a_group_and_takes_batches(layer, peer):
    for name in MEMBERS:
        peer.join("crowd", name)
    assert sorted(layer.group_channels("crowd")) == sorted(MEMBERS)
    assert peer.receive("process!") == []  # it announces itself
    layer.send_group("crowd", MESSAGE)
    assert layer.channel_statistics("process!")["messages_pending"] == 1
    assert everything(functools.partial(rest_of, peer)) == sorted(MEMBERS)


def test_a_peer_that_takes_no_batches_gets_an_entry_for_each_member(make_layer, secrets):
    layer = make_layer(SHARDS, symmetric_encryption_keys=secrets or None)
    peer = peer_of(layer, secrets=secrets, takes_batches=False)
    for name in MEMBERS:
        layer.group_add("crowd", name)
    assert peer.receive("process!") == []
    layer.send_group("crowd", MESSAGE)
    assert layer.channel_statistics("process!")["messages_pending"] == 2
    assert everything(functools.partial(rest_of, peer)) == sorted(MEMBERS)


def test_a_layer_takes_a_batch_of_the_peer(layer, peer):
    for name in MEMBERS:
        layer.group_add("crowd", name)
    assert sorted(peer.members("crowd")) == sorted(MEMBERS)
    peer.send_group("crowd", MESSAGE)
    assert layer.channel_statistics("process!")["messages_pending"] == 1
    assert layer.channel_statistics("process!")["messages_count"] == 2
    assert everything(lambda channel: iter(lambda: layer.receive([channel]), (None, None))) == sorted(MEMBERS)


def test_both_drop_members_whose_time_is_over(layer, peer):
    peer.join("crowd", "old", ago=layer.group_expiry + 1)
    peer.join("crowd", "young", ago=layer.group_expiry - LONG_WAIT)
    assert peer.members("crowd") == ["young"]
    peer.join("crowd", "old", ago=layer.group_expiry + 1)
    assert layer.group_channels("crowd") == ["young"]
    peer.leave("crowd", "young")
    assert layer.group_channels("crowd") == []


def test_a_message_of_the_peer_is_put_back_if_a_layer_is_interrupted(layer, peer):
    peer.send("normal", MESSAGE)
    envelope = layer._parts.envelope
    envelope.open = interrupt
    with pytest.raises(KeyboardInterrupt):
        layer.receive(["normal"])
    del envelope.open
    assert receive_within(layer, ["normal"]) == [("normal", MESSAGE)]
