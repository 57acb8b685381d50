"""send and receive: what arrives, in which order, once, and for how long."""
from __future__ import unicode_literals

import collections
import logging
import re
import subprocess
import threading
import time

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.tools.embedded import Server

from . import servers
from .commands import start_program
from .patience import AT_ONCE, until


def receive_all(layer, channels):
    """Every message on ``channels``, as (channel, message)."""
    return list(iter(lambda: layer.receive(channels), (None, None)))


@pytest.mark.parametrize("channel", ["normal", "single.reader?x1", "process-specific!x1"])
def test_a_message_arrives_once(make_layer, shards, channel):
    layer = make_layer(shards)
    receivable = channel.split("!")[0] + "!" if "!" in channel else channel
    layer.send(channel, {"text": "\u00e9", "bytes": b"\x00\xff", "list": [1, 2.5, None, True, {"deep": []}]})
    assert layer.receive([receivable]) == (
        channel, {"text": "\u00e9", "bytes": b"\x00\xff", "list": [1, 2.5, None, True, {"deep": []}]}
    )
    assert layer.receive([receivable]) == (None, None)


def test_one_receive_finds_what_is_on_any_shard(make_layer, shards):
    layer = make_layer(shards)
    for number in range(30):
        layer.send("numbers", {"n": number})
        assert layer.receive(["nothing", "numbers", "none!"]) == ("numbers", {"n": number})


def test_messages_of_a_normal_channel_are_spread_over_the_shards_in_turn(make_layer):
    layer = make_layer(3)
    for number in range(9):
        layer.send("numbers", {"n": number})
    assert [servers.client(index).llen(layer.prefix + "numbers") for index in range(3)] == [3, 3, 3]


def test_channels_that_are_sent_to_alternately_each_use_all_shards(make_layer):
    """As those of a Daphne: otherwise each would use every other shard."""
    layer = make_layer(2)
    for number in range(10):
        layer.send("requests", {"n": number})
        layer.send("disconnects", {"n": number})
    for channel in ("requests", "disconnects"):
        assert [servers.client(index).llen(layer.prefix + channel) for index in range(2)] == [5, 5]


@pytest.mark.parametrize("channel", ["reader?x", "process!x"])
def test_a_channel_with_one_reader_keeps_its_order(make_layer, shards, channel):
    layer = make_layer(shards)
    for number in range(50):
        layer.send(channel, {"n": number})
    receivable = channel.split("!")[0] + "!" if "!" in channel else channel
    assert [message["n"] for _, message in receive_all(layer, [receivable])] == list(range(50))


def test_a_busy_channel_never_starves_a_quiet_one(make_layer, shards):
    layer = make_layer(shards, capacity=1000)
    for _ in range(300):
        layer.send("busy", {})
    layer.send("quiet", {})
    first = [layer.receive(["busy", "quiet"])[0] for _ in range(100)]
    assert "quiet" in first


@pytest.mark.parametrize("collection", [list, tuple, set, frozenset, iter])
def test_receive_takes_any_collection_of_names(layer, collection):
    layer.send("a", {"n": 1})
    assert layer.receive(collection(["a", "b"])) == ("a", {"n": 1})


def test_receive_on_no_channels_finds_nothing(layer):
    layer.blpop_timeout = 0.5
    for channels in ([], set()):
        assert layer.receive(channels) == (None, None)
        begun = time.time()
        assert layer.receive(channels, block=True) == (None, None)
        assert 0.4 < time.time() - begun < AT_ONCE  # a worker without channels must not spin


def test_receive_many_is_receive(layer):
    layer.send("a", {"n": 1})
    with pytest.warns(DeprecationWarning):
        assert layer.receive_many(["a"]) == ("a", {"n": 1})


def test_a_megabyte_arrives(make_layer, shards):
    layer = make_layer(shards)
    layer.send("large", {"body": b"\x00\xfe" * 500000})
    assert layer.receive(["large"])[1]["body"] == b"\x00\xfe" * 500000


def test_the_message_of_the_caller_is_not_changed(layer):
    message = {"a": [1]}
    layer.send("process!x", message)
    assert message == {"a": [1]}


# Expiry.


def test_expired_messages_are_skipped(make_layer, shards):
    layer, sender = make_layer(shards), make_layer(shards, expiry=0.1)
    for number in range(10):
        sender.send("numbers", {"n": number})
    clients = [servers.client(index) for index in range(shards)]
    until(lambda: not any(client.keys(layer.prefix + 32 * "?") for client in clients), "the messages expire")
    layer.send("numbers", {"n": "late"})
    assert layer.receive(["numbers"]) == ("numbers", {"n": "late"})
    assert layer.receive(["numbers"]) == (None, None)


def test_very_many_expired_messages_are_skipped(make_layer, client):
    layer = make_layer(expiry=60, capacity=10000)
    client.rpush(layer.prefix + "numbers", *[layer.prefix + "%032x" % number for number in range(2500)])
    layer.send("numbers", {"n": "live"})
    assert layer.receive(["numbers"]) == ("numbers", {"n": "live"})


def test_keys_in_redis_live_as_long_as_promised(layer, client):
    layer.send("process!x", {"n": 1})
    layer.send("normal", {"n": 1})
    layer.group_add("crowd", "normal")
    group_key, queue_keys = layer.prefix + ":group:crowd", [layer.prefix + "normal", layer.prefix + "process!"]
    message_keys = [client.lindex(queue_key, 0).decode("ascii") for queue_key in queue_keys]
    assert servers.message_keys(client, layer) == sorted([group_key] + queue_keys + message_keys)
    assert all(re.match("[0-9a-f]{32}$", key[len(layer.prefix):]) for key in message_keys)
    kinds = [client.type(key) for key in (group_key, queue_keys[0], message_keys[0])]
    assert kinds == [b"zset", b"list", b"string"]
    assert 86390 < client.ttl(group_key) <= 86400
    for queue_key, message_key in zip(queue_keys, message_keys):
        of_message, of_queue = client.pipeline().pttl(message_key).pttl(queue_key).execute()
        assert 50000 < of_message <= 60000
        assert 900 < of_queue - of_message < 1500


def test_nothing_is_left_of_a_message_once_its_reader_asks_for_the_next(layer, client):
    layer.send("normal", {"n": 1})
    layer.receive(["normal"])
    assert layer.receive(["normal"]) == (None, None)
    assert servers.message_keys(client, layer) == []


# Size.


@pytest.mark.parametrize("keys", [None, ["key"]], ids=["plain", "encrypted"])
def test_a_message_above_max_message_size_is_refused_and_nothing_is_sent(make_layer, client, keys):
    size = len(make_layer(symmetric_encryption_keys=keys).serialize({"text": "x" * 100}))
    layer = make_layer(max_message_size=size, symmetric_encryption_keys=keys)
    layer.group_add("crowd", "normal")
    for send in (lambda message: layer.send("normal", message), lambda message: layer.send_group("crowd", message)):
        with pytest.raises(layer.MessageTooLarge) as raised:
            send({"text": "x" * 150})
        assert str(size) in str(raised.value) and "xxx" not in str(raised.value)
    assert client.keys(layer.prefix + "normal*") == []
    layer.send("normal", {"text": "x" * 100})
    layer.send_group("crowd", {"text": "x" * 100})
    assert layer.channel_statistics("normal")["messages_pending"] == 2


def test_the_size_is_checked_for_process_specific_channels_too(make_layer):
    layer = make_layer(max_message_size=1000)
    with pytest.raises(layer.MessageTooLarge):
        layer.send("process!x", {"body": b"x" * 1000})


# Capacity.


def fill(layer, channel):
    """Send to ``channel`` until it is full; how many messages it took."""
    for sent in range(1000):
        try:
            layer.send(channel, {"n": sent})
        except layer.ChannelFull as error:
            assert channel.split("!")[0] in str(error)
            return sent


@pytest.mark.parametrize("channel", ["normal", "reader?x", "process!x"])
def test_a_channel_holds_its_capacity(make_layer, shards, channel):
    layer = make_layer(shards, capacity=7)
    assert fill(layer, channel) == 7


def test_a_channel_that_was_full_takes_messages_again(make_layer, shards):
    layer = make_layer(shards, capacity=7)
    fill(layer, "normal")
    layer.receive(["normal"])
    assert fill(layer, "normal") == 1


def test_a_capacity_below_the_number_of_shards(make_layer):
    assert fill(make_layer(3, capacity=1), "normal") == 1


def test_the_capacity_of_process_specific_channels_counts_on_their_queue(make_layer):
    layer = make_layer(capacity=4)
    for name in "abcd":
        layer.send("process!" + name, {})
    with pytest.raises(layer.ChannelFull):
        layer.send("process!e", {})


def test_channel_capacity_by_name_glob_and_regular_expression(make_layer):
    layer = make_layer(capacity=9, channel_capacity=collections.OrderedDict([
        ("http.request", 2), ("http.*", 3), (re.compile("^web(socket|rtc)"), 4), ("websocket.connect", 5),
        ("process!", 1),
    ]))
    names = ["http.request", "http.other", "websocket.connect", "webrtc", "process!x", "else"]
    assert [fill(layer, name) for name in names] == [2, 3, 4, 4, 1, 9]


def test_concurrent_writers_never_pass_the_capacity(make_layer, shards):
    layer = make_layer(shards, capacity=50)
    sent = []

    def write():
        for _ in range(40):
            try:
                layer.send("normal", {})
                sent.append(1)
            except layer.ChannelFull:
                pass

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sent) == 50
    assert layer.channel_statistics("normal")["messages_pending"] == 50


def test_refused_messages_are_logged_at_once_and_then_once_a_second(make_layer, caplog):
    layer = make_layer(capacity=1)
    with caplog.at_level(logging.WARNING, "asgi_redis"):
        layer.send("process!x", {})
        assert caplog.records == []
        for _ in range(50):
            with pytest.raises(layer.ChannelFull):
                layer.send("process!x", {})
        layer._parts.losses.wait()
    pattern = r"Channel process! is full \(capacity 1\): refused ([0-9]+) messages? in the last second\."
    numbers = [int(re.match(pattern, record.getMessage()).group(1)) for record in caplog.records]
    assert numbers[0] == 1 and sum(numbers) == 50
    assert len(numbers) < 20  # the machine may be so slow that it takes some seconds
    assert {(record.levelname, record.channel) for record in caplog.records} == {("WARNING", "process!")}


REFUSED_AT_THE_END = """
from __future__ import unicode_literals
import logging, os, sys
from asgi_redis import RedisChannelLayer

logging.basicConfig(format="%(message)s", level=logging.WARNING)
layer = RedisChannelLayer(hosts=sys.argv[1:], capacity=1, prefix="test-%d:" % os.getpid(), expiry=1)
layer.send("process!x", {})
for _ in range(3):
    try:
        layer.send("process!x", {})
    except layer.ChannelFull:
        pass
"""


def test_what_was_refused_just_before_the_end_is_logged():
    process = start_program(REFUSED_AT_THE_END, servers.plain()[0].url, stderr=subprocess.PIPE)
    lines = process.communicate()[1].decode("ascii").splitlines()
    assert process.returncode == 0
    assert [re.sub(r".*capacity 1\): |\. Its.*", "", line) for line in lines] == [
        "refused 1 message in the last second", "refused 2 messages in the last second",
    ]


def test_what_is_refused_after_that_is_logged_at_once(make_layer, caplog):
    layer = make_layer(capacity=1)
    layer.send("process!x", {})
    with caplog.at_level(logging.WARNING, "asgi_redis"):
        for _ in range(3):
            with pytest.raises(layer.ChannelFull):
                layer.send("process!x", {})
        layer._parts.losses.end()
        with pytest.raises(layer.ChannelFull):
            layer.send("process!x", {})
    assert re.findall("refused ([0-9]+) ", caplog.text) == ["1", "2", "1"]


# Names of new channels.


def test_new_channel_makes_names_that_can_be_used(layer):
    names = {layer.new_channel("answers?") for _ in range(100)}
    assert len(names) == 100
    for name in names:
        layer.send(name, {"n": 1})
        assert layer.receive([name]) == (name, {"n": 1})


# Round trips.


def test_a_send_and_a_receive_are_one_round_trip_each(layer, client):
    layer.send("normal", {})
    layer.receive(["normal"])
    before = servers.calls(client)["eval"]
    layer.send("normal", {})
    layer.receive(["normal", "other", "process!"])
    assert servers.calls(client)["eval"] == before + 2


def test_a_server_that_forgot_its_scripts_is_sent_them_again(layer, client):
    layer.send("normal", {"n": 1})
    client.script_flush()
    layer.send("normal", {"n": 2})
    client.script_flush()
    assert [layer.receive(["normal"])[1]["n"] for _ in range(2)] == [1, 2]


def test_a_server_without_scripts_is_unsupported():
    from asgi_redis.core import UnsupportedRedis

    with Server(["--rename-command", "EVAL", "", "--rename-command", "EVALSHA", ""]) as server:
        layer = RedisChannelLayer(hosts=[server.url])
        for call in (lambda: layer.send("normal", {}), lambda: layer.receive(["normal"])):
            with pytest.raises(UnsupportedRedis) as raised:
                call()
            assert str(server.port) in str(raised.value)
