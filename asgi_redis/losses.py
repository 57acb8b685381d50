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
            if self._timer is None:
                self._report()

    def _report(self):
        for queue, number in sorted(self._lost.items()):
            logger.warning(
                "%d messages of group sends were lost on %s: it is full. Its reader is too slow, or its capacity too "
                "small.", number, queue,
            )
        self._timer = threading.Timer(INTERVAL, self._interval_over) if self._lost else None
        self._lost.clear()
        if self._timer is not None:
            self._timer.start()

    def _interval_over(self):
        with self._lock:
            self._report()
