"""Messages that were taken, but not handed out yet."""
from __future__ import unicode_literals

import collections
import contextlib
import random

from ..server.times import monotonic
from ..server.turn import RLock
from .envelope import Unreadable


class Batch(object):
    """
    One message for several channels.

    ``names``: the channels that have not got it yet. ``copy()``: returns a copy of the message, or raises
    Unreadable if that can't be made any more; then ``drop(number, error)`` is called with the number of names and that
    error, not under the lock. ``deadline``: when the batch expires, by ``monotonic``. ``call``: of what call it is the
    reply, by which ``remove`` finds it.
    """

    __slots__ = ("names", "copy", "deadline", "drop", "call")

    def __init__(self, names, copy, deadline, drop, call=None):
        self.names = collections.deque(names)
        self.copy = copy
        self.deadline = deadline
        self.drop = drop
        self.call = call


class Inbox(object):
    """Batches in memory, by queue, in the order of the queue. Thread-safe."""

    def __init__(self):
        #: Re-entrant: a signal handler that raises at the end of a ``with`` block leaves it locked by the main thread.
        self._lock = RLock()
        #: By queue. Each receive looks whether there are any.
        self.batches = {}
        self._waiters = set()

    def put(self, queue, names, copy, seconds, drop, call):
        """Add a batch, which lives for ``seconds``, at the end of ``queue``. The others: see ``Batch``."""
        with self._lock:
            self._queue(queue).append(Batch(names, copy, monotonic() + seconds, drop, call))
            self._wake()

    def remove(self, call):
        """Remove what ``call`` has added, if anything: it was interrupted, and its message goes back into Redis."""
        with self._lock:
            for queue, batches in list(self.batches.items()):
                for batch in [batch for batch in batches if batch.call == call]:
                    batches.remove(batch)
                if not batches:
                    del self.batches[queue]

    def put_back(self, queue, name, message, seconds):
        """Add a message that was taken, but not handed out, at the head of ``queue``."""
        with self._lock:
            self._queue(queue).appendleft(Batch([name], lambda: message, monotonic() + seconds, None))
            self._wake()

    def _queue(self, queue):
        return self.batches.setdefault(queue, collections.deque())

    @contextlib.contextmanager
    def watched_by(self, waiter):
        """In this context, ``waiter`` is woken when something is added."""
        with waiter:
            with self._lock:
                self._waiters.add(waiter)
            try:
                yield
            finally:
                with self._lock:
                    self._waiters.discard(waiter)

    def _wake(self):
        for waiter in self._waiters:
            waiter.wake()

    def holding(self, queues):
        """Return the set of those ``queues`` that have batches here."""
        with self._lock:
            return {queue for queue in queues if queue in self.batches} if self.batches else set()

    def take(self, queues):
        """Return (channel, message) from one of ``queues``, picked at random, or None."""
        unreadable = []
        with self._lock:
            here = [queue for queue in queues if queue in self.batches]
            random.shuffle(here)
            found = None
            while here and not found:
                found = self._take(here.pop(), unreadable)
        for batch, error in unreadable:
            batch.drop(len(batch.names), error)
        return found

    def _take(self, queue, unreadable):
        """Return (channel, message) from the head of ``queue``, or None; add (batch, error) to ``unreadable``."""
        batches, found = self.batches[queue], None
        while batches and not found:
            batch = batches[0]
            if batch.names and batch.deadline >= monotonic():  # an interrupt may have left one without names
                # The name is removed only after the message was made: an interrupt in between loses nothing.
                try:
                    message = batch.copy()
                    found = batch.names.popleft(), message
                except Unreadable as error:
                    unreadable.append((batch, error))
            if not found or not batch.names:
                batches.popleft()
        if not batches:
            del self.batches[queue]
        return found

    def clear(self):
        with self._lock:
            self.batches.clear()
