"""When a reader pauses because it may lack keys."""
from __future__ import unicode_literals

from ..server import times
from ..server.times import monotonic

#: After how many unreadable messages in a row a reader pauses.
LIMIT = 10


class KeyDoubts(object):
    """
    Counts the messages that a reader could not read because of its keys. After some in a row, it takes only one a
    second until one is good: other readers may have the right keys, and must get messages too.
    """

    def __init__(self):
        #: How many messages could not be read since the last good one.
        self.in_a_row = 0
        self._until = 0

    def add(self):
        self.in_a_row += 1
        self._until = monotonic() + times.WRONG_KEYS_PAUSE

    def pause(self):
        """Return how long the reader still pauses, in seconds."""
        return max(self._until - monotonic(), 0) if self.in_a_row >= LIMIT else 0
