"""The log of messages that group sends could not deliver."""
from __future__ import unicode_literals

import collections
import logging
import os
import threading

logger = logging.getLogger(__name__)

#: Seconds between two lines about one channel.
INTERVAL = 1.0


class Losses(object):
    """
    Warns of losses: of the first at once, then once a second of what has come since, with channel and number.
    """

    def __init__(self):
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._lost = collections.Counter()
        self._timer = None

    def add(self, lost):
        """Add ``lost``, {queue: how many messages}."""
        if self._pid != os.getpid():
            self.__init__()  # the timer of the parent does not run here
        with self._lock:
            self._lost.update(lost)
            waits = self._timer is not None
        if not waits:
            self._report()

    def _report(self):
        """Log what has come, and again when the interval is over; until nothing has."""
        with self._lock:
            lost, self._lost = self._lost, collections.Counter()
            self._timer = threading.Timer(INTERVAL, self._report) if lost else None
            if lost:
                self._timer.start()
        # Not under the lock: a handler of the log may send to a group.
        for queue, number in sorted(lost.items()):
            logger.warning(
                "%d messages of group sends were lost on %s: it is full. Its reader is too slow, or its capacity too "
                "small.", number, queue,
            )
