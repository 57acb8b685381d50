"""The verdict itself: it finds each kind of damage, and believes no more excuses than there are."""
from __future__ import unicode_literals

import os

import pytest

from asgi_redis import RedisChannelLayer

from ..servers import Server
from . import costs
from .costs import Costs, Meter
from .topologies import client
from .traffic import CHANNELS, MEMBERS, NORMAL, SINGLE, Record
from .verdict import NOT_REPLICATED, Harm, Verdict

BEGAN, ENDED = 1000, 1010

#: How many rounds of sends there are, one a second; the fault lasts from BEGAN to ENDED.
ROUNDS = 30


@pytest.fixture
def harm():
    harm = Harm()
    harm.began, harm.ended = BEGAN, ENDED
    return harm


@pytest.fixture
def layer():
    """Its shards are asked for, no server."""
    return RedisChannelLayer(hosts=["redis://first", "redis://second", "redis://third"])


def when(number):
    return BEGAN - 10 + number


def sent(record, channel, number, error=None):
    channels = MEMBERS if channel in MEMBERS else [channel]
    record.note(("sent", channels, 0, number, when(number), when(number) + 0.1, error))


def got(record, channel, number):
    record.note(("got", channel, 0, number, when(number) + 0.2))


def full_record(leave_out=()):
    """Everything sent and received, but for the (channel, number) in ``leave_out``."""
    record = Record()
    for number in range(ROUNDS):
        for channel in [NORMAL] + SINGLE + MEMBERS[:1]:
            sent(record, channel, number)
        for channel in CHANNELS:
            if (channel, number) not in leave_out:
                got(record, channel, number)
    return record


def problems(record, harm, layer):
    return Verdict(record, harm, layer).problems


def test_all_is_well(harm, layer):
    verdict = Verdict(full_record(), harm, layer)
    assert verdict.problems == []
    assert verdict.acknowledged == ROUNDS * len(CHANNELS)
    assert verdict.recovery == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_lost_message(harm, layer, channel):
    [problem] = problems(full_record(leave_out=[(channel, 9)]), harm, layer)
    assert problem.startswith("1 lost: %s 0/9 " % channel)


def test_a_message_that_nobody_sent_counts_as_lost(harm, layer):
    record = full_record()
    sent(record, NORMAL, ROUNDS)
    assert len(problems(record, harm, layer)) == 1


def test_a_message_whose_send_raised_may_be_lost_but_not_come_twice(harm, layer):
    record = full_record()
    sent(record, NORMAL, ROUNDS, "ConnectionError()")
    assert problems(record, harm, layer) == []
    got(record, NORMAL, ROUNDS)
    assert problems(record, harm, layer) == []
    got(record, NORMAL, ROUNDS)
    assert problems(record, harm, layer)[0].startswith("1 duplicated")


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_message_that_comes_twice(harm, layer, channel):
    record = full_record()
    got(record, channel, ROUNDS - 1)
    [problem] = problems(record, harm, layer)
    assert problem.startswith("1 duplicated")


@pytest.mark.parametrize("channel", SINGLE + MEMBERS)
def test_disorder(harm, layer, channel):
    record = full_record(leave_out=[(channel, 20)])
    got(record, channel, 20)
    [problem] = problems(record, harm, layer)
    assert problem.startswith("1 out of order")


def test_a_normal_channel_has_no_order(harm, layer):
    record = full_record(leave_out=[(NORMAL, 20)])
    got(record, NORMAL, 20)
    assert problems(record, harm, layer) == []


def test_a_reader_that_died(harm, layer):
    record = full_record()
    record.note(("died", "read 0", "Traceback"))
    assert problems(record, harm, layer) == ["read 0 died:\nTraceback"]


def test_a_channel_that_stays_silent(harm, layer):
    found = Verdict(full_record(leave_out=[(SINGLE[0], number) for number in range(15, ROUNDS)]), harm, layer)
    assert found.recovery is None and "The traffic did not become whole again." in found.problems


def test_lost_memory_explains_what_was_sent_before(harm, layer):
    index = layer.consistent_hash(SINGLE[0])
    harm.forgets(index, BEGAN + 1)
    assert problems(full_record(leave_out=[(SINGLE[0], 11)]), harm, layer) == []
    assert len(problems(full_record(leave_out=[(SINGLE[0], 12)]), harm, layer)) == 1


def test_lost_memory_explains_nothing_of_other_shards(harm, layer):
    harm.forgets((layer.consistent_hash(SINGLE[0]) + 1) % 3, BEGAN + 1)
    assert problems(full_record(leave_out=[(NORMAL, 5)]), harm, layer) == []  # it lies on all
    assert len(problems(full_record(leave_out=[(SINGLE[0], 5)]), harm, layer)) == 1


def test_a_failover_explains_what_was_not_replicated(harm, layer):
    harm.fails_over(layer.consistent_hash(SINGLE[0]), BEGAN, BEGAN + 1.5)
    for number, explained in ((10 - NOT_REPLICATED, True), (11, True), (10 - NOT_REPLICATED - 1, False), (12, False)):
        assert (problems(full_record(leave_out=[(SINGLE[0], number)]), harm, layer) == []) is explained
        record = full_record()
        got(record, SINGLE[0], number)
        assert (problems(record, harm, layer) == []) is explained


def test_a_failover_explains_what_is_late(harm, layer):
    harm.fails_over(layer.consistent_hash(SINGLE[0]), BEGAN, BEGAN + 1.5)
    for number, explained in ((11, True), (12, False)):
        record = full_record(leave_out=[(SINGLE[0], number)])
        got(record, SINGLE[0], number)
        assert (problems(record, harm, layer) == []) is explained


def test_swallowed_replies_explain_nothing(harm, layer):
    harm.swallowed_messages = 2
    assert problems(full_record(leave_out=[(NORMAL, 5)]), harm, layer)[0].startswith("1 lost")


# What a fault costs.


def problems_with(record, harm, layer, **measured):
    return Verdict(record, harm, layer, costs=Costs(BEGAN, ENDED, **measured)).problems


def test_a_process_may_log_some_lines_and_one_more_a_second(harm, layer):
    record = full_record()
    most = costs.LINES + ENDED - BEGAN
    for process in ("read 0", "write 1"):
        for number in range(most):
            record.note(("logged", process, BEGAN + 0.1, "Line %d" % number))
    assert problems_with(record, harm, layer) == []
    for _ in range(3):
        record.note(("logged", "read 0", BEGAN + 0.2, "Retrying"))
    [problem] = problems_with(record, harm, layer)
    assert problem == "read 0 logged 18 lines in 10.0 s, more than 15; 3 times: Retrying"


def test_lines_of_other_times_do_not_count(harm, layer):
    record = full_record()
    for _ in range(100):
        record.note(("logged", "read 0", BEGAN - 1, "Before"))
        record.note(("logged", "read 0", ENDED + 1, "After"))
    assert problems_with(record, harm, layer) == []


def test_servers_may_process_some_commands_a_message_and_some_more_a_second(harm, layer):
    record = full_record()
    messages = Costs(BEGAN, ENDED).messages(record)
    # Sent, 0.1 s after a whole second, and received, 0.2 s after it, by each channel.
    assert messages == 2 * (ENDED - BEGAN) * len(CHANNELS)
    most = costs.COMMANDS_A_MESSAGE * messages + costs.COMMANDS_A_SECOND * (ENDED - BEGAN) * 3
    assert problems_with(record, harm, layer, servers=3, commands=most) == []
    [problem] = problems_with(record, harm, layer, servers=3, commands=most + 1)
    assert problem.startswith("The servers processed %d commands in 10.0 s, with %d messages" % (most + 1, messages))


def test_sends_that_raise_are_no_reason_for_commands_unless_a_server_is_out_of_memory(harm, layer):
    record = Record()
    for number in range(1000):
        sent(record, NORMAL, number % 9 + 10, "ConnectionError()")
    assert Costs(BEGAN, ENDED).messages(record) == 0
    for number in range(1000):
        sent(record, NORMAL, number % 9 + 10, "OutOfMemoryError('OOM command not allowed')")
    assert Costs(BEGAN, ENDED).messages(record) == 1000


def test_a_process_may_take_some_cpu_time_a_message_and_some_more_a_second(harm, layer):
    record = full_record()
    most = Costs(BEGAN, ENDED).most_cpu(record)
    assert costs.CPU_A_SECOND * (ENDED - BEGAN) < most < ENDED - BEGAN
    assert problems_with(record, harm, layer, cpu={"read 0": most, "read 1": most}) == []
    [problem] = problems_with(record, harm, layer, cpu={"read 0": most, "read 1": 9})
    assert problem.startswith("read 1 took 9.0 s of CPU time in 10.0 s")


def test_the_meter_counts_commands_over_restarts_but_not_those_that_measure():
    with Server() as server:
        client(server).set("before", 1)
        with Meter([server], {}) as meter:
            for _ in range(10):
                client(server).get("x")
            client(server).eval("for _ = 1, 9 do redis.call('GET', 'x') end", 0)
            meter.look()
            server.kill()
            server.start()
            for _ in range(30):
                client(server).get("x")
                client(server).config_get("maxmemory")
        assert 10 + 1 + 9 + 30 <= meter.commands <= 10 + 1 + 9 + 30 + 2  # the server is asked whether it has started


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="this system does not tell")
def test_the_meter_measures_cpu_time():
    class Process(object):
        pid = os.getpid()

    with Meter([], {"read 0": Process()}) as meter:
        before = sum(os.times()[:2])
        while sum(os.times()[:2]) - before < 0.3:
            pass
    assert list(meter.cpu) == ["read 0"] and 0.2 < meter.cpu["read 0"] < 2
