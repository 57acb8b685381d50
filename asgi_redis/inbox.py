"""What was taken from Redis, but not handed out yet."""
from __future__ import unicode_literals

import collections
import contextlib
import os
import random
import threading

from .waiting import monotonic


class Batch(object):
    """
    One message for several channels. ``names``: those that have not got it; ``copy()``: makes it, the caller's own;
    ``deadline``: when it expires.
    """

    __slots__ = ("names", "copy", "deadline")

    def __init__(self, names, copy, deadline):
        self.names = collections.deque(names)
        self.copy = copy
        self.deadline = deadline

    def take(self):
        """(channel, message)."""
        message = self.copy()
        return self.names.popleft(), message


class Inbox(object):
    """
    Batches in memory, by queue, in the order of the queue. Safe between threads; a forked process starts empty.
    """

    def __init__(self):
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._batches = {}
        self._waiters = set()

    def _own(self):
        # A lock that another thread held at the time of the fork is never released in the child: it goes too.
        if self._pid != os.getpid():
            self.__init__()
        return self._lock

    def put(self, queue, names, copy, seconds):
        """Add a batch that lives for ``seconds`` at the end of ``queue``."""
        with self._own():
            batch = Batch(names, copy, monotonic() + seconds)
            self._batches.setdefault(queue, collections.deque()).append(batch)
            self._wake()

    def put_back(self, queue, name, copy, seconds):
        """Add a message that was taken, but not handed out, at the head of ``queue``."""
        with self._own():
            batch = Batch([name], copy, monotonic() + seconds)
            self._batches.setdefault(queue, collections.deque()).appendleft(batch)
            self._wake()

    @contextlib.contextmanager
    def watched_by(self, waiter):
        """While this lasts, ``waiter`` is woken by whatever comes in."""
        with waiter:
            with self._own():
                self._waiters.add(waiter)
            try:
                yield
            finally:
                with self._own():
                    self._waiters.discard(waiter)

    def _wake(self):
        for waiter in self._waiters:
            waiter.wake()

    def holding(self, queues):
        """Those of ``queues`` that have something here: a set."""
        with self._own():
            return {queue for queue in queues if queue in self._batches} if self._batches else set()

    def take(self, queues):
        """(channel, message) from one of ``queues``, or None."""
        with self._own():
            here = [queue for queue in queues if queue in self._batches]
            random.shuffle(here)
            for queue in here:
                found = self._take(queue)
                if found:
                    return found
        return None

    def _take(self, queue):
        batches = self._batches[queue]
        while batches and batches[0].deadline < monotonic():
            batches.popleft()
        found = batches[0].take() if batches else None
        if batches and not batches[0].names:
            batches.popleft()
        if not batches:
            del self._batches[queue]
        return found

    def clear(self):
        with self._own():
            self._batches.clear()
