"""The workloads of a layer whose methods are coroutines: that of channels_redis."""
import asyncio
import time

import several
from workloads import CAPACITY, EXPIRY, MESSAGE, Workload, load, new_prefix
from workloads import Memory as SynchronousMemory

#: All coroutines of the process run here: the layers keep their connections by event loop.
loop = asyncio.new_event_loop()


def make_layer(server, prefix, **options):
    arguments = dict(server["arguments"], prefix=prefix.rstrip(":"), **options)
    if "core" in server["backend"]:
        arguments.update(capacity=CAPACITY, expiry=EXPIRY)
    return load(server["backend"])(**arguments)


class Send(Workload):
    """Sends to one normal channel."""

    def __init__(self, server, **options):
        self.layer = make_layer(server, new_prefix(), **options)

    def run(self, coroutine):
        return loop.run_until_complete(asyncio.wait_for(coroutine, 60))

    def begin(self):
        self.run(self.layer.flush())

    async def send_all(self, calls):
        for _ in range(calls):
            await self.layer.send(self.to, self.message)

    async def receive_all(self, calls):
        for _ in range(calls):
            await self.layer.receive(self.channel)

    def send_some(self, calls):
        self.run(self.send_all(calls))

    def receive_some(self, calls, block=True):
        self.run(self.receive_all(calls))


class Receive(Send):
    """Receives from a channel that has messages."""

    def __init__(self, server, block=True):
        super().__init__(server)

    def prepare(self, calls):
        self.send_some(calls)

    def work(self, calls):
        self.receive_some(calls)


class RoundTrip(Send):
    """Sends a message and receives it. ``size``: bytes of the message, about 100 if None."""

    def __init__(self, server, size=None, encrypted=False):
        super().__init__(server, **({"symmetric_encryption_keys": ["0123456789abcdef" * 2]} if encrypted else {}))
        self.channel = self.to = self.run(self.layer.new_channel())  # the pub/sub layer keeps only what it waits for
        if size:
            self.message = {"bytes": b"x" * size}
            self.chunk = 2

    async def round_trips(self, calls):
        for _ in range(calls):
            await self.layer.send(self.to, self.message)
            await self.layer.receive(self.channel)

    def begin(self):
        pass  # that would end the subscription

    def work(self, calls):
        self.run(self.round_trips(calls))


class GroupSend(Send):
    """
    Sends to a group of ``members`` that are spread over ``processes``; 0: members are normal channels.

    Each of the processes is a layer here. Between two sends, all members receive.
    """

    def __init__(self, server, members, processes):
        prefix = new_prefix()
        self.layer = make_layer(server, prefix)
        self.readers = [make_layer(server, prefix) for _ in range(processes)]
        self.names = ["n%d" % number for number in range(members)]
        self.chunk = max(1, 20 // members)
        self.members, self.unread = [], 0
        if processes:
            self.run(self.join())

    async def join(self):
        for number in range(len(self.names)):
            reader = self.readers[number % len(self.readers)]
            channel = await reader.new_channel()
            self.members.append((reader, channel))
            await reader.group_add("group", channel)

    async def join_normal(self):
        await self.layer.flush()
        for name in self.names:
            await self.layer.group_add("group", name)

    def begin(self):
        if not self.readers:
            self.run(self.join_normal())

    def prepare(self, calls):
        self.run(self.receive_broadcasts(self.unread))
        self.unread = calls

    async def receive_broadcasts(self, broadcasts):
        for _ in range(broadcasts):
            for reader, channel in self.members:
                await reader.receive(channel)

    def work(self, calls):
        self.run(self.send_to_group(calls))

    async def send_to_group(self, calls):
        for _ in range(calls):
            await self.layer.group_send("group", MESSAGE)


class Memory(SynchronousMemory, Send):
    """What a waiting message takes in Redis."""


class Woken(several.Woken):
    """See ``several``."""

    def read(self, server, prefix, pipe):
        asyncio.run(self.read_all(make_layer(server, prefix), pipe))

    async def read_all(self, layer, pipe):
        delays = []
        pipe.send("ready")
        while len(delays) < self.COUNT:
            message = await layer.receive("benchmarks")
            delays.append(time.time() - message["sent"])
        pipe.send(delays)

    def write(self, server, prefix):
        loop.run_until_complete(self.write_all(make_layer(server, prefix)))

    async def write_all(self, layer):
        for _ in range(self.COUNT):
            await asyncio.sleep(self.PAUSE)
            await layer.send("benchmarks", {"sent": time.time()})


class Throughput(several.Throughput):
    """See ``several``."""

    def read(self, server, prefix, pipe):
        asyncio.run(self.read_all(make_layer(server, prefix), pipe))

    async def read_all(self, layer, pipe):
        count = 0
        pipe.send("ready")
        while "end" not in await layer.receive("benchmarks"):
            count += 1
        pipe.send(count)

    def write(self, server, prefix, count, pipe):
        asyncio.run(self.write_all(make_layer(server, prefix), count, pipe))

    async def write_all(self, layer, count, pipe):
        pipe.send("ready")
        pipe.recv()
        for _ in range(count):
            await layer.send("benchmarks", MESSAGE)
        pipe.send("sent")

    def end(self, server, prefix, readers):
        loop.run_until_complete(self.end_all(make_layer(server, prefix), readers))

    async def end_all(self, layer, readers):
        for _ in range(readers):
            await layer.send("benchmarks", {"end": True})


WORKLOADS = {
    "send": Send,
    "receive": Receive,
    "round_trip": RoundTrip,
    "group_send": GroupSend,
    "memory": Memory,
    "woken": Woken,
    "throughput": Throughput,
}
