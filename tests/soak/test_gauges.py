"""What counts as growth: the soak test would pass for ever if nothing did."""
from __future__ import unicode_literals

import os

from .gauges import Gauges, of_process, too_much


def problems(unit, numbers):
    """What is said of a process of which these numbers were measured, a second apart."""
    gauges = Gauges({}, {})
    gauges.series["reader", unit] = list(enumerate(numbers))
    return too_much(gauges.growth(0, len(numbers) - 1))


def test_flat():
    assert problems("kB", [40000, 41000] * 20) == []


def test_a_peak_is_no_growth():
    assert problems("kB", [40000] * 20 + [90000] + [40000] * 20) == []


def test_growth():
    assert problems("kB", range(40000, 60000, 500)) == ["reader grew from 42250 to 57250 kB."]


def test_a_peak_of_descriptors():
    assert problems("fds", [10] * 20 + [90] + [10] * 20) == ["reader had 90 fds."]


def test_threads():
    assert problems("threads", [1] * 20 + [3] * 20) == ["reader grew from 1 to 3 threads."]


def test_this_process():
    found = of_process(os.getpid())
    assert found["kB"] > 1000 and found["fds"] >= 3 and found["threads"] >= 1
