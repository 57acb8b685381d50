"""A server that goes away: blocking receives wait for it, sends try again, and nothing comes twice."""
from __future__ import unicode_literals

import logging
import time

import pytest
from redis.exceptions import ConnectionError

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import Server, free_port

from .test_blocking import Reader, wait_until_blocked


@pytest.fixture
def server():
    with Server() as server:
        yield server


@pytest.mark.parametrize("busy", [False, True])
def test_a_blocking_receive_outlives_a_restart(server, caplog, busy):
    layer = RedisChannelLayer(hosts=[server.url])
    sender = RedisChannelLayer(hosts=[server.url])
    with caplog.at_level(logging.INFO, "asgi_redis"):
        reader = Reader(layer, ["normal"])
        wait_until_blocked(sender, 1)
        server.kill()
        time.sleep(0.5)
        assert reader.is_alive()
        server.start()
        sender.send("normal", {"n": 1})
        reader.join()
    assert reader.found == ("normal", {"n": 1})
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "INFO"]
    assert str(server.port) in caplog.text


def test_it_outlives_one_longer_than_its_own_wait(server):
    layer = RedisChannelLayer(hosts=[server.url])
    layer.blpop_timeout = 1
    server.kill()
    reader = Reader(layer, ["normal"])
    time.sleep(1.5)
    assert reader.is_alive()
    server.start()
    reader.join()
    assert reader.found == (None, None)


def test_it_gives_up_after_reconnect_timeout():
    layer = RedisChannelLayer(hosts=["redis://:s3cr3t@127.0.0.1:%d" % free_port()], reconnect_timeout=1.5)
    reader = Reader(layer, ["normal"])
    reader.join()
    assert isinstance(reader.error, ConnectionError)
    assert 1.4 < reader.took < 4


def test_a_receive_that_does_not_block_raises_at_once(server):
    layer = RedisChannelLayer(hosts=[server.url])
    layer.receive(["normal"])
    server.kill()
    begun = time.time()
    with pytest.raises(ConnectionError):
        layer.receive(["normal"])
    assert time.time() - begun < 0.5


def test_a_shard_that_is_away_does_not_hold_up_the_others(server):
    with Server() as other:
        layer = RedisChannelLayer(hosts=[server.url, other.url])
        server.kill()
        reader = Reader(layer, ["normal"])
        alone = RedisChannelLayer(hosts=[other.url])
        wait_until_blocked(alone, 1)
        alone.send("normal", {"n": 1})
        reader.join()
        assert reader.found == ("normal", {"n": 1})
        assert layer.receive(["normal"], block=True) == (None, None)
        server.start()
        RedisChannelLayer(hosts=[server.url]).send("normal", {"n": 2})
        assert layer.receive(["normal"], block=True) == ("normal", {"n": 2})


def test_a_send_tries_again_for_a_second(server):
    layer = RedisChannelLayer(hosts=[server.url])
    layer.send("normal", {"n": 1})
    server.kill()
    begun = time.time()
    with pytest.raises(ConnectionError):
        layer.send("normal", {"n": 2})
    assert 0.5 < time.time() - begun < 2
    server.start()
    layer.send("normal", {"n": 3})
    assert layer.receive(["normal"]) == ("normal", {"n": 3})


def test_every_connection_is_killed_and_nothing_is_lost_or_doubled(server):
    layer = RedisChannelLayer(hosts=[server.url], capacity=1000)
    killer = RedisChannelLayer(hosts=[server.url]).connection(0)
    found = []
    for number in range(200):
        if number % 5 == 0:
            killer.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        layer.send("normal", {"n": number})
        if number % 2:
            found.append(layer.receive(["normal"], block=True)[1]["n"])
    while len(found) < 200:
        found.append(layer.receive(["normal"], block=True)[1]["n"])
    assert found == list(range(200))
