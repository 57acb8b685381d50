"""Group sends between this library, which puts one entry a process, and release 1.4.3, which can't read those."""
from __future__ import unicode_literals

import pytest

from .test_interop import receive, receive_all

MEMBERS = ["process!%d" % number for number in range(6)] + ["reader?x", "normal"]


@pytest.fixture
def pair(make_pair, shards, arguments):
    """(ours, the release), and a group with members on channels of all kinds."""
    ours, release = make_pair(shards, **arguments)
    for member in MEMBERS:
        ours.group_add("crowd", member)
    return ours, release


def found_by(layer, *channels):
    """What ``layer`` receives, sorted: every member's message once, if all is well."""
    return sorted(receive_all(layer, *(channels or ("process!", "reader?x", "normal"))))


def once_each(number, members=MEMBERS):
    return sorted((member, {"n": number}) for member in members)


def test_the_release_reads_what_ours_sends(pair):
    ours, release = pair
    release.receive(["process!"])
    ours.send_group("crowd", {"n": 1})
    assert found_by(release) == once_each(1)
    assert receive(ours, "process!", "reader?x", "normal") == (None, None)


def test_ours_reads_what_the_release_sends(pair):
    ours, release = pair
    ours.receive(["process!"])
    release.send_group("crowd", {"n": 1})
    assert found_by(ours) == once_each(1)


def test_ours_reads_what_ours_sends_while_the_release_looks_on(pair):
    ours, release = pair
    ours.receive(["process!"])
    ours.send_group("crowd", {"n": 1})
    assert release.channel_statistics("process!")["messages_pending"] == 1
    assert release.channel_statistics("process!")["messages_count"] == 6
    assert release.group_channels("crowd") == ours.group_channels("crowd")
    assert found_by(ours) == once_each(1)


def test_both_read_members_of_one_group_that_both_send_to(pair):
    ours, release = pair
    old = ["old!%d" % number for number in range(5)]
    for member in old:
        release.group_add("crowd", member)
    for number in range(6):
        ours.receive(["none!"])
        assert receive_all(ours, "process!") == []
        (ours, release)[number % 2].send_group("crowd", {"n": number})
        assert found_by(release, "old!") == once_each(number, old)
        assert found_by(ours) == once_each(number)


def test_a_process_of_the_release_becomes_one_of_ours(pair):
    ours, release = pair
    release.receive(["process!"])
    for number in range(2):
        ours.send_group("crowd", {"n": number})
    assert ours.channel_statistics("process!")["messages_pending"] == 12
    found = receive_all(ours, "process!")
    ours.send_group("crowd", {"n": 2})
    assert ours.channel_statistics("process!")["messages_pending"] == 1
    found += receive_all(ours, "process!")
    assert [message["n"] for _, message in found] == [0] * 6 + [1] * 6 + [2] * 6
    assert len({(channel, message["n"]) for channel, message in found}) == 18


def test_a_process_of_ours_becomes_one_of_the_release(pair):
    ours, release = pair
    ours.receive(["process!"])
    ours.send_group("crowd", {"n": 0})
    assert found_by(ours) == once_each(0)
    # The announcement ends ten seconds after the last receive of ours.
    index = ours.consistent_hash("process!") if ours.ring_size > 1 else 0
    assert ours.connection(index).pexpire(ours.prefix + "process!#batches", 1)
    while ours.connection(index).exists(ours.prefix + "process!#batches"):
        pass
    ours.send_group("crowd", {"n": 1})
    assert found_by(release) == once_each(1)


def test_the_release_flushes_announcements_too(make_pair, shards):
    ours, release = make_pair(shards)  # it takes an odd prefix for a pattern
    ours.receive(["process!"])
    release.flush()
    for index in range(ours.ring_size):
        assert [key for key in ours.connection(index).keys("*") if key.endswith(b"#batches")] == []


def test_a_full_queue_counts_alike(make_pair):
    ours, release = make_pair(1, capacity=2)
    for member in MEMBERS[:6]:
        ours.group_add("crowd", member)
    ours.receive(["process!"])
    for number in range(3):
        ours.send_group("crowd", {"n": number})
    assert release.channel_statistics("process!")["channel_full_count"] == 6
    release.send_group("crowd", {"n": 3})
    assert ours.channel_statistics("process!")["channel_full_count"] == 12
