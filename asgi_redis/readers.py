"""Who receives: names and numbers by which scripts/receive.lua and recover.lua find what was lost with an answer."""
from __future__ import unicode_literals

import collections
import contextlib
import itertools
import os


class Reader(object):
    """
    One that receives from one shard, one message at a time.

    ``name``: the end of its keys in Redis. ``number``: that of its last call. ``unanswered``: (number, queues) of a
    call whose answer has not come, or None.
    """

    __slots__ = ("name", "number", "unanswered")

    def __init__(self, name):
        self.name = name
        self.number = 0
        self.unanswered = None

    def next_number(self):
        self.number += 1
        return self.number


class Readers(object):
    """
    The readers of one layer in this process, for each shard as many as have ever been at work at once.

    The one that was at work last is the next, whatever thread asks: so it is soon found that an answer was lost.
    """

    def __init__(self, prefix):
        self._prefix = prefix
        self._count = itertools.count()
        self._free = collections.defaultdict(list)

    @contextlib.contextmanager
    def one(self, index):
        """A reader of shard ``index``, for the caller alone inside the ``with`` block."""
        free = self._free[os.getpid(), index]
        try:
            reader = free.pop()
        except IndexError:
            reader = Reader("%s.%d.%d" % (self._prefix, os.getpid(), next(self._count)))
        try:
            yield reader
        finally:
            free.append(reader)
