"""Everything that ``stats`` shows, read once."""
from __future__ import unicode_literals

import time

from redis.exceptions import RedisError

from asgi_redis import __version__

from ..internals import address_of, client_of, with_address
from ..records import records
from .scan import Names

#: How many channels or groups are asked about in one round trip.
NAMES_AT_ONCE = 200

COUNTERS = [("sent", "messages_count"), ("full", "channel_full_count"), ("dropped", "dropped_count")]


def collect(layer):
    """
    Return a dict of lists of dicts, for JSON: ``channels``, ``processes``, ``groups``, ``shards``; and ``release``,
    ``time``, ``is_whole`` (False if a server has so many keys that only some were looked at). Times are in seconds.
    """
    shards = [Shard(layer, index) for index in range(layer.ring_size)]
    available = [shard for shard in shards if shard.error is None]
    names = sorted(set().union(*[shard.figures for shard in available]))
    return {
        "release": __version__,
        "time": time.time(),
        "is_whole": all(shard.is_whole for shard in available),
        "channels": [of_channel(layer, name, available) for name in names],
        "groups": [{"group": group, "members": shard.members[group]} for shard in available
                   for group in sorted(shard.members)],
        "processes": processes(available),
        "shards": [shard.as_data() for shard in shards],
    }


def processes(shards):
    """Return the records of processes on any of ``shards``, in order."""
    found = {name: record for shard in shards for name, record in shard.records.items()}
    return sorted(found.values(), key=lambda record: (record["host"], record["process"]))


class Shard(object):
    """
    One shard: ``error``, a text, if it can't be read; ``figures``, {channel: figures}; ``members``, {group: how many};
    ``records``, {name: record} of the processes that wait there.
    """

    def __init__(self, layer, index):
        self._prefix, self._stats_prefix = [prefix + layer.tag(index) for prefix in (layer.prefix, layer.stats_prefix)]
        self.address, self.error, self.figures, self.members, self.records = "unknown", None, {}, {}, {}
        try:
            self._client = client_of(layer, index)
        except RedisError as error:  # a Redis Cluster without an available node
            self.error = "%s" % error
            return
        self.address = address_of(self._client)
        try:
            self._read(layer)
        except RedisError as error:
            self.error = "%s" % with_address(error, self._client)

    def _read(self, layer):
        names = Names(self._client, layer, self._prefix, self._stats_prefix)
        self.is_whole = names.is_whole
        for channels in parts(names.channels):
            self._read_channels(channels, layer.expiry)
        for groups in parts(names.groups):
            self._read_groups(groups, time.time() - layer.group_expiry)
        self.records = records(self._client, self._prefix)

    def _read_channels(self, channels, expiry):
        pipe = self._client.pipeline(transaction=False)
        for channel in channels:
            pipe.llen(self._prefix + channel)
            pipe.lindex(self._prefix + channel, 0)
            pipe.mget(["%s%s:%s" % (self._stats_prefix, channel, counter) for _, counter in COUNTERS])
        replies = pipe.execute()
        replies = list(zip(channels, replies[::3], replies[1::3], replies[2::3]))
        for _, _, oldest, _ in replies:
            pipe.pttl(oldest or self._prefix)
        for (channel, waiting, oldest, counts), left in zip(replies, pipe.execute()):
            figures = {name: int(count or 0) for (name, _), count in zip(COUNTERS, counts)}
            # A message lives for ``expiry`` from its send. One that has expired is still in the list. Releases of
            # redis-py differ in what they return for its life.
            figures["oldest"] = max(expiry - max(left or 0, 0) / 1000.0, 0) if oldest else 0
            self.figures[channel] = dict(figures, waiting=waiting)

    def _read_groups(self, groups, since):
        pipe = self._client.pipeline(transaction=False)
        for group in groups:
            # Members that joined earlier have expired, but are only removed when the group is used.
            pipe.zcount("%s:group:%s" % (self._prefix, group), since, "+inf")
        self.members.update(zip(groups, pipe.execute()))

    def as_data(self):
        if self.error is not None:
            return {"address": self.address, "error": self.error}
        totals = {
            name: sum(figures[name] for figures in self.figures.values()) for name in ("sent", "waiting")
        }
        return dict(totals, address=self.address, groups=len(self.members))


def parts(names):
    """Return ``names`` in lists of at most NAMES_AT_ONCE."""
    names = sorted(names)
    return [names[first:first + NAMES_AT_ONCE] for first in range(0, len(names), NAMES_AT_ONCE)]


def of_channel(layer, name, shards):
    """Return the figures of one channel, over ``shards``."""
    parts = [shard.figures[name] for shard in shards if name in shard.figures]
    total = {key: sum(part[key] for part in parts) for key in ("sent", "full", "dropped", "waiting")}
    oldest = max(part["oldest"] for part in parts)
    return dict(total, channel=name, oldest=round(oldest, 1), capacity=layer.get_capacity(name))
