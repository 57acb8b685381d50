"""
Ten minutes of traffic with faults that come and go: nobody dies, nothing is lost or comes twice, and nothing grows.

ASGI_REDIS_SOAK_SECONDS says how long, if not 600 seconds. ``pytest -s`` shows how it gets on.
"""
from __future__ import print_function, unicode_literals

import os
import random
import re
import sys
import time

import pytest
from cryptography.fernet import Fernet

from ..faults.proxy import Cut, Pass
from ..faults.scenarios import CUT_EVERY, stopped
from ..faults.topologies import One, client
from ..faults.traffic import have_ended
from ..faults.verdict import covers
from .gauges import Gauges, too_much
from .traffic import EXPIRY, HELD, Line, Traffic

LASTS = float(os.environ.get("ASGI_REDIS_SOAK_SECONDS", 600))

#: Seconds in which processes take up what they need; they don't count.
WARM_UP = min(90, LASTS / 3)

#: Seconds between two lines that say how it gets on.
LINE_EVERY = 10

#: Seconds after the last message in which Redis must forget it: it may keep queues a little longer than messages.
FORGETS_IN = 2 * EXPIRY + 20

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="measures what Linux has in /proc")


class Two(One):
    """Two shards. Only the second is ever restarted: the first one would show what is left behind."""

    count = 2
    restarted = 1


class Faults(object):
    """What is done to the servers of a topology. ``counts``: how often; ``forgotten``: as of ``covers``."""

    def __init__(self, topology):
        self.topology = topology
        self.forgotten = []
        self.counts = {}
        self.swallowed_messages = 0
        self._left = []

    def next(self):
        """One fault; all come before one comes again."""
        if not self._left:
            self._left = [self.kill_clients, self.flush_scripts, self.stop, self.restart, self.cut]
            random.shuffle(self._left)
        fault = self._left.pop()
        fault()
        self.counts[fault.__name__] = self.counts.get(fault.__name__, 0) + 1

    def kill_clients(self):
        self._tell_all("CLIENT", "KILL", "TYPE", "normal")

    def flush_scripts(self):
        self._tell_all("SCRIPT", "FLUSH")

    def _tell_all(self, *command):
        for server in self.topology.masters():
            client(server).execute_command(*command)

    def stop(self):
        with stopped(random.choice(self.topology.masters())):
            time.sleep(random.uniform(1, 2))

    def restart(self):
        server = self.topology.master(self.topology.restarted)
        begun = time.time()
        server.kill()
        self.forgotten.append((self.topology.restarted, begun - HELD, time.time()))
        server.start()

    def cut(self):
        modes = [Cut(CUT_EVERY) for _ in self.topology.proxies]
        for proxy, mode in zip(self.topology.proxies, modes):
            proxy.mode = mode
        time.sleep(random.uniform(1, 2))
        for proxy in self.topology.proxies:
            proxy.mode = Pass()
        self.swallowed_messages += sum(mode.messages for mode in modes)


class Soak(object):
    """Two lines of traffic, one of them encrypted, over two shards behind proxies; from the entry of ``with`` on."""

    def __init__(self, topology):
        self.topology = topology
        self.faults = Faults(topology)
        self.traffics = [Traffic(Line(topology, keys)) for keys in (None, [Fernet.generate_key().decode("ascii")])]
        self.problems = []
        #: As of ``Gauges.growth``; nothing where a process has died, which is problem enough.
        self.growth = {}
        self._received = 0

    def __enter__(self):
        for traffic in self.traffics:
            traffic.__enter__()
        self.everyone = {
            "%s, line %d" % (name, number): process
            for number, traffic in enumerate(self.traffics) for name, process in traffic.everyone().items()
        }
        self.gauges = Gauges(
            {name: process.pid for name, process in self.everyone.items()},
            {"server %d" % number: server for number, server in enumerate(self.topology.masters())},
        )
        self.gauges.__enter__()
        return self

    def __exit__(self, *error):
        self.gauges.__exit__(*error)
        for traffic in self.traffics:
            traffic.__exit__(*error)

    def run(self):
        """All the faults; then what is left is read."""
        self.began = time.time()
        next_line = self.began + LINE_EVERY
        while time.time() < self.began + LASTS and not have_ended(self.everyone.values()):
            self.faults.next()
            time.sleep(random.uniform(0.5, 2))
            if time.time() > next_line:
                next_line = time.time() + LINE_EVERY
                self.print_line()
                self.check_pace()
        self.ended = time.time()
        if not have_ended(self.everyone.values()):
            self.growth = self.gauges.growth(self.began + WARM_UP, self.ended)
        for number, traffic in enumerate(self.traffics):
            self.problems += ["Line %d: %s" % (number, problem) for problem in traffic.finish()]
        self.print_line()

    def check_pace(self):
        """Add to the problems if nothing has arrived since the last time."""
        before, self._received = self._received, self.total("received")
        if self._received == before:
            self.problems.append("Nothing arrived in the time before %.0f s." % (time.time() - self.began))

    def total(self, what):
        return sum(getattr(traffic.record, what) for traffic in self.traffics)

    def print_line(self):
        servers = sorted(self.gauges.servers)
        say("%4d s: %d acknowledged, %d received, %d missing, %d raised; processes %d kB; %s" % (
            time.time() - self.began, self.total("acknowledged"), self.total("received"),
            sum(len(traffic.record.missing) for traffic in self.traffics), self.total("raised"),
            self.gauges.last(self.everyone, "kB"),
            "; ".join("%s %d kB, %d keys, %d clients" % (
                name, self.gauges.last([name], "kB"), self.gauges.last([name], "keys"),
                self.gauges.last([name], "clients"),
            ) for name in servers),
        ))

    def print_summary(self):
        say("Faults: %s; %d swallowed answers of BLPOP had a message." % (
            self.faults.counts, self.faults.swallowed_messages,
        ))
        for (name, unit), figures in sorted(self.growth.items()):
            say("%-18s %7s: first quarter %8.1f, last quarter %8.1f, most %6d" % ((name, unit) + figures))

    def check_messages(self):
        """Add to the problems what no restart explains."""
        for number, traffic in enumerate(self.traffics):
            for what, deliveries in (("lost", traffic.record.missing), ("repeated", traffic.record.repeated)):
                unexplained = [delivery for delivery in deliveries if not self._is_explained(what, traffic, delivery)]
                say("Line %d: %d %s, of which restarts explain %d." % (
                    number, len(deliveries), what, len(deliveries) - len(unexplained),
                ))
                if unexplained:
                    self.problems.append("Line %d: %d %s: %s" % (
                        number, len(unexplained), what, self._describe(traffic, unexplained),
                    ))

    def _is_explained(self, what, traffic, delivery):
        """
        Whether the server lost the message; or lost, while it was sent, what it knew of its first try, which a reader
        had then.
        """
        times = self.faults.forgotten
        if what == "repeated":
            times = [(index, since + HELD, until) for index, since, until in times]
        return covers(times, traffic.line.shards(delivery), *traffic.record.times[delivery])

    def _describe(self, traffic, deliveries):
        return "; ".join("%s %d/%d sent %.3f to %.3f" % (
            delivery + tuple(when - self.began for when in traffic.record.times[delivery])
        ) for delivery in sorted(deliveries)[:8])

    def check_redis(self):
        """Add to the problems what does not go away."""
        for index, server in enumerate(self.topology.masters()):
            self._complain("never expire on server %d" % index, lasting(server))
        deadline = time.time() + FORGETS_IN
        while self._messages() and time.time() < deadline:
            time.sleep(0.5)
        say("%.0f s after the traffic, Redis has %d keys of messages and groups, and %d others." % (
            time.time() - self.ended, len(self._messages()), sum(count(server) for server in self.topology.masters()),
        ))
        self._complain("do not go away", self._messages())

    def _complain(self, what, keys):
        if keys:
            self.problems.append("%d keys %s: %s" % (len(keys), what, ", ".join(sorted(keys)[:8])))

    def _messages(self):
        """The keys of messages, queues, taken messages and groups, which live no longer than those: not the others."""
        return [
            key for server in self.topology.masters() for traffic in self.traffics
            for key in client(server).scan_iter(traffic.line.layer.prefix + "*", 1000)
            if not re.search("#origin$|#session#[0-9a-f]+(#reply)?$|#presence", key)
        ]


def lasting(server):
    """The keys that have no TTL."""
    return [key for key in client(server).scan_iter("*", 1000) if client(server).ttl(key) == -1]


def count(server):
    return client(server).dbsize()


def say(line):
    print(line)
    sys.stdout.flush()


def test_soak():
    with Two(proxied=True) as topology:
        with Soak(topology) as soak:
            soak.run()
        soak.print_summary()
        soak.check_messages()
        soak.check_redis()
        soak.problems += too_much(soak.growth)
    assert soak.problems == [], "\n".join(soak.problems)
