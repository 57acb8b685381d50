"""What calls cost a server: as measured on one machine, or anew on this one."""
from __future__ import unicode_literals

import collections
import threading
import time

from ... import RedisChannelLayer
from ..embedded import Server

#: CPU time of the servers in microseconds. ``send``: a message of 100 bytes; ``refused``: a send to a channel that is
#: full. ``wait``: a receive that waits until a message comes; ``other``: what it costs each other shard that it waits
#: on. ``kilobyte``: each further 1,000 bytes of a message that is sent and received; ``large``: what a message of
#: 100,000 bytes costs more than a small one. ``group``: a broadcast to one member; ``member``: each further one;
#: ``process``: each further process that has members. ``idle``: a second of a worker that waits.
Costs = collections.namedtuple("Costs", "send refused wait other kilobyte large group member process idle")

#: Redis 7.0 on a virtual machine of 2025 with two processors; by ``asgi-redis size --measure``.
USUAL = Costs(
    send=62, refused=77, wait=116, other=136, kilobyte=5, large=90, group=92, member=0.33, process=11, idle=12,
)

#: How often a call is measured in a round, and how many rounds there are.
CALLS = 100
ROUNDS = 5

#: The pause before each call, in seconds: as on a site with some hundred messages a second. A reader has begun to wait
#: by then, and the server has fallen asleep; without pauses, a call costs little more than half.
PAUSE = 0.001

#: A reader waits on as many channels as a worker of a small site.
CHANNELS = ["wait", "wait.2", "wait.3", "wait.4"]

#: How long an idle worker waits at a time, in seconds.
IDLE = 5

#: Bytes of the messages that are measured.
SMALL, MEDIUM, LARGE = 100, 10100, 100000

#: How many members and processes the large groups have.
MEMBERS, PROCESSES = 1000, 10


class Meter(object):
    """Measures calls on two servers of its own, from the entry of a ``with`` block to its end."""

    def __enter__(self):
        self._servers = [Server(), Server()]
        try:
            for server in self._servers:
                server.start()
        except BaseException:
            self.__exit__()
            raise
        self._layers = [self._layer(1), self._layer(2)]
        self._clients = [self._layers[1].connection(number) for number in range(2)]
        self._nothing = 0
        self._nothing = self.cost(lambda: None)
        return self

    def __exit__(self, *error):
        for server in self._servers:
            server.stop()

    def _layer(self, shards):
        prefix = "size%d:" % shards
        return RedisChannelLayer(
            hosts=[server.url for server in self._servers[:shards]], prefix=prefix, stats_prefix="meta-" + prefix,
            capacity=10 ** 6, channel_capacity={"full": 1},
        )

    def _used(self):
        """Return the CPU time of both servers, in seconds."""
        used = [client.info("cpu") for client in self._clients]
        return sum(float(each["used_cpu_user"]) + float(each["used_cpu_sys"]) for each in used)

    def cost(self, call, calls=CALLS, prepare=None):
        """Return the CPU time, in us, that the servers needed for one of ``calls``: the median of the rounds."""
        rounds = sorted(self._round(call, calls, prepare) for _ in range(ROUNDS))
        return max(rounds[len(rounds) // 2] - self._nothing, 0)

    def _round(self, call, calls, prepare):
        if prepare:
            prepare()
        before = self._used()
        for _ in range(calls):
            time.sleep(PAUSE)
            call()
        return (self._used() - before) / calls * 1e6

    def measure(self):
        layer = self._layers[0]
        send = self.cost(lambda: layer.send("sent", text(SMALL)))
        small, medium, large = [self._round_trip(size) for size in (SMALL, MEDIUM, LARGE)]
        layer.send("full", {})
        waits = [self._wait(each) - send for each in self._layers]
        group, members, processes = self._group(1, 1), self._group(MEMBERS, 1), self._group(MEMBERS, PROCESSES)
        return Costs(
            send=send,
            refused=self.cost(lambda: refuse(layer)),
            wait=max(waits[0], 0),
            other=max(waits[1] - waits[0], 0),
            kilobyte=max(medium - small, 0) * 1000.0 / (MEDIUM - SMALL),
            large=max(large - small, 0),
            group=group,
            member=max(members - group, 0) / (MEMBERS - 1),
            process=max(processes - members, 0) / (PROCESSES - 1),
            idle=self._idle(),
        )

    def _round_trip(self, size):
        layer, message = self._layers[0], text(size)

        def call():
            layer.send("trip", message)
            layer.receive(["trip"])

        return self.cost(call)

    def _wait(self, layer):
        """Return the cost of a send to a reader that waits, and of its receive."""
        reader = Reader(layer)
        try:
            return self.cost(reader.wake)
        finally:
            reader.end()

    def _group(self, members, processes):
        """Return the cost of a broadcast; its readers have announced that they take one entry for all members."""
        layer, group = self._layers[0], "group%d-%d" % (members, processes)
        queues = ["reader%d-%d-%d!" % (members, processes, number) for number in range(processes)]
        for number in range(members):
            layer.group_add(group, "%sx%d" % (queues[number % processes], number))

        def empty():
            for queue in queues:
                while layer.receive([queue])[0] is not None:
                    pass

        return self.cost(lambda: layer.send_group(group, text(SMALL)), 20, empty)

    def _idle(self, workers=50):
        """Return the cost of a second of a worker that waits, in its second wait: in the first it connects."""
        nothing = self._used_in(IDLE)
        layer = self._layer(1)
        layer.blpop_timeout = IDLE

        def wait_twice():
            for _ in range(2):
                layer.receive(CHANNELS, block=True)

        threads = [threading.Thread(target=wait_twice) for _ in range(workers)]
        for thread in threads:
            thread.daemon = True  # after Ctrl-C, nothing waits for them
            thread.start()
        time.sleep(IDLE / 2.0)
        used = self._used_in(IDLE)
        for thread in threads:
            thread.join()
        return max(used - nothing, 0) / workers / IDLE * 1e6

    def _used_in(self, seconds):
        before = self._used()
        time.sleep(seconds)
        return self._used() - before


class Reader(object):
    """A thread that waits for messages of ``layer``; ``wake`` sends one once it waits, and returns when it has it."""

    def __init__(self, layer):
        self._layer = layer
        self._received = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self):
        while True:
            _, message = self._layer.receive(CHANNELS, block=True)
            if message is not None:
                if "end" in message:
                    return
                self._received.set()

    def wake(self):
        self._received.clear()
        self._layer.send("wait", text(SMALL))
        self._received.wait(10)

    def end(self):
        self._layer.send("wait", {"end": True})
        self._thread.join()


def refuse(layer):
    try:
        layer.send("full", text(SMALL))
    except layer.ChannelFull:
        pass


def text(size):
    """Return a message of ``size`` bytes when packed."""
    return {"text": "x" * (size - 8)}


def measure():
    """Return the ``Costs`` on this machine, in less than a minute."""
    with Meter() as meter:
        return meter.measure()
