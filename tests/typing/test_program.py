"""
A program that uses every public name, for ``mypy --strict``, which must find nothing in it; and run, so that the types
are those of the values. A comment that ignores an error is itself an error if there is none.
"""
import asyncio
import re
from typing import Any, Dict, List, Optional, Tuple, assert_type

import pytest
import redis
from cryptography.fernet import Fernet, MultiFernet
from twisted.internet.defer import Deferred

import asgi_redis
from asgi_redis import (
    BaseRedisChannelLayer,
    RedisChannelLayer,
    RedisClusterChannelLayer,
    RedisLocalChannelLayer,
    RedisSentinelChannelLayer,
    UnsupportedRedis,
)

Received = Tuple[Optional[str], Optional[Dict[str, Any]]]


class CountedLayer(RedisChannelLayer):
    """What docs/options.rst says that a subclass may override."""

    sent = 0
    blpop_timeout = 0.5

    def on_send(self, channel: str, message: Dict[str, Any]) -> None:
        self.sent += 1

    def serialize(self, message: Dict[str, Any]) -> bytes:
        return super().serialize(message)

    def deserialize(self, message: bytes) -> Dict[str, Any]:
        return super().deserialize(message)


def test_messages(layer: RedisChannelLayer) -> None:
    reply = layer.new_channel("reply?")
    layer.send(reply, {"text": "hello", "bytes": b"\0", "list": [1, None]})
    channel, message = layer.receive([reply])
    assert_type(channel, Optional[str])
    assert_type(message, Optional[Dict[str, Any]])
    assert channel == reply and message is not None and message["text"] == "hello"
    assert layer.receive({"one", "two"}) == (None, None)
    with pytest.warns(DeprecationWarning):
        assert_type(layer.receive_many((reply,)), Received)  # type: ignore[deprecated]


def test_errors(layer: RedisChannelLayer) -> None:
    for _ in range(layer.capacity):
        layer.send("full", {})
    try:
        layer.send("full", {})
    except layer.MessageTooLarge as error:
        assert_type(error, BaseRedisChannelLayer.MessageTooLarge)
    except layer.ChannelFull as error:
        assert_type(error, BaseRedisChannelLayer.ChannelFull)
        assert issubclass(UnsupportedRedis, Exception)
        return
    raise AssertionError("The channel holds more than its capacity.")


def test_groups(layer: RedisChannelLayer) -> None:
    layer.group_add("group", "one")
    layer.group_add("group", "two")
    layer.group_discard("group", "two")
    assert assert_type(layer.group_channels("group"), List[str]) == ["one"]
    layer.send_group("group", {"text": "all"})
    assert layer.receive(["one"]) == ("one", {"text": "all"})


def test_statistics(layer: RedisChannelLayer) -> None:
    layer.send("one", {})
    assert assert_type(layer.global_statistics(), Dict[str, int])[layer.STAT_MESSAGES_COUNT] == 1
    counted = assert_type(layer.channel_statistics("one"), Dict[str, int])
    assert counted[layer.STAT_MESSAGES_PENDING] == 1
    assert (counted[layer.STAT_CHANNEL_FULL], counted[layer.STAT_MESSAGES_MAX_AGE]) == (0, 0)
    assert assert_type(layer.processes(), Dict[str, Dict[str, Any]]) == {}
    layer.flush()
    assert layer.receive(["one"]) == (None, None)


def test_receive_async(layer: RedisChannelLayer) -> None:
    async def receive() -> Received:
        return assert_type(await layer.receive_async(["one"]), Received)

    layer.send("one", {"text": "later"})
    assert asyncio.run(receive()) == ("one", {"text": "later"})


def test_receive_twisted(layer: RedisChannelLayer) -> None:
    deferred = assert_type(layer.receive_twisted(["one"]), Deferred[Received])
    deferred.addErrback(lambda failure: None)
    deferred.cancel()
    assert isinstance(deferred, Deferred)


def test_a_subclass(layer: RedisChannelLayer) -> None:
    counted = CountedLayer(hosts=layer.hosts, prefix=layer.prefix, stats_prefix=layer.stats_prefix)
    counted.send("one", {})
    assert counted.receive(["one"], block=True) == ("one", {})
    assert counted.sent == 1


def test_arguments() -> None:
    layer = RedisChannelLayer(
        30, ["redis://one", ("two", 6380), redis.Redis(port=6379)], "p:", 600.5, 10,
        {"http.*": 3, re.compile("websocket"): 4}, ["secret", b"older"], "s:", {"socket_timeout": 7},
        reconnect_timeout=300, max_message_size=1024,
    )
    assert assert_type(layer.get_capacity("websocket.send"), int) == 4
    assert assert_type(layer.hosts, List[str])[1] == "redis://two:6380/0"
    assert assert_type(layer.crypter, Optional[MultiFernet]) is not None
    assert isinstance(assert_type(layer.make_fernet("key"), Fernet), Fernet)
    assert assert_type(layer.ring_size, int) == 3
    assert 0 <= assert_type(layer.consistent_hash("name"), int) < 3
    assert isinstance(assert_type(layer.connection(layer.random_index()), redis.Redis), redis.Redis)
    assert isinstance(layer.connection(None), redis.Redis)
    assert (layer.prefix, layer.stats_prefix, layer.expiry, layer.group_expiry) == ("p:", "s:", 30, 600.5)
    assert (layer.reconnect_timeout, layer.max_message_size) == (300, 1024)
    assert assert_type(layer.extensions, List[str])[0] == "groups"
    assert assert_type(asgi_redis.__version__, str)


def test_one_server() -> None:
    capacities = {"http.*": 3}
    assert RedisChannelLayer(host="redis", port=6380, db=4, channel_capacity=capacities).hosts == ["redis://redis:6380/4"]


def test_sentinel() -> None:
    hosts = [("one", 26379), ("two", 26379)]
    layer = RedisSentinelChannelLayer(
        hosts=hosts, services=("alpha", "beta"), sentinel_refresh_interval=0.5, sentinel_kwargs={"password": "secret"},
    )
    assert assert_type(layer.services, List[str]) == ["alpha", "beta"]
    assert assert_type(layer.hosts, List[Tuple[str, int]]) == hosts


def test_cluster() -> None:
    layer: BaseRedisChannelLayer = RedisClusterChannelLayer(hosts=["redis://one:7000", ("two", 7000)], shards=6)
    assert layer.ring_size == 6


def test_local(layer: RedisChannelLayer) -> None:
    local = RedisLocalChannelLayer(hosts=["redis://one"], local_layer=layer)
    local.send("one", {})
    assert layer.receive(["one"]) == ("one", {})


def test_mistakes(layer: RedisChannelLayer) -> None:
    with pytest.raises(ValueError):
        RedisChannelLayer(hosts="redis://one")  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        RedisChannelLayer(symmetric_encryption_keys="secret")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        RedisChannelLayer(prefix=b"asgi:")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        RedisChannelLayer(expires=60)  # type: ignore[call-arg]
    with pytest.raises(ValueError):
        RedisSentinelChannelLayer(hosts=["redis://one"])  # type: ignore[list-item]
    with pytest.raises(ValueError):
        RedisLocalChannelLayer(local_layer={})  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        layer.receive("one")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        layer.send("one", "text")  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        layer.group_send("group", {})  # type: ignore[attr-defined]
