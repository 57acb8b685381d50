"""Which shards are out of reach, since when, and when to try them again."""
from __future__ import unicode_literals

import logging
import random
import threading

from .waiting import monotonic

logger = logging.getLogger(__name__)

#: Seconds between two tries: none before the first, then doubling from the shortest to the longest.
SHORTEST_PAUSE = 0.05
LONGEST_PAUSE = 1.0

#: Seconds without any try, after which an outage that is noted is over, or another one.
FORGOTTEN_AFTER = 10


class Outage(object):
    """
    One shard out of reach. ``since``: its beginning; ``last``: the last try; ``next_try``: the next; by ``monotonic``.
    """

    __slots__ = ("since", "last", "next_try", "pause")

    def __init__(self):
        self.since = self.last = self.next_try = monotonic()
        self.pause = SHORTEST_PAUSE

    def failed_again(self):
        self.last = monotonic()
        self.next_try = self.last + self.pause * random.uniform(0.5, 1)
        self.pause = min(self.pause * 2, LONGEST_PAUSE)


class Outages(object):
    """
    The outages of one layer, shared by its threads. Logs a WARNING when one begins, an INFO when it is over.

    ``timeout``: seconds after which the error is raised.
    """

    def __init__(self, timeout):
        self.timeout = timeout
        self._lock = threading.Lock()
        self._outages = {}

    def begin(self, index, error):
        """Note that ``error`` came from shard ``index``; raise it where the shard has been away for too long."""
        with self._lock:
            outage = self._outages.get(index)
            if outage is None or monotonic() - outage.last > FORGOTTEN_AFTER:
                self._outages[index] = Outage()
                logger.warning("Shard %d is out of reach, trying again for %g s: %s", index, self.timeout, error)
                return
            outage.failed_again()
            if outage.last - outage.since < self.timeout:
                return
            del self._outages[index]
        raise error

    def end(self, index):
        """Note that shard ``index`` has answered."""
        if index in self._outages:
            with self._lock:
                outage = self._outages.pop(index, None)
            if outage is not None:
                logger.info("Shard %d is back after %.1f s.", index, monotonic() - outage.since)

    def is_away(self, index):
        return index in self._outages

    def pause(self, index):
        """Seconds until shard ``index`` is to be tried again; 0 where it is not away, or is due."""
        outage = self._outages.get(index)
        return max(outage.next_try - monotonic(), 0) if outage else 0
