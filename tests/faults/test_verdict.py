"""The verdict itself: it finds each kind of damage, and believes no more excuses than there are."""
from __future__ import unicode_literals

import pytest

from asgi_redis import RedisChannelLayer

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


def test_swallowed_answers_explain_nothing(harm, layer):
    harm.swallowed_messages = 2
    assert problems(full_record(leave_out=[(NORMAL, 5)]), harm, layer)[0].startswith("1 lost")
