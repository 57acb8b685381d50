"""What processes and servers take up, measured again and again, and whether it grows."""
from __future__ import unicode_literals

import collections
import os
import threading
import time

from redis.exceptions import RedisError

from ..faults.topologies import client

#: Seconds between two measurements.
EVERY = 1

#: A mean may rise by this part of it, and by what is in ``SLACK`` on top.
PART = 0.1

#: By unit.
SLACK = {"kB": 2048, "fds": 3, "threads": 1, "clients": 5, "keys": 100}

#: What must not be exceeded at any time after the warm-up.
MOST = {"fds": 40, "threads": 4, "clients": 60}

PAGE_KB = os.sysconf(str("SC_PAGE_SIZE")) // 1024


def resident(pid):
    with open("/proc/%d/statm" % pid) as file:
        return int(file.read().split()[1]) * PAGE_KB


def of_process(pid):
    """{unit: number}."""
    return {
        "kB": resident(pid),
        "fds": len(os.listdir("/proc/%d/fd" % pid)),
        "threads": len(os.listdir("/proc/%d/task" % pid)),
    }


def of_server(server):
    """{unit: number}."""
    info = client(server).info()
    return {
        "kB": info["used_memory"] // 1024,
        "clients": info["connected_clients"],
        "keys": sum(database["keys"] for name, database in info.items() if name.startswith("db")),
    }


class Gauges(object):
    """
    Measure from the entry of a ``with`` block to its end. ``processes``: {name: pid}; ``servers``: {name: Server}.

    ``series``: {(name, unit): [(when, number), ...]}.
    """

    def __init__(self, processes, servers):
        self.processes = processes
        self.servers = servers
        self.series = collections.defaultdict(list)
        self._end = threading.Event()

    def __enter__(self):
        self._thread = threading.Thread(target=self._measure_on)
        self._thread.daemon = True
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._end.set()
        self._thread.join()

    def _measure_on(self):
        while not self._end.wait(EVERY):
            self._measure(of_process, self.processes)
            self._measure(of_server, self.servers)

    def _measure(self, take, things):
        for name, thing in things.items():
            try:
                found = take(thing)
            except (RedisError, EnvironmentError):
                continue  # it is away just now
            for unit, number in found.items():
                self.series[name, unit].append((time.time(), number))

    def last(self, names, unit):
        """The sum of what was measured last."""
        return sum(self.series[name, unit][-1][1] for name in names if self.series[name, unit])

    def growth(self, since, until):
        """{(name, unit): (mean of the first quarter of this time, mean of the last one, the most)}."""
        quarter = (until - since) / 4.0
        return {
            key: (
                mean(between(points, since, since + quarter)),
                mean(between(points, until - quarter, until)),
                max(between(points, since, until)),
            ) for key, points in self.series.items()
        }


def between(points, since, until):
    return [number for when, number in points if since <= when <= until]


def mean(numbers):
    return float(sum(numbers)) / len(numbers)


def too_much(growth):
    """What has grown, or is above what is allowed: a list of texts."""
    problems = []
    for (name, unit), (first, last, most) in sorted(growth.items()):
        if last > first * (1 + PART) + SLACK[unit]:
            problems.append("%s grew from %.0f to %.0f %s." % (name, first, last, unit))
        if most > MOST.get(unit, most):
            problems.append("%s had %d %s." % (name, most, unit))
    return problems
