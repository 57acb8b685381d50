"""Everything that ``stats`` shows, read once."""
from __future__ import unicode_literals

import time

from redis.exceptions import RedisError

from asgi_redis import __version__

from ..internals import address_of
from .scan import Names

#: How many channels are asked about in one round trip.
CHANNELS_AT_ONCE = 200

COUNTERS = [("sent", "messages_count"), ("full", "channel_full_count"), ("dropped", "dropped_count")]


def collect(layer):
    """
    Return a dict of lists of dicts, for JSON: ``channels``, ``processes``, ``groups``, ``shards``; and ``release``,
    ``time``, ``is_whole`` (False if a server has so many keys that only some were looked at). Times are in seconds.
    """
    shards = [Shard(layer, index) for index in range(layer.ring_size)]
    available = [shard for shard in shards if shard.error is None]
    names = sorted(set().union(*[shard.names.channels for shard in available]))
    return {
        "release": __version__,
        "time": time.time(),
        "is_whole": all(shard.names.is_whole for shard in available),
        "channels": [of_channel(layer, name, available) for name in names],
        "groups": [{"group": group, "members": shard.members(group)} for shard in available
                   for group in sorted(shard.names.groups)],
        "processes": sorted(layer.processes().values(), key=lambda record: (record["host"], record["process"]))
        if available else [],
        "shards": [shard.as_data() for shard in shards],
    }


class Shard(object):
    """One shard: ``error``, a text, if it is unavailable; ``names``; ``figures``, {channel: figures}."""

    def __init__(self, layer, index):
        self._prefixes = [prefix + layer.tag(index) for prefix in (layer.prefix, layer.stats_prefix)]
        self._expiry = layer.expiry
        self.address, self.error, self.figures = "unknown", None, {}
        try:
            self._client = layer.connection(index)
            self.address = address_of(self._client)
            self.names = Names(self._client, *self._prefixes)
            channels = sorted(self.names.channels)
            for first in range(0, len(channels), CHANNELS_AT_ONCE):
                self._read(channels[first:first + CHANNELS_AT_ONCE])
        except RedisError as error:
            self.error = "%s" % error

    def _read(self, channels):
        prefix, stats_prefix = self._prefixes
        pipe = self._client.pipeline(transaction=False)
        for channel in channels:
            pipe.llen(prefix + channel)
            pipe.lindex(prefix + channel, 0)
            pipe.mget(["%s%s:%s" % (stats_prefix, channel, counter) for _, counter in COUNTERS])
        replies = pipe.execute()
        replies = list(zip(channels, replies[::3], replies[1::3], replies[2::3]))
        for _, _, oldest, _ in replies:
            pipe.pttl(oldest or prefix)
        for (channel, waiting, oldest, counts), left in zip(replies, pipe.execute()):
            figures = {name: int(count or 0) for (name, _), count in zip(COUNTERS, counts)}
            # A message lives for ``expiry`` from its send. One that has expired is still in the list.
            figures["oldest"] = max(self._expiry - max(left or 0, 0) / 1000.0, 0) if oldest else 0
            self.figures[channel] = dict(figures, waiting=waiting)

    def members(self, group):
        """Return how many members a group has."""
        return len(self._client.zrange("%s:group:%s" % (self._prefixes[0], group), 0, -1))

    def as_data(self):
        if self.error is not None:
            return {"address": self.address, "error": self.error}
        totals = {
            name: sum(figures[name] for figures in self.figures.values()) for name in ("sent", "waiting")
        }
        return dict(totals, address=self.address, groups=len(self.names.groups))


def of_channel(layer, name, shards):
    """Return the figures of one channel, over ``shards``."""
    parts = [shard.figures[name] for shard in shards if name in shard.figures]
    total = {key: sum(part[key] for part in parts) for key in ("sent", "full", "dropped", "waiting")}
    oldest = max(part["oldest"] for part in parts)
    return dict(total, channel=name, oldest=round(oldest, 1), capacity=layer.get_capacity(name))
