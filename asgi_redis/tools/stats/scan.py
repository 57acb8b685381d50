"""The names of channels and groups on a shard, by SCAN."""
from __future__ import unicode_literals

from ..internals import literal

#: How many keys the server looks at in one step, which takes it some 0.1 ms, and how many steps there are at most for
#: each pattern: a server with more keys is only sampled.
KEYS_AT_ONCE = 500
MOST_STEPS = 4000


class Names(object):
    """
    What is found on one shard. ``channels``, ``groups``: sets of texts. ``is_whole``: False if that is only a sample.

    ``client``: a redis-py client. ``layer``: says which names are legal. ``prefix``, ``stats_prefix``: with the shard's
    tag.
    """

    def __init__(self, client, layer, prefix, stats_prefix):
        self._client = client
        self.is_whole = True
        # A channel that was used in the last hour has a counter. There are far fewer of these than messages.
        counters = self._scan(stats_prefix, b"*:*_count")
        names = {name.rpartition(":")[0] for name in counters}
        self.channels = {name for name in names if layer.channel_name_regex.match(name)}
        self.groups = {name for name in self._scan(prefix + ":group:", b"*") if layer.group_name_regex.match(name)}

    def _scan(self, prefix, rest):
        """Return what follows ``prefix`` in the keys that match, a list of texts."""
        cursor, found = 0, []
        for _ in range(MOST_STEPS):
            cursor, keys = self._client.scan(cursor, literal(prefix.encode("utf-8")) + rest, KEYS_AT_ONCE)
            found += [key.decode("utf-8", "replace")[len(prefix):] for key in keys]
            if int(cursor) == 0:
                return found
        self.is_whole = False
        return found
