"""The specification's groups extension."""
from __future__ import unicode_literals

import collections
import itertools
import math
import time

from . import scripts

#: One run of a group script writes at most so many entries, and about so many bytes, so that it never holds the
#: server for more than a few milliseconds.
ENTRIES_AT_ONCE = 500
BYTES_AT_ONCE = 4 * 1024 * 1024


class Entry(object):
    """A body on its way to one queue: ``index`` is the shard it is tried on next, ``others`` come after that."""

    __slots__ = ("queue", "body", "index", "others")

    def __init__(self, queue, body, shards):
        self.queue = queue
        self.body = body
        self.index, self.others = shards[0], shards[1:]


def chunks(entries):
    """``entries``, in lists that are bounded in number and bytes."""
    chunk, size = [], 0
    for entry in entries:
        if chunk and (len(chunk) == ENTRIES_AT_ONCE or size + len(entry.body) > BYTES_AT_ONCE):
            yield chunk
            chunk, size = [], 0
        chunk.append(entry)
        size += len(entry.body)
    if chunk:
        yield chunk


class Groups(object):
    """Groups: named sets of channels, a sorted set each in Redis, scored by the time of joining."""

    def _group_shard(self, group):
        """(shard, key) of a group."""
        self.valid_group_name(group)
        index = self.consistent_hash(group)
        return index, self._key(index, ":group:" + group)

    def group_add(self, group, channel):
        """Make ``channel`` a member of ``group`` for ``group_expiry`` seconds from now."""
        index, key = self._group_shard(group)
        self.valid_channel_name(channel)
        self._run(index, scripts.group_add, [key], [repr(time.time()), channel, int(math.ceil(self.group_expiry))])

    def group_discard(self, group, channel):
        """Take ``channel`` out of ``group``; nothing happens where it is no member."""
        index, key = self._group_shard(group)
        self.valid_channel_name(channel)
        self._call(index, "ZREM", key, channel)

    def group_channels(self, group):
        """The names of the group's members, a list, the longest member first."""
        index, key = self._group_shard(group)
        members = self._run(index, scripts.group_members, [key], [repr(time.time() - self.group_expiry)])
        return [member.decode("utf-8") for member in members]

    def send_group(self, group, message):
        """
        Send ``message``, a dict, to all members of ``group`` whose channels are not full.

        Never raises ``ChannelFull``; otherwise as ``send``.
        """
        self.valid_group_name(group)
        self._check_message(message)
        entries = self._entries(group, message)
        while entries:
            full = []
            for index, on_shard in self._by_shard(entries):
                for chunk in chunks(on_shard):
                    full += self._send_entries(index, chunk)
            self._count_full([entry for entry in full if not entry.others])
            # A normal channel may have a place on another shard.
            entries = [entry for entry in full if entry.others]
            for entry in entries:
                entry.index = entry.others.pop(0)

    def _entries(self, group, message):
        """An entry for each member of ``group``. Those whose bodies are the same share one."""
        members = self.group_channels(group)
        shared = self._body("the group " + group, message)
        return [
            Entry(queue, self._body(member, message) if "!" in member else shared, self._shards(queue))
            for member, queue in ((member, self.non_local_name(member)) for member in members)
        ]

    def _by_shard(self, entries):
        """(shard, its entries), those that share a body and a capacity side by side."""
        def place(entry):
            return entry.index, id(entry.body), self._share(entry.queue, entry.index)

        return itertools.groupby(sorted(entries, key=place), key=lambda entry: entry.index)

    def _send_entries(self, index, entries):
        """Put ``entries`` in their queues on one shard. Returns those whose queue is full."""
        counter = self.STAT_MESSAGES_COUNT
        keys = [self._counter_key(index, self.ALL_CHANNELS, counter)]
        for entry, message_key in zip(entries, self._message_keys(index, len(entries))):
            keys += [self._key(index, entry.queue), message_key, self._counter_key(index, entry.queue, counter)]
        runs, bodies = [], []
        for (_, capacity), run in itertools.groupby(
            entries, key=lambda entry: (id(entry.body), self._share(entry.queue, index))
        ):
            run = list(run)
            if not bodies or bodies[-1] is not run[0].body:
                bodies.append(run[0].body)
            runs += [len(run), capacity, len(bodies)]
        args = [
            self._message_ms, self._queue_ms, self.channel_statistics_expiry, self.global_statistics_expiry,
            len(runs) // 3,
        ]
        full = self._run(index, scripts.send_group, keys, args + runs + bodies)
        return [entries[place - 1] for place in full]

    def _count_full(self, entries):
        """Count the messages that found no place, a queue at a time."""
        for index, on_shard in self._by_shard(entries):
            queues = collections.Counter(entry.queue for entry in on_shard)
            keys = [
                self._counter_key(index, queue, self.STAT_CHANNEL_FULL) for queue in [self.ALL_CHANNELS] + list(queues)
            ]
            args = [self.channel_statistics_expiry, self.global_statistics_expiry] + list(queues.values())
            self._run(index, scripts.count_full, keys, args)
