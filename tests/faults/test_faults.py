"""
Each fault on each topology: nothing is lost that the fault does not explain, nothing comes twice, nobody dies, and
neither logs, servers nor processors are flooded.
"""
from __future__ import print_function, unicode_literals

import os
import time

import pytest

from asgi_redis import cluster

from .costs import Costs, Meter
from .scenarios import ALL, SCENARIOS
from .topologies import OnCluster
from .traffic import Traffic
from .verdict import Harm, Verdict

#: "all" for every fault on every topology; otherwise the few that are part of every run.
WANTED = os.environ.get("ASGI_REDIS_FAULTS", "")

CASES = [
    pytest.param(topology, scenario, id="%s-%s" % (topology.__name__, scenario.do.__name__), marks=[
        pytest.mark.skipif(
            topology is OnCluster and cluster.RedisCluster is None, reason="redis-py before 4.1 knows no Redis Cluster"
        )
    ])
    for topology in ALL
    for scenario in SCENARIOS
    if topology in (scenario.topologies if WANTED == "all" else scenario.routine)
]


class Running(object):
    """The topology of the last scenario, for the next one if it has left it as it was."""

    def __init__(self):
        self.topology = None

    def get(self, kind, proxied):
        if type(self.topology) is not kind or proxied or self.topology.proxied or not self.topology.is_as_before():
            self.stop()
            self.topology = kind(proxied).__enter__()
        self.topology.prepare()
        return self.topology

    def stop(self):
        if self.topology is not None:
            self.topology.__exit__()
            self.topology = None


@pytest.fixture(scope="module")
def running():
    running = Running()
    yield running
    running.stop()


def measure(topology, scenario):
    """The ``Verdict`` on what ``scenario`` did to the traffic on ``topology``."""
    harm = Harm()
    with Traffic(topology.make) as traffic:
        assert traffic.goes_through(), "No traffic even without a fault: %s" % traffic.record.died
        servers = topology.data_servers()
        with Meter(servers, traffic.processes()) as meter:
            harm.began = time.time()
            scenario.do(topology, harm)
            harm.ended = time.time()
            topology.settle()
            note_failovers(topology, harm)
            traffic.goes_through()
        costs = Costs(harm.began, time.time(), len(servers), meter.commands, meter.cpu)
        problems = traffic.end(topology.pending)
    return Verdict(traffic.record, harm, topology.layer, problems, topology.left_behind(), costs)


def note_failovers(topology, harm):
    """Where a fault has led to a failover. The old master may have gone on after the fault, until it was demoted."""
    now = time.time()
    for index, master in enumerate(topology.masters()):
        if master is not topology.before[index]:
            harm.fails_over(index, harm.began, now)


@pytest.mark.parametrize("kind, scenario", CASES)
def test_fault(kind, scenario, running, verdicts):
    topology = running.get(kind, scenario.proxied)
    try:
        verdict = measure(topology, scenario)
    except BaseException:
        running.stop()
        raise
    verdicts.append((kind, scenario, verdict))
    print(verdict)
    assert verdict.problems == [], "\n".join(verdict.problems)
