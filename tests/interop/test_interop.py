"""This library and the published release 1.4.3 on the same servers: each must read what the other writes."""
from __future__ import unicode_literals

import base64
import binascii
import hashlib
import re
import threading
import time

import msgpack
import pytest
import redis
from cryptography.fernet import Fernet

from asgi_redis import RedisChannelLayer
from asgi_redis.server.keys import ORIGIN_MS, SHORTEST_SESSION_MS

from .. import servers
from .process import Process
from .released import to_line

VALUES = {
    "text": "na\u00efve \u6f22\u5b57 \U0001f600",
    "empty text": "",
    "bytes": b"\x00\xff\xfe\x80 ascii",
    "empty bytes": b"",
    "none": None,
    "booleans": [True, False],
    "integers": [0, 1, -1, 127, 128, -33, 2 ** 31, -(2 ** 63), 2 ** 64 - 1],
    "floats": [0.0, 1.0, -2.5, 1e300, 0.1],
    "nested": {"path": "/", "headers": [[b"host", b"a"], ["x", None]], "deep": [[[{"a": {"b": []}}]]], "empty": {}},
    "a megabyte of bytes": bytes(bytearray(range(256))) * 4096,
    "a megabyte of text": "\u00e4bcd" * 250000,
}


def queue_of(channel):
    """The name that is received on."""
    return channel.split("!")[0] + "!" if "!" in channel else channel


def receive(layer, *channels):
    """(channel, message), or (None, None). Ours has one try; the release many: it looks at one shard a call."""
    for _ in range(1 if isinstance(layer, RedisChannelLayer) or layer.ring_size == 1 else 50):
        channel, message = layer.receive(list(channels))
        if channel is not None:
            return channel, message
    return None, None


def receive_all(layer, *channels):
    """All that is there: a list of (channel, message)."""
    return list(iter(lambda: receive(layer, *channels), (None, None)))


def clients(count=1):
    return [redis.StrictRedis.from_url(url) for url in servers.hosts(count)]


def keys_of(layer, count=1):
    """What the layer, or one with its prefixes, has in Redis: {key: its client}."""
    prefixes = tuple(prefix.encode("utf-8") for prefix in (layer.prefix, layer.stats_prefix))
    return {key: client for client in clients(count) for key in client.keys() if key.startswith(prefixes)}


def shard_of(name, shards):
    return int((binascii.crc32(name.encode("utf-8")) & 0xFFF) / (4096 / float(shards)))


class TestMessages(object):
    def test_a_normal_channel(self, both):
        writer, reader = both
        for number in range(20):
            writer.send("work", {"number": number})
        received = receive_all(reader, "work")
        assert sorted(message["number"] for _, message in received) == list(range(20))
        assert {channel for channel, _ in received} == {"work"}
        assert receive_all(writer, "work") == []

    def test_on_one_server_a_normal_channel_is_in_order(self, make_both):
        writer, reader = make_both()
        for number in range(20):
            writer.send("work", {"number": number})
        assert receive_all(reader, "work") == [("work", {"number": number}) for number in range(20)]

    def test_a_single_reader_channel_is_in_order(self, both):
        writer, reader = both
        for number in range(20):
            writer.send("reply?abc", {"number": number})
        assert receive_all(reader, "reply?abc") == [("reply?abc", {"number": number}) for number in range(20)]

    def test_process_specific_channels_are_in_order(self, both):
        writer, reader = both
        sent = [("daphne.1!%s" % "abc"[number % 3], {"number": number}) for number in range(20)]
        for channel, message in sent:
            writer.send(channel, message)
        assert receive_all(reader, "daphne.1!") == sent

    def test_both_write_one_single_reader_channel_in_order(self, both):
        writer, reader = both
        for number in range(10):
            (writer if number % 2 else reader).send("reply?abc", {"number": number})
        assert [message["number"] for _, message in receive_all(reader, "reply?abc")] == list(range(10))

    def test_one_of_several_channels_has_a_message(self, both):
        writer, reader = both
        writer.send("daphne.1!a", {"b": 1})
        assert receive_all(reader, "work", "reply?abc", "daphne.1!") == [("daphne.1!a", {"b": 1})]

    @pytest.mark.parametrize("channel", ["work", "reply?abc", "daphne.1!a"])
    def test_an_empty_message(self, both, channel):
        writer, reader = both
        writer.send(channel, {})
        assert receive_all(reader, queue_of(channel)) == [(channel, {})]

    @pytest.mark.parametrize("keys", [None, ["key"]], ids=["plain", "encrypted"])
    @pytest.mark.parametrize("channel", ["work", "daphne.1!a"])
    @pytest.mark.parametrize("name", sorted(VALUES))
    def test_values_keep_their_types(self, make_both, keys, channel, name):
        writer, reader = make_both(symmetric_encryption_keys=keys)
        writer.send(channel, {name: VALUES[name]})
        _, message = receive(reader, queue_of(channel))
        # Lines compare types too: True is 1, and on Python 2 ASCII text is bytes.
        assert to_line(message) == to_line({name: VALUES[name]})

    def test_a_new_channel_of_one_is_good_for_the_other(self, both):
        writer, reader = both
        channel = reader.new_channel("http.response?")
        assert len(channel) == len(writer.new_channel("http.response?"))
        writer.send(channel, {"a": 1})
        assert receive_all(reader, channel) == [(channel, {"a": 1})]

    @pytest.mark.parametrize("channel", ["work", "reply?abc"])
    def test_expired_messages_are_skipped(self, make_both, channel):
        writer, reader = make_both(expiry=1)
        writer.send(channel, {"old": 1})
        time.sleep(1.2)
        writer.send(channel, {"new": 1})
        assert clients()[0].llen(writer.prefix + channel) == 2
        assert receive_all(reader, channel) == [(channel, {"new": 1})]

    @pytest.mark.parametrize("channel", ["reply?abc", "daphne.1!a"])
    def test_a_blocked_reader_wakes(self, make_both, shards, channel):
        writer, reader = make_both(shards)
        answers, queue = [], queue_of(channel)
        thread = threading.Thread(target=lambda: answers.append(reader.receive([queue], block=True)))
        thread.start()
        client = clients(shards)[shard_of(queue, shards)]
        while not client.info("clients")["blocked_clients"]:
            assert thread.is_alive()
        sent = time.time()
        writer.send(channel, {"a": 1})
        thread.join()
        assert answers == [(channel, {"a": 1})]
        assert time.time() - sent < 3  # and not at the end of a wait, after 5
        assert not [key for key in keys_of(writer, shards) if re.search(b"[0-9a-f]{32}$", key)]


class TestGroups(object):
    def test_members_added_by_one_are_seen_by_the_other(self, both):
        writer, reader = both
        channels = ["work", "reply?abc", "daphne.1!a", "daphne.1!b"]
        for place, channel in enumerate(channels):
            (reader if place == 2 else writer).group_add("room", channel)
        assert sorted(writer.group_channels("room")) == sorted(reader.group_channels("room")) == sorted(channels)
        assert reader.group_channels("empty") == writer.group_channels("empty") == []

    def test_a_member_discarded_by_the_other_is_gone(self, both):
        writer, reader = both
        for channel in ("work", "reply?abc", "daphne.1!a", "daphne.1!b"):
            writer.group_add("room", channel)
            reader.group_discard("room", channel if channel != "daphne.1!b" else "daphne.1!c")
        assert writer.group_channels("room") == reader.group_channels("room") == ["daphne.1!b"]

    @pytest.mark.parametrize("adds", ["writer", "reader"])
    def test_a_group_send_reaches_channels_of_all_kinds(self, both, adds):
        writer, reader = both
        channels = ["work", "jobs", "reply?abc", "reply?def", "daphne.1!a", "daphne.1!b", "daphne.2!a"]
        for channel in channels:
            dict(writer=writer, reader=reader)[adds].group_add("room", channel)
        writer.send_group("room", {"a": [b"1", "2"]})
        received = receive_all(reader, *{queue_of(channel) for channel in channels})
        assert sorted(channel for channel, _ in received) == sorted(channels)
        assert all(message == {"a": [b"1", "2"]} for _, message in received)

    def test_members_of_one_process_get_group_sends_in_order(self, both):
        writer, reader = both
        for socket in "abc":
            reader.group_add("room", "daphne.1!" + socket)
        # A reader may say that it understands what only the newer one writes: the first look is before the sends.
        assert receive(reader, "daphne.1!") == (None, None)
        for number in range(5):
            writer.send_group("room", {"number": number})
            writer.send("daphne.1!a", {"number": number + 100})
        received = receive_all(reader, "daphne.1!")
        assert len(received) == 20
        for socket, more in (("a", [100, 101, 102, 103, 104]), ("b", []), ("c", [])):
            numbers = [message["number"] for channel, message in received if channel == "daphne.1!" + socket]
            assert sorted(numbers) == [0, 1, 2, 3, 4] + more
            assert [number for number in numbers if number < 100] == [0, 1, 2, 3, 4]
            assert [number for number in numbers if number >= 100] == more

    def test_a_group_of_processes_of_both_kinds(self, both):
        writer, reader = both
        for layer in both:
            queue = "ours!" if isinstance(layer, RedisChannelLayer) else "released!"
            assert receive(layer, queue) == (None, None)
            for socket in "abc":
                layer.group_add("room", queue + socket)
        writer.send_group("room", {"from": "writer"})
        reader.send_group("room", {"from": "reader"})
        for layer in both:
            queue = "ours!" if isinstance(layer, RedisChannelLayer) else "released!"
            received = receive_all(layer, queue)
            assert sorted((channel, message["from"]) for channel, message in received) == [
                (queue + socket, sender) for socket in "abc" for sender in ("reader", "writer")
            ]

    def test_full_members_are_left_out(self, make_both, shards):
        writer, reader = make_both(shards, capacity=2)
        for channel in ("reply?full", "reply?free", "daphne.1!a"):
            writer.group_add("room", channel)
        for _ in range(2):
            reader.send("reply?full", {"a": 1})
        writer.send_group("room", {"b": 1})
        assert receive_all(reader, "reply?full") == [("reply?full", {"a": 1})] * 2
        assert receive_all(reader, "reply?free") == [("reply?free", {"b": 1})]
        assert receive_all(reader, "daphne.1!") == [("daphne.1!a", {"b": 1})]

    def test_membership_ends_after_group_expiry_unless_renewed(self, make_both):
        writer, reader = make_both(group_expiry=4)
        for channel in ("work", "reply?abc", "daphne.1!a"):
            writer.group_add("room", channel)
        time.sleep(3)
        reader.group_add("room", "reply?abc")
        time.sleep(2.3)  # the release counts in whole seconds, and may keep a member for one more
        assert reader.group_channels("room") == writer.group_channels("room") == ["reply?abc"]
        reader.send_group("room", {"a": 1})
        assert receive_all(writer, "work", "daphne.1!") == []
        assert receive_all(writer, "reply?abc") == [("reply?abc", {"a": 1})]


class TestShards(object):
    @pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 16])
    def test_both_find_the_same_shard(self, make_pair, count):
        ours, release = make_pair(hosts=servers.hosts() * count)
        for number in range(200):
            name = "http.response?%dName-_." % number
            assert ours.consistent_hash(name) == release.consistent_hash(name) == shard_of(name, count)

    def test_what_is_written_is_on_that_shard(self, both, shards):
        writer, reader = both
        for number in range(10):
            writer.send("reply?%d" % number, {"a": 1})
            writer.send("daphne.%d!a" % number, {"a": 1})
            writer.group_add("room.%d" % number, "work")
        for index, client in enumerate(clients(shards)):
            for number in range(10):
                for name, key in (
                    ("reply?%d" % number, "reply?%d" % number),
                    ("daphne.%d!" % number, "daphne.%d!" % number),
                    ("room.%d" % number, ":group:room.%d" % number),
                ):
                    assert client.exists(writer.prefix + key) == (index == shard_of(name, shards))

    @pytest.mark.parametrize("ours_as", ["urls", "pairs"])
    def test_hosts_as_urls_and_as_pairs(self, make_layer, process, ours_first, shards, ours_as):
        hosts = {"urls": servers.hosts(shards), "pairs": [("127.0.0.1", s.port) for s in servers.plain(shards)]}
        ours = make_layer(hosts=hosts.pop(ours_as))
        (others,) = hosts.values()
        pair = ours, process.layer(hosts=others, prefix=ours.prefix, stats_prefix=ours.stats_prefix)
        writer, reader = pair if ours_first else pair[::-1]
        for number in range(10):
            writer.send("reply?%d" % number, {"a": number})
            assert receive_all(reader, "reply?%d" % number) == [("reply?%d" % number, {"a": number})]


class TestKeys(object):
    """What one has written lies in Redis by the names, types and lives that the other counts on."""

    MESSAGE = {"a": [1, b"b", "c"]}

    @pytest.fixture(params=["ours", "release"])
    def writer(self, request, make_pair):
        """A layer of either kind, on one server, with lives of its own."""
        return make_pair(expiry=30, group_expiry=100, capacity=2)[request.param == "release"]

    def found(self, layer, shards=1):
        """(name without its prefix, type, milliseconds to live) of each key, sorted; a message's name is "#"."""
        found = []
        for key, client in keys_of(layer, shards).items():
            name = key.decode("utf-8")
            prefix = layer.prefix if name.startswith(layer.prefix) else layer.stats_prefix
            name = name[len(prefix):]
            if "#" in name.replace("#global#", ""):
                # One of ours: no channel name has a #, so the release never meets it. It must not stay for good.
                assert key.startswith(layer.prefix.encode("utf-8"))
                assert 0 < client.pttl(key) <= (ORIGIN_MS if name == "#origin" else SHORTEST_SESSION_MS)
                continue
            name = re.sub("^[0-9a-f]{32}$", "#", name)
            found.append((name, client.type(key).decode("ascii"), client.pttl(key)))
        return sorted(found)

    def check(self, layer, expected):
        found = self.found(layer)
        assert [key[:2] for key in found] == [key[:2] for key in sorted(expected)]
        for (name, _, milliseconds), (_, _, seconds) in zip(found, sorted(expected)):
            assert seconds * 1000 - 2000 < milliseconds <= seconds * 1000, name

    def counters(self, queue, counter="messages_count"):
        return [("%s:%s" % (queue, counter), "string", 3600), ("#global#:" + counter, "string", 86400)]

    @pytest.mark.parametrize("channel", ["work", "reply?abc", "daphne.1!a"])
    def test_a_message(self, writer, channel):
        writer.send(channel, self.MESSAGE)
        self.check(writer, [("#", "string", 30), (queue_of(channel), "list", 31)] + self.counters(queue_of(channel)))

    def test_a_full_channel(self, writer):
        for _ in range(2):
            writer.send("work", {})
        with pytest.raises(writer.ChannelFull):
            writer.send("work", {})
        self.check(
            writer, [("#", "string", 30)] * 2 + [("work", "list", 31)] + self.counters("work")
            + self.counters("work", "channel_full_count"),
        )

    def test_a_group(self, writer):
        before = time.time()
        writer.group_add("room", "daphne.1!a")
        writer.group_add("room", "work")
        self.check(writer, [(":group:room", "zset", 100)])
        members = clients()[0].zrange(writer.prefix + ":group:room", 0, -1, withscores=True)
        assert [name for name, _ in members] == [b"daphne.1!a", b"work"]
        assert all(before - 0.001 <= score <= time.time() for _, score in members)

    def test_a_group_send(self, writer):
        for channel in ("work", "reply?abc", "daphne.1!a"):
            writer.group_add("room", channel)
        writer.send_group("room", self.MESSAGE)
        self.check(writer, [
            (":group:room", "zset", 100), ("#", "string", 30), ("#", "string", 30), ("#", "string", 30),
            ("work", "list", 31), ("reply?abc", "list", 31), ("daphne.1!", "list", 31),
            ("work:messages_count", "string", 3600), ("reply?abc:messages_count", "string", 3600),
        ] + self.counters("daphne.1!"))

    def test_queues_hold_message_keys_in_order(self, writer):
        client = clients()[0]
        for number in range(2):
            writer.send("work", {"number": number})
        keys = client.lrange(writer.prefix + "work", 0, -1)
        assert all(re.match(re.escape(writer.prefix) + "[0-9a-f]{32}$", key.decode("ascii")) for key in keys)
        assert [client.get(key) for key in keys] == [
            msgpack.packb({"number": number}, use_bin_type=True) for number in range(2)
        ]

    def test_a_process_specific_message_carries_its_channel(self, writer):
        writer.send("daphne.1!a", self.MESSAGE)
        key, = clients()[0].lrange(writer.prefix + "daphne.1!", 0, -1)
        body = msgpack.unpackb(clients()[0].get(key), raw=False)
        assert body == dict(self.MESSAGE, __asgi_channel__="daphne.1!a")

    def test_nothing_is_left_of_a_received_message(self, both, shards):
        writer, reader = both
        for channel in ("work", "reply?abc", "daphne.1!a"):
            writer.send(channel, self.MESSAGE)
        assert len(receive_all(reader, "work", "reply?abc", "daphne.1!")) == 3
        names = [name for name, _, _ in self.found(writer, shards)]
        assert not {"#", "work", "reply?abc", "daphne.1!"}.intersection(names)
        assert "work:messages_count" in names


class TestStatistics(object):
    def fill(self, layer, channel, count):
        for _ in range(count):
            try:
                layer.send(channel, {})
            except layer.ChannelFull:
                pass

    def check(self, layers, channel, sent, pending, full):
        """Both have the same keys, and the same types of values."""
        for layer in layers:
            found = layer.channel_statistics(channel)
            assert to_line(found.pop("messages_max_age")) in (to_line(0), to_line(1))
            expected = {"messages_count": sent, "messages_pending": pending, "channel_full_count": full}
            assert to_line(found) == to_line(expected)

    @pytest.mark.parametrize("channel", ["reply?abc", "daphne.1!a"])
    def test_of_a_channel(self, both, channel):
        writer, reader = both
        self.check(both, queue_of(channel), sent=0, pending=0, full=0)
        self.fill(writer, channel, 3)
        receive(reader, queue_of(channel))
        # The release finds those of a process by its queue's name alone.
        self.check(both, queue_of(channel), sent=3, pending=2, full=0)

    def test_of_a_normal_channel_on_all_shards(self, both):
        writer, reader = both
        self.fill(writer, "work", 5)
        self.fill(reader, "work", 3)
        receive(reader, "work")
        receive(writer, "work")
        self.check(both, "work", sent=8, pending=6, full=0)

    def test_of_a_full_channel(self, make_both, shards):
        both = writer, reader = make_both(shards, capacity=2)
        self.fill(writer, "reply?abc", 5)
        self.fill(reader, "reply?abc", 1)
        self.check(both, "reply?abc", sent=2, pending=2, full=4)
        for layer in both:
            assert to_line(layer.global_statistics()) == to_line({"messages_count": 2, "channel_full_count": 4})

    def test_of_a_group_send_to_a_full_channel(self, make_both, shards):
        both = writer, reader = make_both(shards, capacity=2)
        self.fill(writer, "reply?abc", 2)
        reader.group_add("room", "reply?abc")
        writer.send_group("room", {})
        self.check(both, "reply?abc", sent=2, pending=2, full=1)

    def test_of_all_channels(self, both):
        writer, reader = both
        for layer in both:
            assert to_line(layer.global_statistics()) == to_line({"messages_count": 0, "channel_full_count": 0})
        for channel in ("work", "reply?abc", "daphne.1!a", "daphne.1!b"):
            self.fill(writer, channel, 3)
            writer.group_add("room", channel)
        writer.send_group("room", {})
        for layer in both:
            assert to_line(layer.global_statistics()) == to_line({"messages_count": 16, "channel_full_count": 0})

    def test_the_age_of_the_oldest_message(self, make_both):
        writer, reader = make_both()
        self.fill(writer, "work", 1)
        time.sleep(1.1)
        self.fill(writer, "work", 1)
        for layer in (reader, writer):
            assert layer.channel_statistics("work")["messages_max_age"] in (1, 2)


class TestCapacity(object):
    def full(self, layer, channel):
        try:
            layer.send(channel, {"too": "many"})
        except layer.ChannelFull:
            return True
        return False

    @pytest.mark.parametrize("channel", ["reply?abc", "daphne.1!a"])
    def test_messages_of_both_count(self, make_both, shards, channel):
        writer, reader = make_both(shards, capacity=5)
        for number in range(5):
            (writer if number < 3 else reader).send(channel, {"number": number})
        assert self.full(writer, channel) and self.full(reader, channel)
        assert receive(reader, queue_of(channel)) == (channel, {"number": 0})
        writer.send(channel, {"number": 5})
        assert self.full(writer, channel) and self.full(reader, channel)
        assert [message["number"] for _, message in receive_all(writer, queue_of(channel))] == [1, 2, 3, 4, 5]

    def test_a_process_has_one_capacity(self, make_both, shards):
        writer, reader = make_both(shards, capacity=2)
        writer.send("daphne.1!a", {})
        reader.send("daphne.1!b", {})
        assert self.full(writer, "daphne.1!c") and self.full(reader, "daphne.1!d")

    def test_a_normal_channel_on_one_server(self, make_both):
        writer, reader = make_both(capacity=5)
        for number in range(5):
            (writer if number < 3 else reader).send("work", {"number": number})
        assert self.full(writer, "work") and self.full(reader, "work")

    def test_a_normal_channel_on_several(self, make_pair, shards):
        """The release lets every shard hold the capacity; ours shares it out, and still must see the other's."""
        ours, release = make_pair(shards, capacity=6)
        for number in range(6):
            ours.send("work", {"number": number})
        assert self.full(ours, "work")
        assert release.channel_statistics("work")["channel_full_count"] == 1
        assert len(receive_all(release, "work")) == 6
        for _ in range(100):
            self.full(release, "work")
        assert self.full(ours, "work")
        assert len(receive_all(ours, "work")) == 6 * shards

    def test_capacities_by_pattern(self, make_both, shards):
        writer, reader = make_both(shards, capacity=5, channel_capacity={"reply?*": 2, "daphne.*!": 3})
        for channel, capacity in (("reply?abc", 2), ("daphne.1!a", 3), ("other?a", 5)):
            for _ in range(capacity):
                assert not self.full(writer, channel)
            assert self.full(writer, channel) and self.full(reader, channel)


class TestFlush(object):
    def test_one_empties_what_the_other_wrote(self, make_both, shards):
        writer, reader = make_both(shards, capacity=5)
        others = clients(shards)[0]
        others.set(writer.prefix[1:] + "a", 1)
        for channel in ["work"] * 4 + ["reply?abc"] * 6 + ["daphne.1!a"]:
            try:
                writer.send(channel, {})
            except writer.ChannelFull:
                pass
            writer.group_add("room", channel)
        assert keys_of(writer, shards)
        reader.flush()
        assert not keys_of(writer, shards)
        assert others.delete(writer.prefix[1:] + "a") == 1
        assert receive_all(writer, "work", "reply?abc", "daphne.1!") == []
        assert writer.group_channels("room") == []

    def test_ours_also_where_the_prefix_is_a_pattern_to_redis(self, make_pair, shards):
        """The release takes its own prefix for a pattern, and deletes nothing."""
        ours, release = make_pair(shards, prefix="o*d[d]?:", stats_prefix="o*d[m]eta?:")
        for channel in ("work", "reply?abc", "daphne.1!a"):
            release.send(channel, {})
            release.group_add("room", channel)
        ours.flush()
        assert not keys_of(ours, shards)


class TestEncryption(object):
    @pytest.mark.parametrize("channel", ["work", "reply?abc", "daphne.1!a"])
    @pytest.mark.parametrize(
        "writes, reads", [("old", "new old"), ("new old", "new old"), ("new old", "new"), ("new", "new old")]
    )
    def test_keys_are_rotated_one_process_after_the_other(self, make_both, writes, reads, channel):
        writer, _ = make_both(symmetric_encryption_keys=writes.split())
        _, reader = make_both(symmetric_encryption_keys=reads.split())
        writer.send(channel, {"a": b"1"})
        assert receive_all(reader, queue_of(channel)) == [(channel, {"a": b"1"})]

    @pytest.mark.parametrize("keys", [["a"], ["x" * 500, "b"], ["cl\u00e9 \u6f22"], ["", "a"]])
    def test_keys_of_all_sorts(self, make_both, keys):
        writer, reader = make_both(symmetric_encryption_keys=keys)
        writer.send("work", {"a": b"1"})
        assert receive_all(reader, "work") == [("work", {"a": b"1"})]

    @pytest.mark.parametrize("place", [0, 1], ids=["ours", "release"])
    def test_the_first_key_encrypts(self, make_pair, place):
        writer = make_pair(symmetric_encryption_keys=["new", "old"])[place]
        writer.send("work", {"a": b"1"})
        key, = clients()[0].lrange(writer.prefix + "work", 0, -1)
        fernet = Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"new").digest()))
        assert fernet.decrypt(clients()[0].get(key)) == msgpack.packb({"a": b"1"}, use_bin_type=True)


class Traffic(object):
    """Writers and readers of one channel on two shards, in threads; ``total`` numbered messages."""

    STOP = {"stop": True}

    def __init__(self, total):
        self.total = total
        self.received = []
        self.all_here = threading.Event()
        self.threads = []

    def start(self, work, *args):
        self.threads.append(threading.Thread(target=work, args=args))
        self.threads[-1].daemon = True
        self.threads[-1].start()

    def write(self, layer, numbers):
        for number in numbers:
            layer.send("work", {"number": number})

    def read(self, layer, block):
        while True:
            _, message = layer.receive(["work"], block=block)
            if message == self.STOP:
                return
            if message is not None:
                self.received.append(message["number"])
                if len(self.received) >= self.total:
                    self.all_here.set()

    def stop(self, layer, readers):
        """Ours sends to the shards in turn, so that on each there is a stop for every reader."""
        for _ in range(2 * readers):
            layer.send("work", self.STOP)
        for thread in self.threads:
            thread.join(10)


def test_mixed_traffic_arrives_exactly_once(make_layer):
    ours = make_layer(2, capacity=10000)
    processes = [Process() for _ in range(4)]
    try:
        released = [
            process.layer(hosts=servers.hosts(2), prefix=ours.prefix, stats_prefix=ours.stats_prefix, capacity=10000)
            for process in processes
        ]
        traffic = Traffic(4000)
        # The release's blocking receive waits on one shard for 5 s, whatever comes on the other.
        for layer, block in ((ours, True), (make_layer(2), True), (released[0], True), (released[1], False)):
            traffic.start(traffic.read, layer, block)
        for place, layer in enumerate((ours, make_layer(2, capacity=10000), released[2], released[3])):
            traffic.start(traffic.write, layer, range(place, 4000, 4))
        traffic.all_here.wait(30)
        traffic.stop(ours, 4)
        assert sorted(traffic.received) == list(range(4000))
        assert [message for _, message in receive_all(ours, "work")] == [traffic.STOP] * 4
    finally:
        for process in processes:
            process.close()
