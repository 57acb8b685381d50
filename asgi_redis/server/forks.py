"""Objects that a process does not share with its forked children."""
from __future__ import unicode_literals

import os


class PerProcess(object):
    """
    An object that each process has one of: a forked child makes its own at the first use.

    ``make()``: makes the object. ``leave(made)``: is called in the child, to let go of the parent's object.
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
            for other in list(self._made):
                self._leave(self._made[other])
            # If two threads get here at once, both use the object that was stored first.
            made = self._made.setdefault(process, self._make())
            for other in [other for other in self._made if other != process]:
                self._made.pop(other, None)
            return made
