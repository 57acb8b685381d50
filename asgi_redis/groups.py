"""The specification's groups extension."""
from __future__ import unicode_literals

import collections
import itertools
import logging
import math
import time

from redis.exceptions import RedisError

from . import scripts
from .shards import SENDER_MS

logger = logging.getLogger(__name__)

#: One run of the group script writes at most so many entries, and about so many bytes, so that it never holds the
#: server for more than a few milliseconds.
ENTRIES_AT_ONCE = 250
BYTES_AT_ONCE = 4 * 1024 * 1024


class Entry(object):
    """
    A body on its way to one queue.

    ``members``: the channels that it is for; more than one make it a batch. ``index``, ``capacity``: the shard that it
    is tried on next, and what the queue may hold there; ``others``: such pairs to try after that.
    """

    __slots__ = ("queue", "members", "body", "index", "capacity", "others")

    def __init__(self, queue, members, body, places):
        self.queue = queue
        self.members = members
        self.body = body
        (self.index, self.capacity), self.others = places[0], places[1:]

    def kind(self):
        """What entries that lie side by side in the script's arguments have in common."""
        return self.index, id(self.body), self.capacity


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
        self._insist(index, scripts.group_add, [key], [repr(time.time()), channel, int(math.ceil(self.group_expiry))])

    def group_discard(self, group, channel):
        """Take ``channel`` out of ``group``; nothing happens where it is no member."""
        index, key = self._group_shard(group)
        self.valid_channel_name(channel)
        self._insist(index, scripts.group_discard, [key], [channel])

    def group_channels(self, group):
        """The names of the group's members, a list, the longest member first."""
        index, key = self._group_shard(group)
        members = self._insist(index, scripts.group_members, [key], [repr(time.time() - self.group_expiry)])
        return [member.decode("utf-8") for member in members]

    def send_group(self, group, message):
        """
        Send ``message``, a dict, to all members of ``group`` whose channels are not full.

        Never raises ``ChannelFull``: what finds no place is counted, and logged once a second. Otherwise as ``send``;
        ``max_message_size`` is for the message without the names of its channels.
        """
        self.valid_group_name(group)
        self._check_message(message)
        entries, lost = self._entries(group, message), []
        while entries:
            full, unannounced = [], []
            for index, on_shard in self._by_shard(entries):
                for chunk in chunks(on_shard):
                    self._send_entries(index, chunk, full, unannounced)
            lost += [entry for entry in full if not entry.others]
            entries = [self._on_next_shard(entry) for entry in full if entry.others]
            entries += [
                self._entry(entry.queue, [member], message) for entry in unannounced for member in entry.members
            ]
        self._lose(lost)

    def _entries(self, group, message):
        """An entry for each member of ``group``, or for all of one process. Those with the same body share it."""
        members = self.group_channels(group)
        shared = self._body(message, "the group " + group)
        self._check_size(shared, "the group " + group)
        processes, entries = collections.OrderedDict(), []
        for member in members:
            if "!" in member:
                processes.setdefault(self.non_local_name(member), []).append(member)
            else:
                entries.append(Entry(member, [member], shared, self._places(member)))
        return entries + [self._entry(queue, names, message) for queue, names in processes.items()]

    def _entry(self, queue, members, message):
        names = members if len(members) > 1 else members[0]
        return Entry(queue, members, self._body(message, queue, names), self._places(queue))

    def _on_next_shard(self, entry):
        entry.index, entry.capacity = entry.others.pop(0)
        return entry

    def _by_shard(self, entries):
        """(shard, its entries), those of a kind side by side."""
        return itertools.groupby(sorted(entries, key=Entry.kind), key=lambda entry: entry.index)

    def _send_entries(self, index, entries, full, unannounced):
        """Put ``entries`` in their queues on one shard. Adds those that could not be put to ``full, unannounced``."""
        counter = self.STAT_MESSAGES_COUNT
        singles = [entry for entry in entries if len(entry.members) == 1]
        batches = [entry for entry in entries if len(entry.members) > 1]
        keys = [self._counter_key(index, self.ALL_CHANNELS, counter), self._sender_key(index)]
        for entry, message_key in zip(singles + batches, self._message_keys(index, len(entries))):
            queue_key = self._key(index, entry.queue)
            keys += [queue_key, message_key, self._counter_key(index, entry.queue, counter)]
            keys.append(self._notes_key(index, queue_key))
            if len(entry.members) > 1:
                keys.append(self._announcement_key(index, entry.queue))
        answer = self._insist(index, scripts.send_group, keys, self._arguments(singles, batches))
        full += [singles[place - 1] for place in answer[0]] + [batches[place - 1] for place in answer[1]]
        unannounced += [batches[place - 1] for place in answer[2]]

    def _arguments(self, singles, batches):
        """The arguments of the group script."""
        bodies, runs = [], []
        for _, run in itertools.groupby(singles, key=Entry.kind):
            run = list(run)
            if not bodies or bodies[-1] is not run[0].body:
                bodies.append(run[0].body)
            runs += [len(run), run[0].capacity, len(bodies)]
        for batch in batches:
            bodies.append(batch.body)
            runs += [len(batch.members), batch.capacity, len(bodies)]
        return [
            self._message_ms, self._queue_ms, self.channel_statistics_expiry, self.global_statistics_expiry,
            SENDER_MS, next(self._sent), len(runs) // 3 - len(batches), len(batches),
        ] + runs + bodies

    def _lose(self, entries):
        """Count and log the messages that found no place, a queue at a time."""
        for index, on_shard in self._by_shard(entries):
            lost = collections.Counter()
            for entry in on_shard:
                lost[entry.queue] += len(entry.members)
            self._losses.add(lost)
            keys = [
                self._counter_key(index, queue, self.STAT_CHANNEL_FULL) for queue in [self.ALL_CHANNELS] + list(lost)
            ]
            args = [self.channel_statistics_expiry, self.global_statistics_expiry] + list(lost.values())
            try:
                self._run(index, scripts.count_full, keys, args)
            except RedisError as error:
                logger.warning("Could not count lost messages: %s", error)  # what could be sent was
