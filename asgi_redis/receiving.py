"""The receiving half of a layer: from memory, from all shards, and waiting."""
from __future__ import unicode_literals

import random

from redis.exceptions import RedisError

from . import scripts
from .background import Background
from .connections import is_outage, probe
from .inbox import Inbox
from .outages import Outages
from .restoring import Restoring
from .waiting import Lost, Waiter, first_message, monotonic

#: How many expired messages one run of a script drops at the most: about a millisecond's work.
DROPPED_AT_ONCE = 1000

#: Seconds that a reader of a process-specific queue is known to understand batches, after it last said so. Longer than
#: a blocking receive, short enough for a process of release 1.4 that takes over the queue's name.
ANNOUNCED_FOR = 10


class Receiving(Restoring, Background):
    """``receive``, and what it looks through: the inbox, then the shards, then it waits."""

    #: Seconds that a blocking ``receive`` waits before it returns nothing.
    blpop_timeout = 5

    def _setup_receiving(self, reconnect_timeout):
        self._inbox = Inbox()
        self._setup_restoring()
        self._outages = Outages(reconnect_timeout)
        #: When each process-specific queue was last announced, by ``monotonic``.
        self._announced = {}

    def receive(self, channels, block=False):
        """
        Take one message from any of ``channels``, a list of names; of a process-specific channel, the name up to ``!``.

        Looks at all shards. ``block``: waits for a message, up to ``blpop_timeout`` seconds; longer only where no shard
        can be reached, until one can, or ``reconnect_timeout`` is over: then redis-py's error is raised, as it is at
        once where it does not block.

        Returns (channel, message), or (None, None).
        """
        channels = self._receivable(channels)
        if block:
            return self._receive_blocking(channels, Waiter())
        return self._take(channels, self._take_from_shard) or (None, None)

    def _receive_blocking(self, channels, waiter):
        """``receive(channels, block=True)``, which ``waiter.stop()`` ends early from another thread."""
        deadline = monotonic() + self.blpop_timeout
        while not waiter.stopped:
            found = (
                self._take(channels, self._take_if_in_reach)
                or self._wait(channels, deadline, waiter)
                or self._inbox.take(channels)
            )
            if found or (monotonic() >= deadline and self._in_reach(channels)):
                return found or (None, None)
        return None, None

    # From memory and from the shards.

    def _take(self, channels, take_from_shard):
        """
        (channel, message) from memory or a shard, by ``take_from_shard(index, queues)``, or None.

        Both in random order: a queue with much in memory must not hold up the others, and no queue all others.
        """
        held = self._inbox.holding(channels)
        if held and random.choice(list(channels)) in held:
            self._keep_announced(held)
            return self._inbox.take(held) or self._take(channels, take_from_shard)
        queues = self._queues_by_shard(channels - held)
        for index in random.sample(list(queues), len(queues)):
            found = take_from_shard(index, random.sample(queues[index], len(queues[index])))
            if found:
                return found
        return self._inbox.take(held) if held else None

    def _queues_by_shard(self, channels):
        """{shard: [queue, ...]} of all queues that may hold messages for ``channels``."""
        queues = {}
        for channel in channels:
            for index in self._shards(channel):
                queues.setdefault(index, []).append(channel)
        return queues

    def _take_from_shard(self, index, queues, popped=""):
        """
        (channel, message) from one of ``queues`` on a shard, or None. ``popped``: the key of a message that was popped
        from the first of them, but not read.
        """
        queue_keys = [self._key(index, queue) for queue in queues]
        announcements = self._announcements(index, queues)
        args = [len(queues), DROPPED_AT_ONCE, self._announcement_ms, self._queue_ms]
        with self._readers.one(index) as reader:
            keys = queue_keys + announcements + self._reader_keys(index, reader)
            while True:
                self._settle(index, reader)
                reader.unanswered = reader.next_number(), queue_keys
                answer = self._run(index, scripts.receive, keys, args + [reader.number, popped])
                reader.unanswered = None
                if answer is None:
                    return None
                if len(answer) == 2:
                    found = self._open(queues[answer[0] - 1], answer[1])
                    if found:
                        return found

    def _take_if_in_reach(self, index, queues):
        """``_take_from_shard``, where the shard is not away, as far as is known."""
        if self._outages.pause(index):
            return None
        try:
            patience = self._outages.patience(index)
            if patience:  # a server that does not answer must not hold up the others for as long as a command may
                probe(self.connection(index), patience)
            found = self._take_from_shard(index, queues)
        except RedisError as error:
            self._note_failure(index, error)
            return None
        self._outages.end(index)
        return found

    def _note_failure(self, index, error):
        """Note that shard ``index`` is away. Raises ``error`` where it says something else, or lasts too long."""
        if not is_outage(error):
            raise error
        self._outages.begin(index, error)

    def _in_reach(self, channels):
        """Whether not all shards of ``channels`` are away, as far as is known."""
        away = [self._outages.is_away(index) for index in self._queues_by_shard(channels)]
        return not away or not all(away)

    def _hold(self, queue, names, copy):
        """Keep what ``copy()`` makes for the channels ``names`` until they are asked for."""
        self._inbox.put(queue, names, copy, self.expiry)

    # Announcements: who understands batches. scripts/send_group.lua has the other side.

    @property
    def _announcement_ms(self):
        return int(1000 * max(ANNOUNCED_FOR, 2 * self.blpop_timeout))

    def _announcement_key(self, index, queue):
        # No channel name has a #, so release 1.4 never meets it.
        return self._key(index, queue + "#batches")

    def _announcements(self, index, queues):
        """The keys that announce the readers of ``queues``, which the caller is about to set."""
        local = [queue for queue in queues if queue.endswith("!")]
        for queue in local:
            self._announced[queue] = monotonic()
        return [self._announcement_key(index, queue) for queue in local]

    def _is_announced(self, queues):
        """Whether the announcements of ``queues`` still have most of their life before them."""
        oldest = min(self._announced.get(queue, float("-inf")) for queue in queues)
        return monotonic() - oldest < ANNOUNCED_FOR / 2.0

    def _keep_announced(self, queues):
        """Renew announcements: who hands out what he has in memory does not ask Redis, perhaps for long."""
        if self._is_announced(queues):
            return
        for index, on_shard in self._queues_by_shard(queues).items():
            try:
                self._run(index, scripts.announce, self._announcements(index, on_shard), [self._announcement_ms])
            except RedisError:
                pass  # what is in memory can be handed out all the same

    # Waiting.

    def _wait(self, channels, deadline, waiter):
        """
        Wait until a queue has a message, ``deadline`` comes, or a shard that is away is to be tried again.

        (channel, message), or None for nothing, or nothing usable.
        """
        queues = self._queues_by_shard(channels)
        pauses = [self._outages.pause(index) for index in queues if self._outages.is_away(index)]
        shards = [index for index in queues if not self._outages.is_away(index)]
        with self._inbox.watched_by(waiter):
            if self._inbox.holding(channels) or waiter.stopped:
                return None
            if not shards:
                return waiter.sleep(min(pauses or [max(deadline - monotonic(), 0)]))
            popped = self._pop(queues, shards, deadline - monotonic(), min(pauses) if pauses else None, waiter)
            return self._read(*popped) if popped else None

    def _pop(self, queues, shards, seconds, limit, waiter):
        """(shard, queue, message key) of the message that comes first to one of ``queues`` on ``shards``, or None."""
        waits = []
        for index in shards:
            try:
                waits.append((self.connection(index), [self._key(index, name) for name in queues[index]]))
            except RedisError as error:
                self._note_failure(index, error)
                return None
        try:
            popped = first_message(
                waits, max(seconds, 0.001), limit, waiter, lambda place, *keys: self._restore(shards[place], *keys),
                lambda place, pop: self._unsettled.add_pop(shards[place], pop),
            )
        except Lost as lost:
            self._note_failure(shards[lost.place], lost.error)
            return None
        if popped is None:
            return None
        place, queue_key, message_key = popped
        names = {self._key(shards[place], name).encode("utf-8"): name for name in queues[shards[place]]}
        return shards[place], names[queue_key], message_key

    def _read(self, index, queue, message_key):
        """The message whose key was popped, or None."""
        try:
            found = self._take_from_shard(index, [queue], message_key)
        except RedisError as error:
            self._unsettled.add_message(index, self._key(index, queue), message_key)
            return self._note_failure(index, error)
        except BaseException:
            self._unsettled.add_message(index, self._key(index, queue), message_key)
            raise
        self._outages.end(index)
        return found
