"""Groups."""
from __future__ import unicode_literals

import time

import pytest

from . import servers
from .test_messages import receive_all


def join(client, layer, name):
    """Make ``name``, bytes that need not be legal, a member of the group "crowd"."""
    client.eval("return redis.call('ZADD', KEYS[1], '9e9', ARGV[1])", 1, layer.prefix + ":group:crowd", name)


def test_members(make_layer, shards):
    layer = make_layer(shards)
    for channel in ("normal", "reader?x", "process!x"):
        layer.group_add("crowd", channel)
        layer.group_add("crowd", channel)
    assert set(layer.group_channels("crowd")) == {"normal", "reader?x", "process!x"}
    layer.group_discard("crowd", "normal")
    layer.group_discard("crowd", "nobody")
    assert set(layer.group_channels("crowd")) == {"reader?x", "process!x"}
    assert layer.group_channels("empty") == []


def test_every_member_gets_the_message_once(make_layer, shards):
    layer = make_layer(shards, capacity=1000)
    names = ["normal.%d" % n for n in range(40)] + ["reader?%d" % n for n in range(40)]
    names += ["process%d!%d" % (n % 3, n) for n in range(40)]
    for name in names:
        layer.group_add("crowd", name)
    layer.send_group("crowd", {"text": "hello"})
    queues = {layer.non_local_name(name) for name in names}
    assert sorted(receive_all(layer, queues)) == sorted((name, {"text": "hello"}) for name in names)


def test_a_group_of_more_members_than_one_script_sends_to(make_layer, shards):
    layer = make_layer(shards, capacity=5000)
    names = ["normal.%d" % number for number in range(1300)]
    group = servers.client(layer.consistent_hash("crowd"))
    group.execute_command("ZADD", layer.prefix + ":group:crowd", *[word for name in names for word in ("9e9", name)])
    layer.send_group("crowd", {"n": 1})
    assert layer.global_statistics()["messages_count"] == 1300
    assert all(layer.receive([name]) == (name, {"n": 1}) for name in names)


@pytest.mark.parametrize("other", [["normal"], ["normal", "process!x", "process!y"]])
@pytest.mark.parametrize("name", ["b\u00eate", "b\u00eate?x", "b\u00eate!x"])
def test_a_name_beyond_ascii_as_of_release_1_4(make_layer, shards, name, other):
    layer = make_layer(shards)
    group = servers.client(layer.consistent_hash("crowd"))
    for member in [name] + other:
        join(group, layer, member.encode("utf-8"))
    layer.send_group("crowd", {"n": 1})
    assert sorted(receive_all(layer, ["normal", "process!"])) == [(member, {"n": 1}) for member in other]
    queue = (layer.prefix + layer.non_local_name(name)).encode("utf-8")
    assert sum(servers.client(index).llen(queue) for index in range(shards)) == 1


def test_a_name_that_is_not_utf_8(layer, client):
    for member in (b"b\xeate", b"normal"):
        join(client, layer, member)
    layer.send_group("crowd", {"n": 1})
    assert layer.receive(["normal"]) == ("normal", {"n": 1})
    assert len(layer.group_channels("crowd")) == 2


def test_a_large_message_to_many(make_layer):
    layer = make_layer(2)
    for number in range(20):
        layer.group_add("crowd", "reader?%d" % number)
    layer.send_group("crowd", {"body": b"x" * 1000000})
    for number in range(20):
        assert len(layer.receive(["reader?%d" % number])[1]["body"]) == 1000000


def test_messages_of_a_group_keep_their_order_for_each_reader(make_layer, shards):
    layer = make_layer(shards)
    layer.group_add("crowd", "process!x")
    layer.group_add("crowd", "reader?x")
    for number in range(0, 20, 2):
        layer.send_group("crowd", {"n": number})
        layer.send("process!x", {"n": number + 1})
        layer.send("reader?x", {"n": number + 1})
    for queue in ("process!", "reader?x"):
        assert [message["n"] for _, message in receive_all(layer, [queue])] == list(range(20))


def test_send_group_never_raises_channel_full_and_counts_what_found_no_place(make_layer, shards):
    layer = make_layer(shards, capacity=5)
    for channel in ("normal", "reader?x", "process!x"):
        layer.group_add("crowd", channel)
    for number in range(8):
        layer.send_group("crowd", {"n": number})
    for channel in ("normal", "reader?x", "process!"):
        statistics = layer.channel_statistics(channel)
        assert (statistics["messages_pending"], statistics["messages_count"]) == (5, 5)
        assert statistics["channel_full_count"] == 3
    assert layer.global_statistics() == {"messages_count": 15, "channel_full_count": 9}


def test_members_with_different_capacities(make_layer, shards):
    layer = make_layer(shards, capacity=2, channel_capacity={"a*": 1, "c*": 4})
    for channel in ("a1", "b1", "a2", "c1", "b2", "c2"):
        layer.group_add("crowd", channel)
    for number in range(6):
        layer.send_group("crowd", {"n": number})
    pending = [layer.channel_statistics(name)["messages_pending"] for name in ("a1", "a2", "b1", "b2", "c1", "c2")]
    assert pending == [1, 1, 2, 2, 4, 4]


def test_members_that_joined_too_long_ago_are_dropped(make_layer, shards):
    layer = make_layer(shards)
    group = servers.client(layer.consistent_hash("crowd") if shards > 1 else 0)
    for name in ("old", "renewed"):
        joined = time.time() - layer.group_expiry - 1
        group.execute_command("ZADD", layer.prefix + ":group:crowd", joined, name)
    layer.group_add("crowd", "new")
    layer.group_add("crowd", "renewed")
    assert set(layer.group_channels("crowd")) == {"new", "renewed"}
    layer.send_group("crowd", {"n": 1})
    assert layer.receive(["old"]) == (None, None)
    assert layer.receive(["new"]) == ("new", {"n": 1})


def test_a_group_send_is_two_round_trips(layer, client):
    for number in range(200):
        layer.group_add("crowd", "normal.%d" % number)
    layer.send_group("crowd", {})
    before = servers.calls(client)["eval"]
    layer.send_group("crowd", {})
    assert servers.calls(client)["eval"] == before + 2
