"""Logs group messages that were dropped because their channels were full."""
from __future__ import unicode_literals

import collections
import logging
import threading

logger = logging.getLogger(__name__)

#: How often a channel is logged at most, in seconds.
INTERVAL = 1.0


class FullChannels(object):
    """Logs a channel's first dropped message at once, then once a second how many messages were dropped since then."""

    def __init__(self):
        self._lock = threading.Lock()
        self._dropped = collections.Counter()
        self._capacities = {}
        self._timer = None

    def add(self, dropped, capacities):
        """Add ``dropped``, {queue: how many messages}, and ``capacities``, {queue: how many it holds}."""
        with self._lock:
            self._dropped.update(dropped)
            self._capacities.update(capacities)
            waits = self._timer is not None
        if dropped and not waits:
            self._report()

    def _report(self):
        """Log the dropped messages, and again after the interval until no more are dropped."""
        with self._lock:
            dropped, self._dropped = self._dropped, collections.Counter()
            capacities, self._capacities = self._capacities, {}
            self._timer = threading.Timer(INTERVAL, self._report) if dropped else None
            if dropped:
                self._timer.daemon = True
                self._timer.start()
        # Not under the lock: a log handler may send to a group.
        for queue, number in sorted(dropped.items()):
            logger.warning(
                "Channel %s is full (capacity %s): dropped %d group messages in the last second. Its reader is too "
                "slow, or its capacity too small.", queue, capacities[queue], number, extra={"channel": queue},
            )

    def wait(self):
        """Return once everything is logged."""
        timer = self._timer
        while timer is not None:
            timer.join()
            timer = self._timer
