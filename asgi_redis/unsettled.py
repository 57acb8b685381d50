"""What a layer has taken out of queues, or may still take, and nobody got: it is to be put back."""
from __future__ import unicode_literals

import os

from redis.exceptions import RedisError

from .waiting import Lost


class Unsettled(object):
    """
    ``add_message(shard, queue key, message key)``: popped, but neither read nor put back. ``add_pop(shard, pop)``: a
    blocking pop that a server, which did not answer, may still have brought to an end when it answers again.

    Safe between threads; a forked process leaves all to its parent.
    """

    def __init__(self):
        self._pid = os.getpid()
        self._messages = set()
        self._pops = set()

    def __bool__(self):
        return bool(self._messages or self._pops) and self._pid == os.getpid()

    __nonzero__ = __bool__

    def add_message(self, shard, queue_key, message_key):
        self._own()
        self._messages.add((shard, queue_key, message_key))

    def add_pop(self, shard, pop):
        self._own()
        self._pops.add((shard, pop))

    def _own(self):
        if self._pid != os.getpid():
            self.__init__()

    def settle(self, shard, client, restore):
        """
        Call ``restore(queue key, message key)`` for everything on ``shard``, whose server ``client`` reaches now. An
        error of redis-py ends that; the rest is kept.
        """
        for entry in _of(shard, self._pops):
            self._pops.discard(entry)
            self._end(client, *entry)
        for entry in _of(shard, self._messages):
            restore(*entry[1:])
            self._messages.discard(entry)

    def _end(self, client, shard, pop):
        try:
            answer = pop.cancel()
        except Lost:
            return  # its connection is broken
        except RedisError:
            if pop.client is client:
                self.add_pop(shard, pop)
                raise
            return pop.close()  # another server has taken over since
        if answer:
            self.add_message(shard, *answer)


def _of(shard, entries):
    return [entry for entry in list(entries) if entry[0] == shard]
