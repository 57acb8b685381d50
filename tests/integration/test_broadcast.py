"""Broadcasts to many WebSockets: every one of them gets every message, in order, soon."""
from __future__ import unicode_literals

import asyncio
import collections
import re
import time

import pytest

from asgi_redis.tools.embedded import Server

from .processes import Site

requests = pytest.importorskip("requests")
websockets = pytest.importorskip("websockets")

#: How many sockets connect at a time: fewer than websocket.connect's capacity.
CONNECTING = 50

#: Seconds that the last message may take.
PATIENCE = 20


class Crowd(object):
    """
    Sockets in the group ``crowd``, all in one event loop.

    ``received``: for each socket, a list of (number of the broadcast, seconds since it was sent).
    """

    def __init__(self, site, size):
        self.site = site
        self.received = [[] for _ in range(size)]

    async def run(self, broadcasts, interval):
        """Connect, send ``broadcasts`` numbers through the site, one each ``interval`` seconds, and collect them."""
        turns = asyncio.Semaphore(CONNECTING)
        sockets = await asyncio.gather(*(self.connect(number, turns) for number in range(len(self.received))))
        reading = [asyncio.ensure_future(self.read(*pair)) for pair in zip(sockets, self.received)]
        begun = time.time()
        for number in range(broadcasts):
            await asyncio.sleep(max(0, begun + number * interval - time.time()))
            await asyncio.get_event_loop().run_in_executor(None, self.broadcast, number)
        await self.quiet(broadcasts)
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        await asyncio.gather(*(socket.close() for socket in sockets))

    async def connect(self, number, turns):
        async with turns:
            address = "ws://" + self.site.address("/group/crowd/", number)
            return await websockets.connect(address, open_timeout=60, ping_interval=None, max_queue=None)

    def broadcast(self, number):
        body = "%d %r" % (number, time.time())
        answer = requests.post("http://" + self.site.address("/broadcast/crowd/"), data=body)
        assert answer.status_code == 204, answer.text

    async def read(self, socket, received):
        async for text in socket:
            number, sent = text.split()
            received.append((int(number), time.time() - float(sent)))

    async def quiet(self, broadcasts):
        """Return once everything is here, or nothing has come for a while."""
        before, changed = -1, time.time()
        while time.time() < changed + PATIENCE / 4.0:
            count = sum(map(len, self.received))
            if count == broadcasts * len(self.received):
                return
            if count != before:
                before, changed = count, time.time()
            await asyncio.sleep(0.02)


def run(site, size, broadcasts, interval):
    """(how many messages are missing, latencies in ms in rising order). No duplicates, and order kept, in any case."""
    crowd = Crowd(site, size)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(crowd.run(broadcasts, interval))
    loop.close()
    for received in crowd.received:
        numbers = [number for number, _ in received]
        assert numbers == sorted(set(numbers))
    latencies = sorted(1000 * seconds for received in crowd.received for _, seconds in received)
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
            found = re.search(r"(\d+) messages of group sends were lost on (\S+):", line)
            if found:
                lost[found.group(2)] += int(found.group(1))
        assert missing == sum(lost.values()), "\n".join(site.log())
