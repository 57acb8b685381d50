"""What a layer has taken out of queues, or may still take, and nobody got: it is to be put back."""
from __future__ import unicode_literals

import os

from redis.exceptions import RedisError

from .waiting import Lost


class Unsettled(object):
    """
    ``add_message(shard, queue key, message key)``: popped, but neither read nor put back. ``add_pop(shard, pop)``: a
    blocking pop whose connection broke, perhaps with an answer; or that a server, which does not answer, may still
    bring to an end.

    Safe between threads; a forked process leaves all to its parent.
    """

    def __init__(self):
        self._pid = os.getpid()
        self._messages = set()
        self._pops = set()
        self._lost = set()

    def __bool__(self):
        return bool(self._messages or self._pops or self._lost) and self._pid == os.getpid()

    __nonzero__ = __bool__

    def add_message(self, shard, queue_key, message_key):
        self._own()
        self._messages.add((shard, queue_key, message_key))

    def add_pop(self, shard, pop):
        self._own()
        if pop.is_lost:
            self._lost.add((shard, tuple(pop.keys)))
        else:
            self._pops.add((shard, pop))

    def _own(self):
        if self._pid != os.getpid():
            self.__init__()

    def settle(self, shard, client, restore, reclaim):
        """
        Call ``restore(queue key, message key)`` and ``reclaim(queue keys)`` for everything on ``shard``, whose server
        ``client`` reaches now. An error of redis-py ends that; the rest is kept.
        """
        for entry in _of(shard, self._pops):
            self._pops.discard(entry)
            self._end(client, *entry)
        for entry in _of(shard, self._messages):
            restore(*entry[1:])
            self._messages.discard(entry)
        for entry in _of(shard, self._lost):
            reclaim(list(entry[1]))
            self._lost.discard(entry)

    def _end(self, client, shard, pop):
        answer = None
        try:
            answer = pop.cancel()
        except Lost:
            pass
        except RedisError:
            if pop.client is client:
                self.add_pop(shard, pop)
                raise
            pop.give_up()  # another server has taken over since
        if answer:
            self.add_message(shard, *answer)
        elif pop.is_lost:
            self.add_pop(shard, pop)


def _of(shard, entries):
    return [entry for entry in list(entries) if entry[0] == shard]
