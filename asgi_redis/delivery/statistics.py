"""The specification's statistics and flush extensions."""
from __future__ import unicode_literals

import logging

from redis.exceptions import RedisError, ResponseError

from ..server import scripts
from ..server.clients import is_outage
from ..server.keys import (
    ALL_CHANNELS,
    CHANNEL_FULL_COUNT,
    DEFAULT_PREFIX,
    DEFAULT_STATS_PREFIX,
    DROPPED_COUNT,
    MESSAGES_COUNT,
    literal,
)
from ..server.shard import UnsupportedRedis
from .presence import records

logger = logging.getLogger(__name__)

#: How many keys a step of ``flush`` looks at: well under a millisecond of the server's time.
SCANNED_AT_ONCE = 1000

#: How many keys a step of ``flush`` examines and deletes: likewise.
DELETED_AT_ONCE = 100

#: The prefixes for which it was logged that counters may be shared.
_logged = set()


def log_if_shared(prefix, stats_prefix):
    """Log, once for each prefix, that other sites on the same Redis may have the same counters."""
    if prefix != DEFAULT_PREFIX and stats_prefix == DEFAULT_STATS_PREFIX and prefix not in _logged:
        _logged.add(prefix)
        # No warning: most sites have a Redis to themselves.
        logger.info(
            "The prefix of this layer is %r, but its stats_prefix is the default, %r. Sites on one Redis that have the "
            "same stats_prefix share their counters, and flush() of one resets those of the others. To give this site "
            "its own, set stats_prefix, for example to %r.", prefix, stats_prefix, prefix + "stats:",
        )


class Statistics(object):
    """Counts of messages, kept by the scripts that send and drop them. ``shards``: a ``Shards``."""

    def __init__(self, shards):
        self._shards = shards

    def all_channels(self):
        """Return (messages sent, messages refused) over all available shards."""
        found = self._from_each(lambda shard: [int(count or 0) for count in shard.do("MGET", *[
            shard.keys.counter(ALL_CHANNELS, counter) for counter in (MESSAGES_COUNT, CHANNEL_FULL_COUNT)
        ])])
        return [sum(counts) for counts in zip(*found)]

    def channel(self, queue):
        """Return (messages sent, refused, waiting, age of the oldest in seconds) over all available shards."""
        sent, refused, waiting, ages = zip(*self._from_each(lambda shard: shard.run(
            scripts.channel_statistics,
            [shard.keys.queue(queue), shard.keys.counter(queue, MESSAGES_COUNT),
             shard.keys.counter(queue, CHANNEL_FULL_COUNT)],
            [shard.keys.message_ms],
        )))
        # The age is negative if the sender's expiry is longer than this layer's.
        return sum(sent), sum(refused), sum(waiting), max(ages + (0,)) // 1000

    def dropped(self, queue=ALL_CHANNELS):
        """
        Return how many messages of a queue (default: of all channels) were dropped, because their readers could not
        read them, over all available shards.
        """
        return sum(self._from_each(
            lambda shard: int(shard.do("GET", shard.keys.counter(queue, DROPPED_COUNT)) or 0)
        ))

    def processes(self):
        """Return {name: record} of the processes that receive on an available shard."""
        found = {}
        for of_shard in self._from_each(records):
            found.update(of_shard)
        return found

    def _from_each(self, ask):
        """Return [``ask(shard)``, ...] of the available shards. redis-py's error if there are none."""
        found, missing = [], []
        for shard in self._shards.all():
            try:
                found.append(ask(shard))
            except RedisError as error:
                if not is_outage(error):
                    raise
                missing.append(error)
        if missing and not found:
            raise missing[0]
        return found


def flush(shards):
    """
    Delete all messages, groups and statistics, on all shards, before returning.

    It does so in small steps that do not block the servers. Keys of other applications stay, even if they begin with
    ``prefix`` or ``stats_prefix``, or if these are empty: flush.lua has the rules.
    """
    for shard in shards.all():
        for prefix in {shard.keys.prefix, shard.keys.stats_prefix}:
            for keys in scan(shard, prefix):
                delete_own(shard, keys)
        shard.forget_origin()


def scan(shard, prefix):
    """Yield all keys that begin with ``prefix``, in lists."""
    pattern = literal(prefix) + b"*"
    cursor = b"0"
    while True:
        try:
            cursor, keys = shard.do("SCAN", cursor, "MATCH", pattern, "COUNT", SCANNED_AT_ONCE)
        except ResponseError as error:
            if "unknown command" in str(error).lower():
                raise UnsupportedRedis("flush() needs SCAN: Redis 2.8 or newer.")
            raise
        yield keys
        if int(cursor) == 0:
            return


def delete_own(shard, keys):
    """Delete those of ``keys`` that are the layer's."""
    found = [(key, kind) for key in keys for kind in shard.keys.kinds(key)]
    for start in range(0, len(found), DELETED_AT_ONCE):
        keys, kinds = zip(*found[start:start + DELETED_AT_ONCE])
        shard.run(scripts.flush, list(keys), [shard.keys.prefix, shard.keys.message_ms] + list(kinds))
