"""Batches in memory."""
from __future__ import unicode_literals

import threading

import pytest

from asgi_redis.codec import BadMessage
from asgi_redis.delivery.envelope import Unreadable
from asgi_redis.delivery.inbox import Inbox
from asgi_redis.server.waiting import Waiter

from .patience import AT_ONCE

QUEUE = "process!"


@pytest.fixture
def inbox():
    return Inbox()


@pytest.fixture
def dropped():
    """A list of (number of messages, reason) for each batch that was dropped."""
    return []


@pytest.fixture
def put(inbox, dropped):
    """``put(batch, names, seconds=60, is_good=True)``: puts a batch of messages {"batch": batch} into the inbox."""
    def put(batch, names, seconds=60, is_good=True):
        def copy():
            if not is_good:
                raise Unreadable(BadMessage("batch %d" % batch))
            return {"batch": batch}

        inbox.put(QUEUE, names, copy, seconds, lambda number, error: dropped.append((number, error.reason)), batch)

    return put


def take_all(inbox, queues=(QUEUE,)):
    """All that is in memory, as a list of (channel, number of the batch)."""
    return [(name, message["batch"]) for name, message in iter(lambda: inbox.take(queues), None)]


def test_several_batches_of_one_queue_stay_in_order(inbox, put):
    for batch in range(3):
        put(batch, ["process!a", "process!b"])
    assert take_all(inbox) == [(name, batch) for batch in range(3) for name in ("process!a", "process!b")]
    assert not inbox.batches


def test_a_batch_in_the_middle_that_has_expired_is_skipped(inbox, put, dropped):
    put(1, ["process!a", "process!b"])
    put(2, ["process!a", "process!b"], seconds=-1)
    put(3, ["process!a", "process!b"])
    assert [batch for _, batch in take_all(inbox)] == [1, 1, 3, 3]
    assert dropped == []


def test_a_batch_in_the_middle_that_can_not_be_copied_is_dropped_with_all_of_its_names(inbox, put, dropped):
    put(1, ["process!a", "process!b"])
    put(2, ["process!a", "process!b", "process!c"], is_good=False)
    put(3, ["process!a", "process!b"])
    assert [batch for _, batch in take_all(inbox)] == [1, 1, 3, 3]
    assert dropped == [(3, "batch 2")]


def test_a_message_that_is_put_back_goes_before_all_batches(inbox, put):
    put(1, ["process!a", "process!b"])
    put(2, ["process!a"])
    name, message = inbox.take([QUEUE])
    inbox.put_back(QUEUE, name, message, 60)
    assert take_all(inbox) == [("process!a", 1), ("process!b", 1), ("process!a", 2)]


def test_what_follows_a_batch_that_an_interrupt_has_left_without_names_is_taken(inbox, put):
    put(1, ["process!a"])
    put(2, ["process!a"])
    inbox.batches[QUEUE][0].names.clear()
    assert take_all(inbox) == [("process!a", 2)]


def test_a_dropped_batch_is_reported_when_others_may_use_the_inbox_again(inbox):
    def copy():
        raise Unreadable(BadMessage("bad"))

    taken = []
    inbox.put(QUEUE, ["process!a"], copy, 60, lambda number, error: taken.append(inbox.take([QUEUE])), 1)
    assert inbox.take([QUEUE]) is None
    assert taken == [None]


def test_a_reader_that_is_slow_to_wake_up_does_not_hold_up_others(inbox, put):
    def put_many():
        with inbox.watched_by(Waiter()):
            for batch in range(2000):  # a pair of sockets holds some 280 bytes that were sent one by one
                put(batch, ["process!a"])

    thread = threading.Thread(target=put_many)
    thread.daemon = True
    thread.start()
    thread.join(AT_ONCE)
    assert not thread.is_alive()


def test_a_lock_that_an_interrupt_has_left_locked_does_not_stop_its_thread(inbox):
    """
    As one does that comes after a ``with`` block has ended, and before its lock is released. On Python 2 it may also
    come between two lines of the lock.
    """
    found = []

    def wait():
        inbox._lock.acquire()
        with inbox.watched_by(Waiter()):
            found.append(inbox.holding([QUEUE]))

    thread = threading.Thread(target=wait)
    thread.daemon = True
    thread.start()
    thread.join(20)
    assert found == [set()]
