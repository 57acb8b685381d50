"""The statistics extension."""
from __future__ import unicode_literals

import pytest

from asgi_redis.server import times

from . import servers


def test_channel_statistics(make_layer, shards):
    layer = make_layer(shards, capacity=6)
    assert layer.channel_statistics("normal") == {
        "messages_count": 0, "messages_pending": 0, "messages_max_age": 0, "channel_full_count": 0,
    }
    for _ in range(8):
        try:
            layer.send("normal", {})
        except layer.ChannelFull:
            pass
    for _ in range(2):
        layer.receive(["normal"])
    found = layer.channel_statistics("normal")
    assert 0 <= found.pop("messages_max_age") < 30
    assert found == {"messages_count": 6, "messages_pending": 4, "channel_full_count": 2}


def test_statistics_of_a_process_specific_channel_are_those_of_its_queue(layer):
    layer.send("process!x", {})
    layer.send("process!y", {})
    assert layer.channel_statistics("process!")["messages_pending"] == 2
    assert layer.channel_statistics("process!x") == layer.channel_statistics("process!")


def test_the_age_of_the_oldest_message(make_layer, shards):
    layer = make_layer(shards)
    layer.send("normal", {})
    for index in range(shards):
        for message_key in servers.client(index).lrange(layer.prefix + "normal", 0, -1):
            servers.client(index).pexpire(message_key, 29500)  # as if it had waited for 30.5 of its 60 seconds
    layer.send("normal", {})
    assert 30 <= layer.channel_statistics("normal")["messages_max_age"] < 40


def test_the_age_is_not_negative_if_the_sender_has_a_longer_expiry(make_layer):
    make_layer(expiry=600).send("normal", {})
    assert make_layer().channel_statistics("normal")["messages_max_age"] == 0


def test_global_statistics(make_layer, shards):
    layer = make_layer(shards, capacity=3)
    for channel in ("a", "b?x", "c!x"):
        for _ in range(4):
            try:
                layer.send(channel, {})
            except layer.ChannelFull:
                pass
    assert layer.global_statistics() == {"messages_count": 9, "channel_full_count": 3}


def test_counters_live_as_long_as_promised(layer, client):
    layer.send("normal", {})
    assert 3590 < client.ttl(layer.stats_prefix + "normal:messages_count") <= 3600
    assert 86390 < client.ttl(layer.stats_prefix + "#global#:messages_count") <= 86400


def send_to_two(layer):
    layer.send_group("crowd", {})


def send_to_one(layer):
    layer.send("normal", {})


@pytest.mark.parametrize("capacity", [100, 2], ids=["free", "full"])
@pytest.mark.parametrize("send", [send_to_one, send_to_two])
def test_the_lives_of_counters_are_renewed_once_a_minute(layer, client, monkeypatch, send, capacity):
    for channel in ("normal", "other"):
        layer.group_add("crowd", channel)
    send(layer)
    counter = layer.stats_prefix + "normal:messages_count"
    client.expire(counter, 1000)
    send(layer)
    assert client.ttl(counter) <= 1000
    now = times.monotonic()
    monkeypatch.setattr(times, "monotonic", lambda: now + 61)
    layer.capacity = capacity
    try:
        send(layer)
    except layer.ChannelFull:
        assert capacity == 2
    assert client.ttl(counter) > 3500
