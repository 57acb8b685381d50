"""The specification's groups extension."""
from __future__ import unicode_literals

import collections
import functools
import itertools
import math
import time

from redis.exceptions import RedisError

from ..server import resp, scripts, times
from ..server.clients import is_outage
from ..server.keys import ALL_CHANNELS, CHANNEL_FULL_COUNT, MESSAGES_COUNT
from ..server.session import digits
from .losses import dropped_group_messages

#: One run of the group script writes at most this many entries, and about this many bytes, so that it never holds the
#: server for more than a few milliseconds.
ENTRIES_AT_ONCE = 250
BYTES_AT_ONCE = 4 * 1024 * 1024

#: For how many groups the members are kept by process.
KNOWN_GROUPS = 100


class Members(object):
    """
    The members of a group, as they are kept between sends, because mostly they stay the same.

    ``packed``: as the script lists them. ``normal``: the normal and single-reader channels. ``processes``: {queue: its
    process-specific channels}.
    """

    __slots__ = ("packed", "normal", "processes", "renew_at")

    def __init__(self, packed):
        self.packed = packed
        self.normal, self.processes = by_process(split(packed))
        #: When the lives of the channels' counters are renewed, by ``times.monotonic``.
        self.renew_at = 0

    def renews(self):
        """Return True if this send renews the lives of the counters."""
        now = times.monotonic()
        if now < self.renew_at:
            return False
        self.renew_at = now + times.RENEW_COUNTERS
        return True


class Entry(object):
    """
    A body on its way to one queue.

    ``members``: the channels that it is for; if there are several, it is a batch. ``shard``, ``capacity``: the shard
    that is tried next, and how many messages the queue may hold there; ``others``: more such pairs, to try after that.
    """

    __slots__ = ("queue", "members", "body", "shard", "capacity", "others")

    def __init__(self, queue, members, body, places):
        self.queue = queue
        self.members = members
        self.body = body
        (self.shard, self.capacity), self.others = places[0], places[1:]

    def run(self):
        """Return a sort key; neighbours that have the same one form a run in the script's arguments."""
        return self.shard.number, id(self.body), self.capacity

    def goes_on(self):
        """Turn to the next shard. Return False if there is none."""
        if not self.others:
            return False
        (self.shard, self.capacity), self.others = self.others[0], self.others[1:]
        return True


def chunks(entries):
    """Yield ``entries`` in lists that are limited in number and bytes."""
    chunk, size, bodies = [], 0, set()
    for entry in entries:
        added = len(entry.body) if id(entry.body) not in bodies else 0
        if chunk and (len(chunk) == ENTRIES_AT_ONCE or size + added > BYTES_AT_ONCE):
            yield chunk
            chunk, size, bodies = [], 0, set()
            added = len(entry.body)
        chunk.append(entry)
        bodies.add(id(entry.body))
        size += added
    if chunk:
        yield chunk


class Groups(object):
    """
    Groups: named sets of channels, a sorted set each in Redis, scored by the time of joining.

    ``shards``: a ``Shards``. ``sender``: a ``Sender``. ``envelope``: an ``Envelope``. ``losses``: a ``Losses``.
    ``expiry()``: how long a membership lasts, in seconds. ``counter_lives``: as in ``Sender``. ``capacity(queue)``: how
    many messages a queue holds. ``on_send(channel, message)``: is called for each member before a message is sent, or
    None.
    """

    def __init__(self, shards, sender, envelope, losses, expiry, counter_lives, capacity, on_send):
        self._shards = shards
        self._sender = sender
        #: {group: ``Members``}.
        self._known = {}
        self._envelope = envelope
        self._losses = losses
        self._expiry = expiry
        self._counter_lives = counter_lives
        self._capacity = capacity
        self._on_send = on_send

    # Members.

    def add(self, group, channel):
        shard = self._shards.for_name(group)
        arguments = [repr(time.time()), channel, int(math.ceil(self._expiry()))]
        shard.run(scripts.group_add, [shard.keys.group(group)], arguments)

    def discard(self, group, channel):
        shard = self._shards.for_name(group)
        shard.run(scripts.group_discard, [shard.keys.group(group)], [channel])

    def members(self, group):
        """The channels of a group, a list, the longest member first."""
        return split(self._packed_members(group))

    def _packed_members(self, group):
        shard = self._shards.for_name(group)
        return shard.run(scripts.group_members, [shard.keys.group(group)], [repr(time.time() - self._expiry())])

    def _known_members(self, group):
        packed = self._packed_members(group)
        known = self._known.get(group)
        if known is None or known.packed != packed:
            if len(self._known) >= KNOWN_GROUPS:
                self._known.clear()
            known = self._known[group] = Members(packed)
        return known

    # Sending.

    def send(self, group, message, deliver_here=None):
        """
        Send ``message`` to all members of ``group`` whose channels are not full; count and log the others.

        ``deliver_here(channels, message)``: gets a list of normal channels, delivers to those that do not go to Redis,
        and returns the rest (default: all go to Redis). If a shard is unavailable, the members on other shards get
        their messages before redis-py's error is raised.
        """
        seal = self._envelope.sealer(message, "the group " + group)
        members = self._known_members(group)
        if self._on_send is not None:
            for channel in itertools.chain(members.normal, *members.processes.values()):
                self._on_send(channel, message)
        normal = members.normal if deliver_here is None else deliver_here(members.normal, message)
        entries = [self._entry(seal, channel, [channel]) for channel in normal]
        entries += [self._entry(seal, queue, names) for queue, names in members.processes.items()]
        if len(entries) == 1 and len(entries[0].members) == 1:
            return self._send_one(entries[0])
        sending = GroupSend(functools.partial(self._entry, seal), members.renews(), self._counter_lives)
        try:
            sending.send(entries)
        finally:
            self._drop(sending.full)
        if sending.errors:
            raise sending.errors[0]

    def _send_one(self, entry):
        """Send to a group of one as ``send`` does. The script counts the message if it is dropped."""
        capacity = self._capacity(entry.queue)
        if not self._sender.send(entry.queue, entry.body, capacity):
            self._losses.add({dropped_group_messages(entry.queue, capacity): 1})

    def _entry(self, seal, queue, members):
        names = None if "!" not in queue else members if len(members) > 1 else members[0]
        return Entry(queue, members, seal(names), self._shards.for_sending(queue, self._capacity(queue)))

    def _drop(self, entries):
        """Count and log messages whose channels are full."""
        for shard, on_shard in by_shard(entries):
            dropped = {}
            for entry in on_shard:
                dropped[entry.queue] = dropped.get(entry.queue, 0) + len(entry.members)
            self._losses.add({
                dropped_group_messages(queue, self._capacity(queue)): number for queue, number in dropped.items()
            })
            self._losses.count(shard, CHANNEL_FULL_COUNT, dropped)


class GroupSend(object):
    """
    One group send, shard by shard.

    ``entry(queue, members)``: makes an ``Entry``. ``renews``: True if this send renews the lives of the counters.
    ``counter_lives``: as in ``Sender``. ``full``: the entries that were dropped because their queues are full.
    ``errors``: redis-py's, of shards that are unavailable.
    """

    def __init__(self, entry, renews, counter_lives):
        self._entry = entry
        self._renews = renews
        self._counter_lives = counter_lives
        self.full = []
        self.errors = []

    def send(self, entries):
        while entries:
            entries = self._send_all(entries)

    def _send_all(self, entries):
        """Send ``entries``. Return entries to send after that: to other shards, or one for each member."""
        again = []
        for shard, on_shard in by_shard(entries):
            for chunk in chunks(on_shard):
                try:
                    refused, unannounced = self._send_chunk(shard, chunk)
                except RedisError as error:
                    if not is_outage(error):
                        raise
                    rest = [entry for entry in chunk if not error.was_sent and entry.goes_on()]
                    again += rest
                    if len(rest) < len(chunk):
                        self.errors.append(error)
                    continue
                for entry in refused:
                    (again if entry.goes_on() else self.full).append(entry)
                again += [self._entry(batch.queue, [name]) for batch in unannounced for name in batch.members]
        return again

    def _send_chunk(self, shard, entries):
        """
        Send ``entries`` to one shard. Return (those whose queue is full, batches whose reader has not announced that
        it takes them).
        """
        singles = [entry for entry in entries if len(entry.members) == 1]
        batches = [entry for entry in entries if len(entry.members) > 1]
        session = shard.borrow()
        try:
            number = session.reserve(len(entries))
            elsewhere = all([entry.others for entry in entries])
            command = self._command(shard, session, number, singles, batches)
            reply = shard.ask(session, command, elsewhere)
        finally:
            shard.give_back(session)
        full = [singles[place - 1] for place in reply[0]] + [batches[place - 1] for place in reply[1]]
        return full, [batches[place - 1] for place in reply[2]]

    def _command(self, shard, session, number, singles, batches):
        keys = shard.keys
        queues = [resp.bulk(keys.queue(entry.queue)) for entry in singles + batches]
        runs, bodies = arguments_of(singles, batches)
        arguments = [
            digits(number), keys.prefix + session.name, keys.message_ms, keys.queue_ms, keys.session_ms,
            self._counter_lives[0], self._counter_lives[1], keys.prefix, keys.stats_prefix,
            len(runs) // 3 - len(batches), len(batches), int(self._renews),
        ] + runs + bodies
        return b"".join(
            [scripts.send_group.head(len(queues) + 2, len(arguments))]
            + [resp.bulk(keys.counter(ALL_CHANNELS, MESSAGES_COUNT)), session.packed_key] + queues
            + [resp.bulk(argument) for argument in arguments]
        )


def by_process(members):
    """(the normal and single-reader channels of ``members``, {queue: its process-specific channels})."""
    normal, processes = [], collections.OrderedDict()
    for name in members:
        mark = name.find("!") + 1
        if mark:
            processes.setdefault(name[:mark], []).append(name)
        else:
            normal.append(name)
    return normal, processes


def split(packed):
    """Return the list of names in the reply of the script that lists members."""
    # A name that is not UTF-8 is no channel's, but must not keep the other members from their messages.
    return packed.decode("utf-8", "replace").split("\0") if packed else []


def by_shard(entries):
    """Return [(shard, its entries), ...], with the entries of a run next to each other."""
    ordered = sorted(entries, key=Entry.run)
    return [(list_[0].shard, list_) for list_ in (
        list(of_shard) for _, of_shard in itertools.groupby(ordered, key=lambda entry: entry.shard.number)
    )]


def arguments_of(singles, batches):
    """Return the runs and bodies for the group script: see scripts/send_group.lua."""
    runs, bodies = [], []
    for _, run in itertools.groupby(singles, key=Entry.run):
        run = list(run)
        if not bodies or bodies[-1] is not run[0].body:
            bodies.append(run[0].body)
        runs += [len(run), run[0].capacity, len(bodies)]
    for batch in batches:
        bodies.append(batch.body)
        runs += [len(batch.members), batch.capacity, len(bodies)]
    return runs, bodies
