"""
Broadcasts to many WebSockets: ``crowd.py '{"addresses": [...], "size": ..., "broadcasts": ..., "interval": ...}'``.

Prints ``{"each": [ms, ...], "last": [ms, ...]}``: how long after a broadcast was asked for each message was here, and
the last one of each broadcast.
"""
import asyncio
import json
import sys
import time

import requests
import websockets

#: How many sockets connect at a time: even a busy worker answers them within the five seconds that Daphne waits.
CONNECTING = 20

#: How often a socket of the benchmarks may try to connect: their figures are about broadcasts.
TRIES = 10

#: Seconds after which no more messages are expected.
QUIET = 5


class Crowd:
    """
    Sockets in the group ``crowd`` of a site, all in one event loop.

    The site puts a socket that opens /group/crowd/ into the group, and sends what is posted to /broadcast/crowd/.

    ``addresses``: the host:port of each Daphne; the sockets go round them. ``tries``: how often a socket may try to
    connect. ``received``: for each socket, a list of (number of the broadcast, seconds since it was asked for).
    """

    def __init__(self, addresses, size, tries=1):
        self.addresses, self.tries = addresses, tries
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
        address = "ws://%s/group/crowd/" % self.addresses[number % len(self.addresses)]
        for left in reversed(range(self.tries)):
            try:
                async with turns:
                    return await websockets.connect(address, open_timeout=60, ping_interval=None, max_queue=None)
            except websockets.InvalidHandshake:  # Daphne waits five seconds for the worker
                if not left:
                    raise

    def broadcast(self, number):
        body = "%d %r" % (number, time.time())
        answer = requests.post("http://%s/broadcast/crowd/" % self.addresses[0], data=body)
        assert answer.status_code == 204, answer.text

    async def read(self, socket, received):
        async for text in socket:
            number, sent = text.split()
            received.append((int(number), time.time() - float(sent)))

    async def quiet(self, broadcasts):
        """Return once everything is here, or nothing has come for a while."""
        before, changed = -1, time.time()
        while time.time() < changed + QUIET:
            count = sum(map(len, self.received))
            if count == broadcasts * len(self.received):
                return
            if count != before:
                before, changed = count, time.time()
            await asyncio.sleep(0.02)

    def each(self):
        """The time of each message that came, in ms, in rising order."""
        return sorted(1000 * seconds for received in self.received for _, seconds in received)

    def last(self):
        """The time of the last message that came of each broadcast, in ms."""
        found = {}
        for number, seconds in (pair for received in self.received for pair in received):
            found[number] = max(1000 * seconds, found.get(number, 0))
        return [found[number] for number in sorted(found)]


def main(addresses, size, broadcasts, interval):
    crowd = Crowd(addresses, size, TRIES)
    asyncio.run(crowd.run(broadcasts, interval))
    print(json.dumps({"each": crowd.each(), "last": crowd.last()}))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
