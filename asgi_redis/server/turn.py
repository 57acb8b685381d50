"""What only one thread at a time may do."""
from __future__ import unicode_literals

import threading

from . import times


class Turn(object):
    """
    A lock that is not waited for, and that opens by itself after ``times.LONGEST_TURN``: if a signal handler raises an
    exception after ``begin`` and before the ``try`` whose ``finally`` has ``end``, there is no ``end``.
    """

    def __init__(self):
        #: Re-entrant: the thread that holds it may be interrupted by a signal handler that sends.
        self._lock = threading.RLock()
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
