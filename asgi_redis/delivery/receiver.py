"""``receive``: from memory, from the shards, and waiting."""
from __future__ import unicode_literals

import logging
import random

from redis.exceptions import RedisError

from ..codec import BadMessage
from ..server import resp, scripts, times
from ..server.breaker import Breaker
from ..server.connections import is_outage
from ..server.session import digits
from ..server.times import monotonic
from ..server.waiting import Waiter, first_reply

logger = logging.getLogger(__name__)

#: How many expired messages one run of a script drops at most: about a millisecond's work.
DROPPED_AT_ONCE = 1000

#: How long a reader of a process-specific queue is known to understand batches after its last announcement, in seconds.
#: Longer than a blocking receive, short enough for a process of release 1.4 that takes over the queue's name.
ANNOUNCED_FOR = 10

#: The script's reply if it has dropped expired messages, and there may be more.
NOTHING_YET = b"0000"

#: How many lists of channels are known at once. A process has one or two.
KNOWN_PLANS = 100


class Directory(object):
    """What the list of shards is called in the log."""

    log_attributes = {}

    def __str__(self):
        return "The list of shards"


class Part(object):
    """
    The queues of one shard that a receive looks at.

    Each receive begins with another one, so that a busy queue does not starve the others: there is a packed form for
    each place to begin with.
    """

    def __init__(self, shard, queues):
        self.shard = shard
        self.queues = queues
        self.keys = [shard.keys.queue(queue) for queue in queues]
        self.process_specific = [queue for queue in queues if queue.endswith("!")]
        #: When their readers are announced next, by ``monotonic``.
        self.announce_at = 0
        head = scripts.receive.head(len(queues) + 1, 6)
        packed = [resp.bulk(key) for key in self.keys]
        self.orders = [
            (queues[first:] + queues[:first], head + b"".join(packed[first:] + packed[:first]))
            for first in range(len(queues))
        ]
        self.single = {
            queue: ([queue], scripts.receive.head(2, 6) + key) for queue, key in zip(queues, packed)
        } if len(queues) > 1 else {queues[0]: self.orders[0]}
        lives = resp.bulk(shard.keys.session_ms) + resp.bulk(DROPPED_AT_ONCE)
        may_move = resp.bulk(int(shard.place.may_move))
        self.tail = b"\r\n" + lives + resp.bulk(0) + may_move
        self.announcing_tail = b"\r\n" + lives + resp.bulk(ANNOUNCED_FOR * 1000) + may_move


class Plan(object):
    """What a receive on one set of channels looks at: ``channels``, a set, and ``parts``, by shard."""

    def __init__(self, channels, shards):
        self.channels = channels
        queues = {}
        for channel in sorted(channels):
            for shard in shards.of(channel):
                queues.setdefault(shard, []).append(channel)
        self.parts = [Part(shard, names) for shard, names in queues.items()]
        self.shards = [part.shard for part in self.parts]
        self.part_of = dict(zip(self.shards, self.parts))

    def in_turn(self):
        """The parts, in random order."""
        return self.parts if len(self.parts) == 1 else random.sample(self.parts, len(self.parts))


class Receiver(object):
    """
    Receives from any number of channels.

    ``shards``: a ``Shards``. ``inbox``: an ``Inbox``. ``pops``: an ``OpenPops``. ``envelope``: an ``Envelope``.
    ``non_local_name(channel)``: the queue of a channel. ``expiry``: how long a message lives, in seconds.
    ``seconds()``: how long a blocking receive waits. ``reconnect_timeout``: how long an outage may last before a
    blocking receive raises, in seconds, or None.
    """

    def __init__(self, shards, inbox, pops, envelope, non_local_name, expiry, seconds, reconnect_timeout):
        self._shards = shards
        self._inbox = inbox
        self._pops = pops
        self._envelope = envelope
        self._non_local_name = non_local_name
        self._expiry = expiry
        self._seconds = seconds
        self._reconnect_timeout = reconnect_timeout
        self._plans = {}
        #: Which shards there are, the Sentinels know.
        self._directory = Breaker(Directory())

    def receive(self, channels):
        """
        (channel, message) that is there in one of ``channels``, a frozenset, or None. redis-py's errors, if a shard is
        unavailable and the others have nothing.
        """
        plan, unavailable = self._plan(channels), []
        found = self._look(plan, lambda part: self._take_unless(part, unavailable))
        if found is None and unavailable:
            raise unavailable[0]
        return found

    def receive_blocking(self, channels, waiter):
        """(channel, message), or None after ``seconds()``, or once ``waiter`` is stopped by another thread."""
        deadline = monotonic() + self._seconds()
        while not waiter.stopped:
            try:
                plan = self._plan(channels)
            except RedisError as error:
                if is_outage(error):
                    self._directory.failed(error)
                self._bear(error, self._directory)
                with waiter:
                    waiter.sleep(max(min(deadline - monotonic(), self._directory.pause()), 0))
            else:
                found = (
                    self._look(plan, self._take_if_available) or self._wait(plan, deadline, waiter)
                    or self._inbox and self._inbox.take(channels)
                )
                if found:
                    return found
            if monotonic() >= deadline:
                return None

    def _plan(self, channels):
        plan = self._plans.get(channels)
        if plan is None:
            plan = Plan(channels, self._shards)
            if len(self._plans) >= KNOWN_PLANS:
                self._plans.clear()
            self._plans[channels] = plan
            if self._directory.error is not None:
                self._directory.succeeded()
        return plan

    # From memory and from the shards.

    def _look(self, plan, take):
        """
        (channel, message) from memory or a shard, by ``take(part)``, or None.

        In random order: a queue with much in memory must not hold up the others.
        """
        if self._inbox:
            return self._look_in_memory(plan, take)
        for part in plan.in_turn():
            found = take(part)
            if found:
                return found

    def _look_in_memory(self, plan, take):
        held = self._inbox.holding(plan.channels)
        if held and random.choice(list(plan.channels)) in held:
            self.keep_announced(held)
            found = self._inbox.take(held)
            if found:
                return found
        rest = frozenset(plan.channels - held)
        for part in self._plan(rest).in_turn() if rest else ():
            found = take(part)
            if found:
                return found
        return self._inbox.take(held) if held else None

    def _take_unless(self, part, unavailable):
        try:
            return self._take(part)
        except RedisError as error:
            if not is_outage(error):
                raise
            unavailable.append(error)

    def _take_if_available(self, part):
        breaker = part.shard.breaker
        if breaker.error is not None and breaker.pause():
            return None
        try:
            return self._take(part, receiving=True)
        except RedisError as error:
            self._bear(error, breaker)

    def _bear(self, error, breaker):
        """Return if ``error`` of redis-py is one that a blocking receive lives with; raise it otherwise."""
        if not is_outage(error):
            raise error
        if self._reconnect_timeout is not None and breaker.lasts() >= self._reconnect_timeout:
            raise error

    def _take(self, part, receiving=False, order=None, popped=b""):
        """
        (channel, message) from a shard, or None.

        ``receiving``: for a blocking receive. ``order``: (queues, packed) to look at (default: all, from a random one
        on). ``popped``: the key of a message that was popped from the first of them, but not read.
        """
        if self._pops:
            part.shard.check_available(receiving)
            self._pops.settle(part.shard)
        if order is None:
            order = part.orders[int(random.random() * len(part.orders))]
        popped = resp.bulk(popped)
        while True:
            reply, found = self._ask(part, receiving, order, popped)
            if found or reply is None:
                return found

    def _ask(self, part, receiving, order, popped):
        """One run of the script: its reply, and the (channel, message) in it, or None if there is no good one."""
        shard, (queues, packed) = part.shard, order
        tail = self._announce(part) if part.process_specific else part.tail
        session = shard.borrow(receiving)
        number = session.reserve(len(queues))
        reply = None
        try:
            reply = shard.ask(session, b"".join((
                packed, session.packed_key, b"$12\r\n", digits(number), tail, popped,
            )), elsewhere=receiving)
            found = None
            if reply is None:
                session.number = number - 1
            elif reply != NOTHING_YET:
                place = int(reply[:4]) - 1
                session.number = number + place
                found = self._open(shard, session, queues[place], reply[4:])
        except BaseException:
            if reply is None and not session.sent:
                shard.give_back(session)
            else:
                # What was taken stays in Redis until the session's next call, so there must be none.
                self._pops.lost_call(shard, [shard.keys.queue(queue) for queue in queues], session.key, number)
                shard.retire(session)
            raise
        shard.give_back(session)
        return reply, found

    def _open(self, shard, session, queue, body):
        """
        (channel, message) for a body from ``queue``, or None if it is no message.

        Of a batch, the first; the others wait in memory.
        """
        def is_for(name):
            return isinstance(name, type("")) and self._non_local_name(name) == queue

        opened = self._made(queue, lambda: self._envelope.open(queue, body, is_for))
        if opened is None:
            return None
        names, message = opened
        if len(names) > 1:
            make = self._made(queue, lambda: self._envelope.copier(message))
            if make is None:  # msgpack unpacks what is nested more deeply than it packs
                return None
            # The message lives on under the session's name, for as long as it had left.
            left = shard.ask(session, resp.command("PTTL", session.key + b"#taken"))
            copy = lambda: self._made(queue, make)  # noqa: E731
            self._inbox.put(queue, names[1:], copy, left / 1000.0 if left > 0 else self._expiry)
        return names[0], message

    def _made(self, queue, make):
        """``make()``, which unpacks a message from ``queue``; None if it is none: the reader must go on."""
        try:
            return make()
        except Exception as first:
            # It may come from a signal handler, and not be about the message: then the message is good the next time.
            try:
                make()
            except Exception as error:
                reason = error if isinstance(error, BadMessage) else type(error).__name__
                logger.error("Dropped a message on %s: %s.", queue, reason, extra={"channel": queue})
                return None
            raise first

    # Announcements: which readers understand batches. scripts/send_group.lua has the other side.

    def _announce(self, part):
        """The end of the arguments, which announces the readers if that is due."""
        now = monotonic()
        if now < part.announce_at:
            return part.tail
        part.announce_at = now + ANNOUNCED_FOR / 2.0
        return part.announcing_tail

    def announce_anew(self):
        """Have the next receives announce their readers."""
        self._plans = {}

    def is_announced(self, queues):
        """Return True if the announcements of ``queues`` still have most of their life before them."""
        now = monotonic()
        return all(
            now < part.announce_at for part in self._plan(frozenset(queues)).parts if part.process_specific
        )

    def keep_announced(self, queues):
        """Renew announcements: a reader that hands out what is in memory does not ask Redis, perhaps for long."""
        for part in self._plan(frozenset(queues)).parts:
            if part.process_specific and monotonic() >= part.announce_at:
                self._announce(part)
                keys = [part.shard.keys.batches(queue) for queue in part.process_specific]
                try:
                    part.shard.run(scripts.announce, keys, [ANNOUNCED_FOR * 1000])
                except RedisError:
                    pass  # what is in memory can be handed out all the same

    # Waiting.

    def _wait(self, plan, deadline, waiter):
        """
        Wait until a queue has a message, until ``deadline``, or until a shard is to be tried again.

        (channel, message), or None for nothing, or nothing usable.
        """
        unavailable = [shard for shard in plan.shards if shard.breaker.error is not None]
        ends = [deadline] + [monotonic() + shard.breaker.pause() for shard in unavailable]
        parts = [part for part in plan.parts if part.shard not in unavailable]
        due = self._pops.due([part.shard for part in parts])
        if due is not None:
            ends.append(due)
        with self._inbox.watched_by(waiter):
            if waiter.stopped or (self._inbox and self._inbox.holding(plan.channels)):
                return None
            if not parts:
                return waiter.sleep(max(min(ends) - monotonic(), 0))
            return self._pop(plan, parts, deadline, min(ends), waiter)

    def _pop(self, plan, parts, deadline, until, waiter):
        entries = []
        try:
            try:
                for part in parts:
                    entries.append(self._pops.start(part.shard, part.keys, max(deadline - monotonic(), 0.001)))
                first = self._first(entries, waiter, until, deadline)
            except RedisError as error:
                if not is_outage(error):
                    raise
                # Whether the shard is unavailable, or only this connection, shows when it is looked at again.
                return waiter.sleep(times.SHORTEST_PAUSE)
            return self._read(plan, first) if first else None
        finally:
            for entry in entries:
                self._pops.leave(entry)

    def _first(self, entries, waiter, until, deadline):
        """The first of ``entries`` that has popped something, or None."""
        waiting = list(entries)
        if until >= deadline:  # the servers end it, at whole seconds
            until = max(entry.until for entry in entries)
        while waiting:
            answered = first_reply([entry.blocking for entry in waiting], waiter, until)
            if not answered:
                return None
            for entry in [entry for entry in waiting if entry.blocking in answered]:
                waiting.remove(entry)
                if self._pops.result(entry):
                    return entry

    def _read(self, plan, entry):
        """The message whose key was popped, or None."""
        part = plan.part_of[entry.shard]
        queue_key, message_key = entry.popped
        queue = part.queues[part.keys.index(queue_key)]
        try:
            found = self._take(part, receiving=True, order=part.single[queue], popped=message_key)
        except RedisError as error:
            self._bear(error, entry.shard.breaker)
            return None
        self._pops.strike_out(entry)
        return found
