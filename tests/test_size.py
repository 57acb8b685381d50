"""``asgi-redis size``: what it prints, what it computes, and what it measures."""
from __future__ import unicode_literals

import sys

import pytest

from asgi_redis.tools.size import costs
from asgi_redis.tools.size.plan import LIMITS, Load, Plan

from .commands import run

LOAD = Load(
    rate=1000.0, sockets=0, group_size=0, broadcasts=0, message_size=1000, view=0.02, capacity=100, daphnes=2, workers=4
)


def plan(shards=None, limits=LIMITS, **load):
    return Plan(LOAD._replace(**load), costs.USUAL, limits, shards)


# The command.


def test_a_load_that_one_server_bears():
    result = run("size", "--rate", "500", "--sockets", "2000", "--broadcasts", "2")
    assert (result.status, result.err) == (0, "")
    for text in ("500 requests a second, 2 broadcasts a second to 2,000 members", "1 shard"):
        assert text in result.out
    assert "The first limit to be reached is the CPU of Redis" in result.out


def test_more_than_any_number_of_shards_bears():
    result = run("size", "--sockets", "1000000", "--broadcasts", "50")
    assert result.status == 1
    assert "No number of shards can carry this load" in result.out


def test_too_few_shards():
    result = run("size", "--rate", "8000", "--shards", "1")
    assert result.status == 1
    assert "That is too much: the CPU of Redis by" in result.out


@pytest.mark.parametrize("words", [["--rate", "-1"], ["--rate", "many"], ["--workers", "0"], ["--message-size", "nan"]])
def test_wrong_numbers(words):
    result = run("size", *words)
    assert result.status == 2
    assert words[0] in result.err and words[1] in result.err


@pytest.mark.parametrize("binary", ["/nonexistent/redis-server", sys.executable])
def test_a_server_that_can_not_be_started_for_measuring(binary):
    result = run("size", "--measure", environ={"ASGI_REDIS_SERVER": binary})
    assert result.status == 2
    assert binary in result.err and "Traceback" not in result.err


# The plan.


def test_more_load_needs_more_shards():
    numbers = [plan(rate=rate).shards for rate in (1000, 4000, 8000)]
    assert numbers == sorted(numbers)
    assert numbers[0] == 1 < numbers[-1]


def test_with_one_shard_less_it_is_too_much():
    needed = plan(rate=8000)
    assert needed.worst(needed.use)[1] <= 1
    assert needed.worst(needed.use_of(needed.shards - 1))[1] > 1


def test_what_a_broadcast_costs_is_members_and_processes():
    def cpu(**load):
        return plan(rate=0, message_size=100, **load).use.cpu - plan(rate=0, daphnes=load["daphnes"]).use.cpu

    one = cpu(broadcasts=1, group_size=1, daphnes=1)
    assert one * 1e6 == pytest.approx(costs.USUAL.group + costs.USUAL.wait)
    members = cpu(broadcasts=1, group_size=1001, daphnes=1)
    assert (members - one) * 1e6 == pytest.approx(1000 * costs.USUAL.member)
    processes = cpu(broadcasts=1, group_size=1001, daphnes=11)
    assert (processes - members) * 1e6 == pytest.approx(10 * (costs.USUAL.process + costs.USUAL.wait))


@pytest.mark.parametrize("limit, load", [
    ("connections", {"workers": 6000}),
    ("memory", {"capacity": 1000000}),
    ("network", {"rate": 200, "message_size": 1000000}),
    ("cpu", {"rate": 5000}),
])
def test_the_limit_that_comes_first_is_named(limit, load):
    found = plan(shards=1, **load)
    assert found.worst(found.use)[0] == limit


def test_as_many_processes_as_the_load_needs():
    found = plan(daphnes=None, workers=None)
    assert found.workers == 30  # 1,000 requests of 20.5 ms, with each worker busy for 70 % of the time
    assert found.daphnes == 2


# What calls cost.


def test_measured_costs_are_positive_and_in_proportion(monkeypatch):
    for name, value in (("CALLS", 60), ("ROUNDS", 2), ("IDLE", 1)):
        monkeypatch.setattr(costs, name, value)
    found = costs.measure()
    for name in ("send", "refused", "wait", "group", "idle"):
        assert 0 < getattr(found, name) < 20000
    for name in ("other", "kilobyte", "member", "process"):  # differences
        assert getattr(found, name) >= 0
    assert found.member < found.group
