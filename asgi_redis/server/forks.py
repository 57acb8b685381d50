"""Objects that a process does not share with its forked children."""
from __future__ import unicode_literals

import os


class PerProcess(object):
    """
    An object that each process has one of: a forked child makes its own at the first use.

    ``make()``: makes the object. ``leave(made)``: is called in the child, perhaps by several threads, to let go of the
    parent's object.
    """

    def __init__(self, make, leave):
        self._make = make
        self._leave = leave
        self._made = {}

    def get(self):
        process = os.getpid()
        try:
            return self._made[process]
        except KeyError:
            return self._first(process)

    def _first(self, process):
        """Leave the objects of other processes, and return this one's. Several threads may get here at once."""
        for other in list(self._made):
            made = self._made.get(other)
            if other != process and made is not None:
                self._leave(made)
                self._made.pop(other, None)
        # All threads use the object that was stored first.
        return self._made.setdefault(process, self._make())
