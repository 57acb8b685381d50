"""Which shards are out of reach, since when, and when to try them again."""
from __future__ import unicode_literals

import logging
import os
import random
import threading

from .waiting import monotonic

logger = logging.getLogger(__name__)

#: Seconds between two tries: none before the first, then doubling from the shortest to the longest.
SHORTEST_PAUSE = 0.05
LONGEST_PAUSE = 1.0

#: Seconds that a server may take to answer the first try; doubling up to the last.
SHORTEST_PATIENCE = 0.25
LONGEST_PATIENCE = 2.0

#: Seconds without any try, after which the time that an outage may last begins anew.
FORGOTTEN_AFTER = 10


class Outage(object):
    """
    One shard out of reach. ``since``: its beginning; ``last``: the last try's end; ``next_try``: the next; by
    ``monotonic``. ``patience``: seconds that the server may take to answer.
    """

    __slots__ = ("since", "last", "next_try", "pause", "patience")

    def __init__(self):
        self.since = self.last = self.next_try = monotonic()
        self.pause = SHORTEST_PAUSE
        self.patience = SHORTEST_PATIENCE

    def failed_again(self):
        self.last = monotonic()
        self.next_try = self.last + self.pause * random.uniform(0.5, 1)
        self.pause = min(self.pause * 2, LONGEST_PAUSE)
        self.patience = min(self.patience * 2, LONGEST_PATIENCE)

    def before_next_try(self):
        """Seconds to the next try. On Python 2 the clock may be set back meanwhile."""
        if monotonic() - self.last > FORGOTTEN_AFTER:
            self.since = self.last = monotonic()
        return min(max(self.next_try - monotonic(), 0), LONGEST_PAUSE)


class Outages(object):
    """
    The outages of one layer, shared by its threads. Logs a WARNING when one begins, an INFO when it is over.

    ``timeout``: seconds after which the error is raised. A shard is named by anything that can be logged.
    """

    def __init__(self, timeout):
        self.timeout = timeout
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._outages = {}

    def _own(self):
        # A lock that another thread held at the time of the fork is never released in the child.
        if self._pid != os.getpid():
            self.__init__(self.timeout)
        return self._lock

    def begin(self, shard, error):
        """Note that ``error`` came from ``shard``; raise it where the shard has been away for too long."""
        with self._own():
            outage = self._outages.get(shard)
            if outage is None:
                self._outages[shard] = Outage()
            else:
                outage.failed_again()
        if outage is None:
            logger.warning("Shard %s is out of reach, trying again for %g s: %s", shard, self.timeout, error)
        elif outage.last - outage.since >= self.timeout:
            raise error

    def end(self, shard):
        """Note that ``shard`` has answered."""
        if shard in self._outages:
            with self._own():
                outage = self._outages.pop(shard, None)
            if outage is not None:
                logger.info("Shard %s is back after %.1f s.", shard, monotonic() - outage.since)

    def is_away(self, shard):
        return shard in self._outages

    def pause(self, shard):
        """Seconds until ``shard`` is to be tried again; 0 where it is not away, or is due."""
        outage = self._outages.get(shard)
        return outage.before_next_try() if outage else 0

    def patience(self, shard):
        """Seconds that a try may take; None where the shard is not away."""
        outage = self._outages.get(shard)
        return outage.patience if outage else None
