"""Broadcasts to many WebSockets: every one of them gets every message, in order, soon."""
from __future__ import unicode_literals

import asyncio
import collections
import re

import pytest

from asgi_redis.tools.embedded import Server

from .processes import Daphne, Site

pytest.importorskip("requests")
pytest.importorskip("websockets")

from benchmarks.clients.crowd import Crowd  # noqa: E402


def run(site, size, broadcasts, interval):
    """(how many messages are missing, latencies in ms in rising order). No duplicates, and order kept, in any case."""
    crowd = Crowd([site.address("", number) for number, _ in enumerate(site.of(Daphne))], size)
    asyncio.run(crowd.run(broadcasts, interval))
    for received in crowd.received:
        numbers = [number for number, _ in received]
        assert numbers == sorted(set(numbers))
    latencies = crowd.each()
    assert max(crowd.last()) == latencies[-1]
    missing = size * broadcasts - len(latencies)
    print("\n%d sockets, %d broadcasts, %d missing, %.3f %% arrived; latency p50 %.0f ms, p99 %.0f ms, max %.0f ms" % (
        size, broadcasts, missing, 100.0 * len(latencies) / (size * broadcasts),
        latencies[len(latencies) // 2], latencies[len(latencies) * 99 // 100], latencies[-1],
    ))
    return missing, latencies


def channel_layer(servers, **config):
    config.update(hosts=[server.url for server in servers])
    return {"BACKEND": "asgi_redis.RedisChannelLayer", "CONFIG": config}


def test_a_thousand_sockets_on_one_daphne():
    with Server() as server, Site(channel_layer([server]), daphnes=1, workers=1) as site:
        missing, latencies = run(site, 1000, 20, 1)
        assert missing == 0


def test_three_daphnes_two_shards_encrypted():
    with Server() as first, Server() as second:
        layer = channel_layer([first, second], symmetric_encryption_keys=["key"])
        with Site(layer, daphnes=3, workers=2) as site:
            missing, latencies = run(site, 600, 20, 0.5)
            assert missing == 0


def test_a_hundred_broadcasts_in_twenty_seconds_are_delivered_or_their_loss_is_logged():
    with Server() as server, Site(channel_layer([server]), daphnes=1, workers=1) as site:
        missing, latencies = run(site, 1000, 100, 0.2)
        lost = collections.Counter()
        for line in site.log():
            found = re.search(r"Channel (\S+) is full .*: dropped (\d+) group message", line)
            if found:
                lost[found.group(1)] += int(found.group(2))
        assert missing == sum(lost.values()), "\n".join(site.log())
