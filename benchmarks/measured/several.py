"""Workloads of several processes, forked from the measured one. ``measure`` is a round, and returns its figures."""
import itertools
import multiprocessing
import os
import time

#: How long, in seconds, a process may take to send what is expected of it.
PATIENCE = 60

_numbers = itertools.count()


class Forked(object):
    """A process that runs ``function(*arguments, pipe)``."""

    def __init__(self, function, *arguments):
        self._pipe, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("fork").Process(target=function, args=arguments + (theirs,))
        process.daemon = True
        process.start()

    def send(self, value):
        self._pipe.send(value)

    def receive(self):
        if not self._pipe.poll(PATIENCE):
            raise RuntimeError("A process sent nothing for %d seconds." % PATIENCE)
        return self._pipe.recv()


def new_prefix():
    """A prefix for keys that no other workload has."""
    return "benchmarks-%d-%d:" % (os.getpid(), next(_numbers))


class Several(object):
    def __init__(self, server):
        self.server = server


class Woken(Several):
    """How long after a send an idle reader, another process, has the message: percentiles, in us."""

    #: How many messages a round sends, and the pause before each, in seconds.
    COUNT = 200
    PAUSE = 0.01

    def measure(self, seconds):
        prefix = new_prefix()
        reader = Forked(self.read, self.server, prefix)
        reader.receive()
        self.write(self.server, prefix)
        delays = sorted(reader.receive())
        return {"p50": delays[len(delays) // 2] * 1e6, "p99": delays[len(delays) * 99 // 100] * 1e6}


class Throughput(Several):
    """
    ``processes`` writers and as many readers on one channel: "wall", from the first to the last message, in us a
    message; "arrived", how many arrived in percent of those that were sent.
    """

    #: How many messages all writers of a round send together.
    COUNT = 8000

    def __init__(self, server, processes):
        super(Throughput, self).__init__(server)
        self.processes = processes

    def measure(self, seconds):
        prefix, each = new_prefix(), self.COUNT // self.processes
        readers = [Forked(self.read, self.server, prefix) for _ in range(self.processes)]
        writers = [Forked(self.write, self.server, prefix, each) for _ in range(self.processes)]
        for process in readers + writers:
            process.receive()
        begun = time.time()
        for writer in writers:
            writer.send("begin")
        for writer in writers:
            writer.receive()
        self.end(self.server, prefix, self.processes)
        received = sum([reader.receive() for reader in readers])
        sent = each * self.processes
        return {"wall": (time.time() - begun) / sent * 1e6, "arrived": 100.0 * received / sent}
