"""What was sent and what has arrived."""
from __future__ import unicode_literals

import collections

from ..internals import monotonic


class Tally(object):
    """
    When each message of one kind was sent, how often it arrived, and how long its round trip took.

    - ``name``: the kind, for the report.
    - ``total``: how many messages the run sends.

    Messages are told apart by a key, which is whatever the caller takes.
    """

    def __init__(self, name, total):
        self.name = name
        self.total = total
        self.sent = {}
        self.arrivals = collections.Counter()
        self.round_trips = []
        self.last = None

    def arrive(self, key):
        """Record the arrival of message ``key``. Return True if it is the first."""
        self.last = monotonic()
        self.arrivals[key] += 1
        is_first = self.arrivals[key] == 1
        if is_first:
            self.round_trips.append(self.last - self.sent[key])
        return is_first

    @property
    def lost(self):
        return len(self.sent) - len(self.arrivals)

    @property
    def duplicated(self):
        return sum(self.arrivals.values()) - len(self.arrivals)

    @property
    def unsent(self):
        return self.total - len(self.sent)

    @property
    def rate(self):
        """Messages a second, from the first send to the last arrival; None if nothing has arrived."""
        if self.last is None:
            return None
        return len(self.arrivals) / max(self.last - min(self.sent.values()), 1e-6)

    def percentile(self, percent):
        """Return the round trip, in seconds, that ``percent`` % of the messages reach; None if nothing has arrived."""
        if not self.round_trips:
            return None
        return sorted(self.round_trips)[(len(self.round_trips) - 1) * percent // 100]
