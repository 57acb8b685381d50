"""This library and release 1.4.3 over the same two Sentinel services: each must read what the other writes."""
from __future__ import unicode_literals

import binascii
import os

import pytest
import redis

from asgi_redis import RedisSentinelChannelLayer

from .. import servers
from ..test_blocking import Reader, wait_until_blocked
from .released import to_line
from .test_interop import queue_of, receive, receive_all, shard_of

SERVICES = ["beta", "alpha"]
CHANNELS = ["work", "reply?abc", "daphne.1!a"]


@pytest.fixture(scope="module")
def sentinels():
    with servers.Sentinels(SERVICES) as running:
        yield running


@pytest.fixture
def shards():
    return len(SERVICES)


@pytest.fixture
def make_pair(sentinels, process):
    """Makes a layer of ours and one of the release with the same arguments: ``make_pair(**arguments)``."""
    own = binascii.hexlify(os.urandom(4)).decode("ascii")
    made = []

    def make(shards=None, **arguments):
        arguments.setdefault("services", SERVICES)
        arguments.setdefault("prefix", "test-%s:" % own)
        arguments.update(hosts=sentinels.hosts, stats_prefix="test-meta-%s:" % own)
        made.append(RedisSentinelChannelLayer(**arguments))
        return made[-1], process.sentinel_layer(**arguments)

    yield make
    for layer in made:
        layer.flush()


def test_normal_channels(both):
    writer, reader = both
    for number in range(20):
        writer.send("work", {"number": number})
    assert sorted(message["number"] for _, message in receive_all(reader, "work")) == list(range(20))
    assert receive_all(writer, "work") == []


@pytest.mark.parametrize("channel", ["reply?abc", "daphne.1!a"])
def test_channels_with_one_reader_are_in_order(both, channel):
    writer, reader = both
    for number in range(20):
        writer.send(channel, {"number": number})
    assert receive_all(reader, queue_of(channel)) == [(channel, {"number": number}) for number in range(20)]


def test_what_is_written_is_on_the_service_that_its_name_hashes_to(both, sentinels):
    writer, _ = both
    for number in range(10):
        writer.send("reply?%d" % number, {})
        writer.send("daphne.%d!a" % number, {})
        writer.group_add("room.%d" % number, "work")
    for place, service in enumerate(SERVICES):
        client = redis.StrictRedis(port=sentinels.master(service).port)
        for number in range(10):
            for name, key in (
                ("reply?%d" % number, "reply?%d" % number),
                ("daphne.%d!" % number, "daphne.%d!" % number),
                ("room.%d" % number, ":group:room.%d" % number),
            ):
                assert client.exists(writer.prefix + key) == (place == shard_of(name, len(SERVICES)))


def test_groups(both):
    writer, reader = both
    channels = CHANNELS + ["daphne.1!b", "daphne.2!a"]
    for place, channel in enumerate(channels):
        (reader if place % 2 else writer).group_add("room", channel)
    writer.group_add("room", "left")
    reader.group_discard("room", "left")
    for layer in both:
        assert sorted(layer.group_channels("room")) == sorted(channels)
    writer.send_group("room", {"n": 1})
    found = receive_all(reader, *{queue_of(channel) for channel in channels})
    assert sorted(found) == sorted((channel, {"n": 1}) for channel in channels)


def test_group_sends_to_a_process_of_ours_and_one_of_the_release(both):
    writer, reader = both
    queues = {writer: "writer!", reader: "reader!"}
    for layer, queue in queues.items():
        assert receive(layer, queue) == (None, None)  # ours says that it understands batches
        for socket in "abc":
            layer.group_add("room", queue + socket)
    writer.send_group("room", {"from": "writer"})
    reader.send_group("room", {"from": "reader"})
    for layer, queue in queues.items():
        found = sorted((channel, message["from"]) for channel, message in receive_all(layer, queue))
        assert found == [(queue + socket, sender) for socket in "abc" for sender in ("reader", "writer")]


def test_statistics(make_both, arguments):
    both = writer, reader = make_both(capacity=4, **arguments)
    for channel in CHANNELS:
        for _ in range(3):
            writer.send(channel, {})
    writer.send("reply?abc", {})
    for layer in both:
        with pytest.raises(layer.ChannelFull):
            layer.send("reply?abc", {})
    receive(reader, "daphne.1!")
    for layer in both:
        assert to_line(layer.global_statistics()) == to_line({"messages_count": 10, "channel_full_count": 2})
        for channel, sent, pending, full in (("work", 3, 3, 0), ("reply?abc", 4, 4, 2), ("daphne.1!", 3, 2, 0)):
            found = layer.channel_statistics(channel)
            assert found.pop("messages_max_age") in (0, 1)
            expected = {"messages_count": sent, "messages_pending": pending, "channel_full_count": full}
            assert to_line(found) == to_line(expected)


def test_a_reader_of_ours_that_waits_gets_what_the_release_sends(make_pair, arguments):
    ours, release = make_pair(**arguments)
    for number in range(4):  # the release sends to the services in turn
        reader = Reader(ours, ["work"])
        wait_until_blocked(ours, 2)
        release.send("work", {"n": number})
        reader.join()
        assert reader.found == ("work", {"n": number})
        assert reader.took < 2


def test_a_reader_of_the_release_that_waits_gets_what_ours_sends(make_pair, arguments):
    ours, release = make_pair(**arguments)
    reader = Reader(release, ["reply?abc"])
    client = ours.connection(shard_of("reply?abc", 2))
    servers.eventually(lambda: client.info("clients")["blocked_clients"], "the release waits")
    ours.send("reply?abc", {"n": 1})
    reader.join()
    assert reader.found == ("reply?abc", {"n": 1})


def test_one_empties_what_the_other_wrote(make_both):
    writer, reader = make_both()
    for channel in CHANNELS:
        writer.send(channel, {})
        writer.group_add("room", channel)
    reader.flush()
    assert receive_all(writer, "work", "reply?abc", "daphne.1!") == []
    assert writer.group_channels("room") == []


# Services left out.


def test_ours_sorts_them_by_name_and_the_release_takes_them_as_a_sentinel_lists_them(make_pair, sentinels):
    """A Sentinel lists them in an order of its own. So only ours can agree with each other, whom they ask."""
    ours, release = make_pair(services=None)
    listed = redis.StrictRedis(port=sentinels.hosts[0][1]).sentinel_masters()
    assert ours.services == sorted(SERVICES)
    assert release.attribute("services") == list(listed)


def test_named_in_the_order_of_the_release_they_are_shared_with_one_that_leaves_them_out(make_pair):
    _, release = make_pair(services=None)
    ours, _ = make_pair(services=release.attribute("services"))
    for writer, reader in ((ours, release), (release, ours)):
        for number in range(10):
            channel = "reply?%d" % number
            writer.send(channel, {"n": number})
            assert receive_all(reader, channel) == [(channel, {"n": number})]


@pytest.mark.parametrize("services", [None, SERVICES])
def test_normal_channels_are_shared_whatever_the_order(make_both, services):
    writer, _ = make_both(services=services)
    _, reader = make_both(services=SERVICES[::-1])
    for number in range(10):
        writer.send("work", {"n": number})
    assert sorted(message["n"] for _, message in receive_all(reader, "work")) == list(range(10))
