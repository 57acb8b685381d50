"""Locks, and what only one thread at a time may do."""
from __future__ import unicode_literals

import threading
import time

import six
from six.moves import _thread

from . import times

#: How often a thread looks whether a lock of Python 2 is free, with pauses of 0.1 ms, before it takes it.
LOOKS = 10000


class Python2RLock(object):
    """
    A re-entrant lock for Python 2. That of ``threading`` is written in Python there: an exception of a signal handler
    between two of its lines leaves it locked for ever, and a handler that enters it there waits for ever.

    This one is left locked by its thread, which can lock it again; another thread takes it after a second or two. It
    must be held for no longer than a moment.
    """

    def __init__(self):
        #: {None: the thread that holds it}. Setting what is not set, and removing it, are one step each.
        self._held = {}
        self._depth = 0

    def acquire(self):
        me = _thread.get_ident()
        looks = 0
        while self._held.setdefault(None, me) != me:
            time.sleep(0.0001)
            looks += 1
            if looks == LOOKS:
                self._depth = 0
                self._held.clear()
        self._depth += 1

    def release(self):
        self._depth -= 1
        if self._depth == 0:
            self._held.clear()

    __enter__ = acquire

    def __exit__(self, *error):
        self.release()


#: A thread that an exception of a signal handler leaves it locked by can lock it again.
RLock = Python2RLock if six.PY2 else threading.RLock


class Turn(object):
    """
    A lock that is not waited for, and that opens by itself after ``times.LONGEST_TURN``: if a signal handler raises an
    exception after ``begin`` and before the ``try`` whose ``finally`` has ``end``, there is no ``end``.
    """

    def __init__(self):
        #: Re-entrant: the thread that holds it may be interrupted by a signal handler that sends.
        self._lock = RLock()
        self._until = float("-inf")

    def begin(self):
        """Return True if no other thread has begun. ``end`` must follow."""
        with self._lock:
            now = times.monotonic()
            # On Python 2 the clock may be set back.
            if 0 < self._until - now <= times.LONGEST_TURN:
                return False
            self._until = now + times.LONGEST_TURN
            return True

    def end(self):
        self._until = float("-inf")
