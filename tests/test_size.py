"""``asgi-redis size``: what it prints, what it computes, and what it measures."""
from __future__ import unicode_literals

import sys

import pytest

from asgi_redis.tools.size import costs
from asgi_redis.tools.size.plan import ASLEEP, LIMITS, Load, Plan, most_together

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


@pytest.mark.parametrize("words", [["--rate", "1e11"], ["--sockets", "1e11", "--broadcasts", "1e11"]])
def test_a_load_beyond_reason(words):
    result = run("size", *words)
    assert result.status == 1
    assert "No number of shards can carry this load" in result.out


def test_more_shards_than_the_load_needs():
    result = run("size", "--rate", "200", "--shards", "50")
    assert result.status == 0
    assert "1 shard would do" in result.out and "On a Redis Cluster" in result.out


def test_a_load_of_which_shards_divide_too_little():
    result = run("size", "--rate", "20000")
    assert result.status == 1
    assert "use several layers" in result.out


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
    numbers = [plan(rate=rate, daphnes=20).shards for rate in (1000, 1800, 2400)]
    assert numbers == sorted(numbers)
    assert numbers[0] == 1 < numbers[-1]


def test_with_one_shard_less_it_is_too_much():
    needed = plan(rate=2400, daphnes=20)
    assert needed.worst(needed.use)[1] <= 1
    assert needed.worst(needed.use_of(needed.shards - 1))[1] > 1


def test_what_a_broadcast_costs_is_members_and_processes():
    def cpu(**load):
        nothing = plan(rate=0, daphnes=load["daphnes"], shards=1)
        return plan(rate=0, message_size=100, shards=1, **load).use.cpu - nothing.use.cpu

    one = cpu(broadcasts=1000, group_size=1, daphnes=1)
    assert one * 1e3 == pytest.approx(costs.USUAL.group + costs.USUAL.wait)
    members = cpu(broadcasts=1000, group_size=1001, daphnes=1)
    assert (members - one) * 1e3 == pytest.approx(1000 * costs.USUAL.member)
    processes = cpu(broadcasts=1000, group_size=1001, daphnes=11)
    assert (processes - members) * 1e3 == pytest.approx(10 * (costs.USUAL.process + costs.USUAL.wait))


def test_a_message_costs_more_if_there_are_few():
    many, few, fewer = (plan(rate=rate).use.cpu - plan(rate=0).use.cpu for rate in (800, 400, 50))
    assert many == pytest.approx(2 * few)
    assert fewer == pytest.approx(few / 8 * 8 ** ASLEEP)


def test_shards_do_not_divide_what_each_costs_the_others():
    one, two = (plan(shards=shards, message_size=100).use.cpu for shards in (1, 2))
    message, others = costs.USUAL.send + costs.USUAL.wait, (costs.USUAL.other + costs.USUAL.refused) / 2.0
    # Each of two has half of the messages to workers, and the replies to one of the two Daphnes.
    assert (one - two) * 1e6 == pytest.approx(1000 * (message + costs.USUAL.refused / 2.0 - others))


@pytest.mark.parametrize("daphnes, shards, expected", [
    (3, 1, 3),  # all on the only one
    (1, 50, 1),
    (3, 4, 2),  # three in different places of four are less likely than not: 24 of 64
    (2, 50, 1),
    (1000, 4, 266),
    (1100, 2, 561),  # (1 / 2) ** 1100 is no number but 0
])
def test_how_many_daphnes_usually_share_a_shard(daphnes, shards, expected):
    assert most_together(daphnes, shards) == expected


def test_a_number_of_daphnes_that_is_approximated(monkeypatch):
    exact = most_together(8000, 10)
    monkeypatch.setattr("asgi_redis.tools.size.plan.MANY", 0)
    assert 800 < exact < 900
    assert abs(most_together(8000, 10) - exact) <= 1


def test_connections_on_one_shard_and_on_several():
    assert plan(shards=1).use.connections == 4 + 2 * 2
    assert plan(shards=4).use.connections == 2 * 4 + 2 + 1


def test_processes_have_more_to_do_on_more_shards():
    few, many = (plan(shards=shards, daphnes=None, workers=None) for shards in (1, 50))
    assert few.daphnes < many.daphnes and few.workers < many.workers


@pytest.mark.parametrize("limit, load", [
    ("connections", {"workers": 11000}),
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
    for name, value in (("CALLS", 60), ("ROUNDS", 3), ("IDLE", 1)):
        monkeypatch.setattr(costs, name, value)
    found = costs.measure()
    for name in ("send", "refused", "group"):
        assert 0 < getattr(found, name) < 20000
    for name in ("wait", "other", "kilobyte", "large", "member", "process", "idle"):  # differences
        assert getattr(found, name) >= 0
    assert found.member < found.group
