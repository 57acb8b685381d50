"""
What a measured process does, through the public methods of the layer only, so that it fits any release of it.

A workload measures ``work(calls)``; ``begin()`` comes before each round, ``prepare(calls)`` before each ``work``.
"""
import contextlib
import importlib
import os
import threading
import time
import weakref

import msgpack
import redis
import several
from clocks import Stopwatch
from several import new_prefix

#: About 100 bytes when packed.
MESSAGE = {"reply_channel": "http.response!abcdefgh", "path": "/", "text": "x" * 48}

#: No row is about full channels, nor about messages that expire.
CAPACITY = 10000000
EXPIRY = 3600


def make_layer(server, prefix, **options):
    """A layer for ``server``, a dict as from ``Servers.layer``."""
    arguments = dict(dict(server["arguments"], prefix=prefix, capacity=CAPACITY, expiry=EXPIRY), **options)
    if "hosts" in arguments:
        arguments["stats_prefix"] = "stats-" + prefix
        arguments["hosts"] = [tuple(host) if isinstance(host, list) else host for host in arguments["hosts"]]
    return load(server["backend"])(**arguments)


def load(path):
    """The class at ``path``, "module.class"."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


class Workload(object):
    """Sends to one normal channel."""

    #: Calls between two readings of the clocks.
    chunk = 50

    channel = "benchmarks"
    to = "benchmarks"
    message = MESSAGE

    def __init__(self, server, **options):
        self.layer = make_layer(server, new_prefix(), **options)

    def begin(self):
        self.layer.flush()

    def prepare(self, calls):
        pass

    def send_some(self, calls):
        for _ in range(calls):
            self.layer.send(self.to, self.message)

    def receive_some(self, calls, block=False):
        channels = [self.channel]
        for _ in range(calls):
            channel, message = self.layer.receive(channels, block=block)
            if channel is None:
                raise RuntimeError("A message that was sent is not there.")

    def work(self, calls):
        self.send_some(calls)


class Receive(Workload):
    """Receives from a channel that has messages. ``process``: from a process-specific one."""

    def __init__(self, server, block=False, process=False, **options):
        super(Receive, self).__init__(server, **options)
        self.block = block
        if process:
            self.channel, self.to = "proc!", "proc!x"

    def prepare(self, calls):
        self.send_some(calls)

    def work(self, calls):
        self.receive_some(calls, self.block)


class ReceiveNothing(Workload):
    """Receives from an empty channel, without waiting."""

    def work(self, calls):
        for _ in range(calls):
            self.layer.receive(["benchmarks"])


class RoundTrip(Workload):
    """Sends a message and receives it. ``size``: bytes of the message, about 100 if None."""

    def __init__(self, server, size=None, encrypted=False):
        options = {"symmetric_encryption_keys": ["0123456789abcdef" * 2]} if encrypted else {}
        super(RoundTrip, self).__init__(server, **options)
        if size:
            self.message = {"bytes": os.urandom(size)}
            self.chunk = 2

    def work(self, calls):
        for _ in range(calls):
            self.send_some(1)
            self.receive_some(1)


class GroupSend(Workload):
    """
    Sends to a group of ``members`` that are spread over ``processes``; 0: members are normal channels.

    Between two sends, the readers of the processes empty their queues. Their last receive, which finds nothing, is
    also what announces a reader of this project.
    """

    def __init__(self, server, members, processes):
        prefix = new_prefix()
        self.layer = make_layer(server, prefix)
        self.reader = make_layer(server, prefix)
        self.chunk = max(1, 20 // members)
        self.queues = ["p%d!" % number for number in range(processes)]
        self.members = ["n%d" % number for number in range(members)]
        if processes:
            self.members = ["p%d!x%d" % (number % processes, number) for number in range(members)]
        self.join()

    def join(self):
        for member in self.members:
            self.layer.group_add("group", member)

    def begin(self):
        if not self.queues:
            self.layer.flush()
            self.join()

    def prepare(self, calls):
        for queue in self.queues:
            while self.reader.receive([queue])[0] is not None:
                pass

    def work(self, calls):
        for _ in range(calls):
            self.layer.send_group("group", MESSAGE)


class HandOut(GroupSend):
    """Receives a broadcast to ``members`` of one process; a call is one member's."""

    def __init__(self, server, members):
        super(HandOut, self).__init__(server, members, 1)
        self.chunk = members

    def prepare(self, calls):
        super(HandOut, self).prepare(calls)
        self.layer.send_group("group", MESSAGE)

    def work(self, calls):
        for _ in range(calls):
            if self.reader.receive(self.queues)[0] is None:
                raise RuntimeError("Not all members got the broadcast.")


class SendToBacklog(Workload):
    """Sends to a channel in which ``waiting`` messages are; what it has sent is received before the next block."""

    def __init__(self, server, waiting):
        super(SendToBacklog, self).__init__(server)
        self.send_some(waiting)
        self.sent = 0

    def begin(self):
        pass  # keeps the backlog

    def prepare(self, calls):
        self.receive_some(self.sent)
        self.sent = calls


class ReceiveFromBacklog(SendToBacklog):
    """Receives from a channel in which ``waiting`` messages are."""

    def prepare(self, calls):
        self.send_some(calls)

    def work(self, calls):
        self.receive_some(calls)


class Wait(Workload):
    """
    Waits a second for a message on ``channels`` normal channels that lie on ``shards`` shards, and gets none.

    The shards are databases of one server, so that its CPU time is that of all shards.
    """

    chunk = 1

    def __init__(self, server, shards=1, channels=1):
        url = server["arguments"]["hosts"][0].rpartition("/")[0]
        hosts = ["%s/%d" % (url, number) for number in range(shards)]
        super(Wait, self).__init__(dict(server, arguments=dict(server["arguments"], hosts=hosts)))
        self.layer.blpop_timeout = 1
        self.channels = ["benchmarks%d" % number for number in range(channels)]

    def work(self, calls):
        for _ in range(calls):
            if self.layer.receive(self.channels, block=True)[0] is not None:
                raise RuntimeError("There was a message.")


class IdleWorkers(Workload):
    """A second in which ``workers`` wait for messages, each with a layer of its own in a thread."""

    chunk = 5

    def __init__(self, server, workers):
        super(IdleWorkers, self).__init__(server)
        prefix, ended = new_prefix(), threading.Event()
        weakref.finalize(self, ended.set)
        for _ in range(workers):
            thread = threading.Thread(target=wait_until, args=(ended, make_layer(server, prefix)))
            thread.daemon = True
            thread.start()

    def work(self, calls):
        time.sleep(calls)


def wait_until(ended, layer):
    while not ended.is_set():
        layer.receive(["benchmarks"], block=True)


class BareRedis(Workload):
    """RPUSH, or LPOP, of a value as long as the message, by redis-py alone. ``call``: "rpush" or "lpop"."""

    def __init__(self, server, call):
        self.client = redis.StrictRedis(host="127.0.0.1", port=server["port"])
        self.key, self.call = new_prefix() + "list", call
        self.value = msgpack.packb(MESSAGE, use_bin_type=True)

    def begin(self):
        self.client.delete(self.key)

    def prepare(self, calls):
        if self.call == "lpop":
            self.client.rpush(self.key, *[self.value] * calls)

    def work(self, calls):
        client, key, value = self.client, self.key, self.value
        if self.call == "lpop":
            for _ in range(calls):
                client.lpop(key)
        else:
            for _ in range(calls):
                client.rpush(key, value)


class Memory(Workload):
    """What a waiting message takes in Redis: ``measure`` returns bytes."""

    COUNT = 5000

    def __init__(self, server):
        super(Memory, self).__init__(server)
        self.client = redis.StrictRedis(host="127.0.0.1", port=server["port"])

    def measure(self, seconds):
        self.begin()
        before = self.client.info("memory")["used_memory"]
        self.send_some(self.COUNT)
        return {"bytes": (self.client.info("memory")["used_memory"] - before) / float(self.COUNT)}


class Woken(several.Woken):
    """See ``several``."""

    def read(self, server, prefix, pipe):
        layer, delays = make_layer(server, prefix), []
        pipe.send("ready")
        while len(delays) < self.COUNT:
            _, message = layer.receive(["benchmarks"], block=True)
            if message is not None:
                delays.append(time.time() - message["sent"])
        pipe.send(delays)

    def write(self, server, prefix):
        layer = make_layer(server, prefix)
        for _ in range(self.COUNT):
            time.sleep(self.PAUSE)
            layer.send("benchmarks", {"sent": time.time()})


class Throughput(several.Throughput):
    """See ``several``."""

    def read(self, server, prefix, pipe):
        layer, count = make_layer(server, prefix), 0
        pipe.send("ready")
        while True:
            _, message = layer.receive(["benchmarks"], block=True)
            if message is not None and "end" in message:
                return pipe.send(count + self.left(layer))
            count += message is not None

    def left(self, layer):
        """Receive the messages that are left behind an end, because it was on another shard; return how many."""
        count = ends = 0
        for _, message in iter(lambda: layer.receive(["benchmarks"]), (None, None)):
            ends += "end" in message
            count += "end" not in message
        for _ in range(ends):
            layer.send("benchmarks", {"end": True})
        return count

    def write(self, server, prefix, count, pipe):
        layer = make_layer(server, prefix)
        pipe.send("ready")
        pipe.recv()
        for _ in range(count):
            layer.send("benchmarks", MESSAGE)
        pipe.send("sent")

    def end(self, server, prefix, readers):
        layer = make_layer(server, prefix)
        for _ in range(readers):
            layer.send("benchmarks", {"end": True})


class Shards(Throughput):
    """As Throughput, with the servers' CPU time, in us a message: "busiest", and "all" of them together."""

    #: Enough to make little of the connections and scripts, which each server needs once.
    COUNT = 40000

    def measure(self, seconds):
        watches = [Stopwatch(port) for port in self.server["ports"]]
        with contextlib.ExitStack() as stack:
            for watch in watches:
                stack.enter_context(watch)
            figures = super(Shards, self).measure(seconds)
        costs = [watch.server / self.COUNT * 1e6 for watch in watches]
        return dict(figures, busiest=max(costs), all=sum(costs))


class Overload(several.Several):
    """
    Senders at a rate that changes, and readers that each need a time for a message.

    ``steps``: a list of (seconds, messages a second of all senders). ``service``: how long, in seconds, a reader works
    on a message. ``measure`` returns ``{"sent": count, "refused": [at, ...], "received": [[at, delay], ...]}``: when a
    message was sent, in seconds since the begin, and how long it took until a reader had it.
    """

    SENDERS = READERS = 2

    #: How long, in seconds, to wait before a message is sent again that must arrive.
    PAUSE = 0.01

    def __init__(self, server, steps, service, capacity):
        super(Overload, self).__init__(server)
        self.steps, self.service, self.capacity = steps, service, capacity

    def layer(self, prefix):
        return make_layer(self.server, prefix, capacity=self.capacity)

    def measure(self, seconds):
        prefix = new_prefix()
        readers = [several.Forked(self.read, prefix) for _ in range(self.READERS)]
        senders = [several.Forked(self.write, prefix) for _ in range(self.SENDERS)]
        for process in readers + senders:
            process.receive()
        begun = time.time()
        for process in readers + senders:
            process.send(begun)
        sent, refused = zip(*[sender.receive() for sender in senders])
        self.end(prefix)
        received = [pair for reader in readers for pair in reader.receive()]
        return {"sent": sum(sent), "refused": sorted(sum(refused, [])), "received": sorted(received)}

    def read(self, prefix, pipe):
        layer, received = self.layer(prefix), []
        pipe.send("ready")
        begun = pipe.recv()
        while True:
            _, message = layer.receive(["benchmarks"], block=True)
            if message is not None and "end" in message:
                return pipe.send(received)
            if message is not None:
                received.append((message["sent"] - begun, time.time() - message["sent"]))
                time.sleep(self.service)

    def write(self, prefix, pipe):
        layer, sent, refused = self.layer(prefix), 0, []
        pipe.send("ready")
        due = begun = pipe.recv()
        for seconds, rate in self.steps:
            for _ in range(int(seconds * rate / self.SENDERS)):
                due += float(self.SENDERS) / rate
                time.sleep(max(0, due - time.time()))
                sent += 1
                try:
                    layer.send("benchmarks", {"sent": time.time()})
                except layer.ChannelFull:
                    refused.append(time.time() - begun)
        pipe.send((sent, refused))

    def end(self, prefix):
        """Tell each reader that there are no more messages, once there is room for that."""
        layer, left = self.layer(prefix), self.READERS
        while left:
            try:
                layer.send("benchmarks", {"end": True})
                left -= 1
            except layer.ChannelFull:
                time.sleep(self.PAUSE)


WORKLOADS = {
    "send": Workload,
    "receive": Receive,
    "receive_nothing": ReceiveNothing,
    "round_trip": RoundTrip,
    "group_send": GroupSend,
    "hand_out": HandOut,
    "send_to_backlog": SendToBacklog,
    "receive_from_backlog": ReceiveFromBacklog,
    "wait": Wait,
    "idle_workers": IdleWorkers,
    "bare": BareRedis,
    "memory": Memory,
    "woken": Woken,
    "throughput": Throughput,
    "shards": Shards,
    "overload": Overload,
}
