"""The specification's statistics and flush extensions."""
from __future__ import unicode_literals

import re

from redis.exceptions import ResponseError

from . import scripts
from .scripts import UnsupportedRedis

#: How many keys a step of ``flush`` looks at: well under a millisecond of the server's time.
SCANNED_AT_ONCE = 1000


class Statistics(object):
    """Counts of messages, kept by the scripts that send them, and the end of all messages, ``flush``."""

    STAT_MESSAGES_COUNT = "messages_count"
    STAT_MESSAGES_PENDING = "messages_pending"
    STAT_MESSAGES_MAX_AGE = "messages_max_age"
    STAT_CHANNEL_FULL = "channel_full_count"

    #: Stands for a channel's name in the keys of the counters of all channels; it is no legal name.
    ALL_CHANNELS = "#global#"

    #: Seconds that a counter lives after it has changed.
    channel_statistics_expiry = 3600
    global_statistics_expiry = 86400

    def global_statistics(self):
        """
        What went through in the last day, on all shards: a dict of ``messages_count`` (sent) and
        ``channel_full_count`` (sends that found the channel full).
        """
        counters = (self.STAT_MESSAGES_COUNT, self.STAT_CHANNEL_FULL)
        totals = dict.fromkeys(counters, 0)
        for index in range(self.ring_size):
            keys = [self._counter_key(index, self.ALL_CHANNELS, counter) for counter in counters]
            for counter, value in zip(counters, self._call(index, "MGET", *keys)):
                totals[counter] += int(value or 0)
        return totals

    def channel_statistics(self, channel):
        """
        What went through one channel, on all shards: a dict of ``messages_count`` and ``channel_full_count`` as in
        ``global_statistics``, ``messages_pending`` (now in the queue) and ``messages_max_age`` (seconds that the oldest
        of them has waited). For a process-specific channel: of all channels of that process.
        """
        self.valid_channel_name(channel)
        queue = self.non_local_name(channel)
        shards = [self._channel_statistics(index, queue) for index in range(self.ring_size)]
        sent, full, pending, ages = zip(*shards)
        return {
            self.STAT_MESSAGES_COUNT: sum(sent),
            self.STAT_CHANNEL_FULL: sum(full),
            self.STAT_MESSAGES_PENDING: sum(pending),
            self.STAT_MESSAGES_MAX_AGE: max(ages) // 1000,
        }

    def _channel_statistics(self, index, queue):
        keys = [
            self._key(index, queue),
            self._counter_key(index, queue, self.STAT_MESSAGES_COUNT),
            self._counter_key(index, queue, self.STAT_CHANNEL_FULL),
        ]
        return self._run(index, scripts.channel_statistics, keys, [self._message_ms])

    def flush(self):
        """
        Delete all messages, groups and statistics of this layer, on all shards, before it returns.

        Every key that begins with ``prefix`` or ``stats_prefix`` goes, in small steps that do not hold the server; and
        what this process has in memory.
        """
        self._inbox.clear()
        for index in range(self.ring_size):
            for prefix in (self._key(index, ""), self._stats_key(index, "")):
                self._delete_keys(index, prefix)

    def _delete_keys(self, index, prefix):
        pattern = re.sub(r"([*?\[\]\\])", r"\\\1", prefix) + "*"
        cursor = b"0"
        while True:
            cursor, keys = self._scan(index, cursor, pattern)
            if keys:
                self._call(index, "DEL", *keys)
            if int(cursor) == 0:
                return

    def _scan(self, index, cursor, pattern):
        try:
            return self._call(index, "SCAN", cursor, "MATCH", pattern, "COUNT", SCANNED_AT_ONCE)
        except ResponseError as error:
            if "unknown command" in str(error).lower():
                raise UnsupportedRedis("flush() needs SCAN: Redis 2.8 or newer.")
            raise
