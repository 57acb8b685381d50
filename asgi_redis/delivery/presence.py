"""Presence: a small record in Redis of each process that receives, for the command line."""
from __future__ import unicode_literals

import json
import os
import platform
import socket
import time

import redis
from redis.exceptions import RedisError

from ..server import scripts, times
from ..server.keys import random_name

#: How often a process renews its record, and how long the record lives after that, in seconds.
EVERY = 30
LIFE = 90

#: How many channels a record names.
MOST_CHANNELS = 50


class Presence(object):
    """
    Writes the record of this process to each shard that it receives on, twice a minute.

    ``about()``: returns a dict that the record holds besides what is found out here, for example the release.
    """

    def __init__(self, about):
        self._name = random_name()
        self._about = about
        self._since = time.time()
        #: When the next record is due, by ``times.monotonic``.
        self.due_at = 0
        #: How many threads have waited on one shard at once.
        self._waits = 1

    def waits(self, count):
        """Record, at the next receive, that ``count`` threads wait on one shard, if that is more than ever before."""
        if count > self._waits:
            self._waits, self.due_at = count, 0

    def show(self, plan):
        """Check that the available shards of ``plan``, a ``Plan``, still have their data. Write the record to each."""
        self.due_at = times.monotonic() + EVERY
        self._try(plan, lambda shard: shard.check_origin())
        record = self._record(plan.channels)
        self._try(plan, lambda shard: shard.run(
            scripts.presence, [shard.keys.presences, shard.keys.presence(self._name)],
            [self._name, int(time.time()), record, LIFE],
        ))

    def _try(self, plan, act):
        for shard in plan.shards:
            if shard.breaker.error is None:
                try:
                    act(shard)
                except RedisError:
                    pass  # the receive goes on without it

    def _record(self, channels):
        found = dict(self._about(), host=socket.gethostname(), process=os.getpid(), waits=self._waits)
        found.update(python=platform.python_version(), redis_py=redis.__version__)
        found.update(since=int(self._since), seen=int(time.time()), channels=sorted(channels)[:MOST_CHANNELS])
        return json.dumps(found, sort_keys=True)


def records(shard):
    """Return {name: record} of the processes that receive on ``shard``. redis-py's errors."""
    names = [name.decode("ascii") for name in shard.do("ZRANGE", shard.keys.presences, 0, -1)]
    bodies = shard.do("MGET", *[shard.keys.presence(name) for name in names]) if names else []
    return {name: json.loads(body.decode("utf-8")) for name, body in zip(names, bodies) if body}
