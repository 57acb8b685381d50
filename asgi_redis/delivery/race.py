"""Blocking receives at the same time, of which one gets a message."""
from __future__ import unicode_literals

import sys
import threading

import six

from ..server.times import monotonic
from ..server.waiting import Waiter

#: How long a thread that waits may take to end, in seconds, before it is left to end by itself: its server may hang.
PATIENCE = 0.5


class Race(object):
    """
    Blocking receives at the same time, each in a thread. The message that is found first counts. Others are put back,
    in their threads, because a signal handler can only interrupt the main thread.

    ``receives``: a list of (``receive(channels, waiter)``, channels). ``put_back(channel, message)``: puts a message
    back. ``waiter``: a ``Waiter`` whose ``stop`` ends the race.
    """

    def __init__(self, receives, put_back, waiter):
        self._put_back = put_back
        self._waiter = waiter
        self._waiters = [Waiter() for _ in receives]
        self._threads = [
            threading.Thread(target=self._run, args=receive + (waiter,))
            for receive, waiter in zip(receives, self._waiters)
        ]
        self._lock = threading.Lock()
        self._found = self._error = None
        #: True once a receive has ended; True once a message that is found is late.
        self._is_over = self._is_closed = False

    def result(self, seconds):
        """
        Return the (channel, message) found first, or None after ``seconds``. If there is none, and a receive has
        failed, raise its error.
        """
        try:
            self._wait(monotonic() + seconds)
            found = self._close()
            self._join()
        except BaseException:
            found = self._close()
            if found:
                # In a thread, too: there may be a second interrupt.
                self._threads.append(threading.Thread(target=self._put_back, args=found))
                self._threads[-1].start()
            self._join()
            raise
        if self._error and not found:
            six.reraise(*self._error)
        return found

    def _wait(self, deadline):
        with self._waiter as waiter:
            for thread in self._threads:
                thread.daemon = True
                thread.start()
            while not (waiter.stopped or self._is_over) and monotonic() < deadline:
                waiter.sleep(max(deadline - monotonic(), 0))

    def _run(self, receive, channels, waiter):
        found = None
        try:
            found = receive(channels, waiter)
        except Exception:
            self._error = sys.exc_info()
        with self._lock:
            is_late = self._is_closed or self._found
            if not is_late:
                self._found = found
        if found and is_late:
            self._put_back(*found)
        self._is_over = True
        self._waiter.wake()

    def _close(self):
        """End all receives, and return the (channel, message) found first, or None. Any found after that is late."""
        for waiter in self._waiters:
            waiter.stop()
        with self._lock:
            self._is_closed = True
        return self._found

    def _join(self):
        for thread in self._threads:
            if thread.ident is not None:  # it was started
                thread.join(PATIENCE)
