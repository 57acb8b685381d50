"""What a process does not share with those that it is forked from, or forks."""
from __future__ import unicode_literals

import os


class PerProcess(object):
    """
    An object of which each process has its own: a forked child makes another one at its first use.

    ``make()``: makes it. ``leave(made)``: takes leave of the parent's, in the child.
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
            # Of two threads that come here at once, both get the object of one.
            made = self._made.setdefault(process, self._make())
            for other in [other for other in self._made if other != process]:
                self._made.pop(other, None)
            return made
