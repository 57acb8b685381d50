"""``receive``: from memory, from the shards, and waiting."""
from __future__ import unicode_literals

import random

from redis.exceptions import RedisError, ResponseError

from ..codec import WrongKeys
from ..server import resp, scripts, times
from ..server.clients import is_outage
from ..server.keys import DROPPED_COUNT
from ..server.session import digits
from ..server.times import monotonic
from ..server.waiting import Waiter, first_reply
from .envelope import Unreadable, made
from .key_doubts import KeyDoubts
from .losses import unreadable_messages

#: How many expired messages one run of a script drops at most: about a millisecond of work.
DROPPED_AT_ONCE = 1000

#: How long an announcement lasts that the reader of a process-specific queue understands batches, in seconds. It must
#: be longer than a blocking receive, and short in case a process of release 1.4 reuses the queue's name.
ANNOUNCED_FOR = 10

#: The script's reply if it has dropped expired messages and there may be more.
NOTHING_YET = b"0000"

#: The last argument of the script if no message was popped before.
NOTHING_POPPED = resp.bulk(b"")

#: How many sets of channels are kept at once. A process uses one or two.
KNOWN_PLANS = 100


class Part(object):
    """
    The queues of one shard that a receive looks at.

    Each receive begins with a random queue, so that a busy one does not starve the others. There is a packed form for
    each of these orders.
    """

    def __init__(self, shard, queues):
        self.shard = shard
        self.queues = queues
        self.keys = [shard.keys.queue(queue) for queue in queues]
        self.process_specific = [queue for queue in queues if queue.endswith("!")]
        #: When the next announcement for ``process_specific`` is due, by ``monotonic``.
        self.announce_at = 0
        head = scripts.receive.head(len(queues) + 1, 5)
        packed = [resp.bulk(key) for key in self.keys]
        self.orders = [
            (queues[first:] + queues[:first], head + b"".join(packed[first:] + packed[:first]))
            for first in range(len(queues))
        ]
        self.single = {
            queue: ([queue], scripts.receive.head(2, 5) + key) for queue, key in zip(queues, packed)
        } if len(queues) > 1 else {queues[0]: self.orders[0]}
        lives = resp.bulk("%d %d" % (shard.keys.session_ms, DROPPED_AT_ONCE))
        may_move = resp.bulk(int(shard.place.may_move))
        self.tail = b"\r\n" + lives + resp.bulk(0) + may_move
        self.announcing_tail = b"\r\n" + lives + resp.bulk(ANNOUNCED_FOR * 1000) + may_move


class Plan(object):
    """Where a receive on one set of channels looks. ``channels``: the set; ``parts``: the ``Part`` of each shard."""

    def __init__(self, channels, shards):
        self.channels = channels
        queues = {}
        for channel in sorted(channels):
            for shard in shards.of(channel):
                queues.setdefault(shard, []).append(channel)
        self.parts = [Part(shard, names) for shard, names in queues.items()]
        self.shards = [part.shard for part in self.parts]
        #: How long the last wait paused because a blocking pop failed, in seconds.
        self.pause = 0
        self.part_of = dict(zip(self.shards, self.parts))

    def in_turn(self):
        """Return the parts in random order."""
        return self.parts if len(self.parts) == 1 else random.sample(self.parts, len(self.parts))


class Receiver(object):
    """
    Receives from any number of channels.

    ``shards``: a ``Shards``. ``inbox``: an ``Inbox``. ``pops``: an ``OpenPops``. ``envelope``: an ``Envelope``.
    ``losses``: a ``Losses``. ``presence``: a ``Presence``. ``non_local_name(channel)``: the queue of a channel.
    ``seconds()``: how long a blocking receive waits. ``reconnect_timeout``: how long an outage may last before a
    blocking receive raises, in seconds, or None.
    """

    def __init__(self, shards, inbox, pops, envelope, losses, presence, non_local_name, seconds, reconnect_timeout):
        self._shards = shards
        self._inbox = inbox
        self._pops = pops
        self._envelope = envelope
        self._presence = presence
        self._non_local_name = non_local_name
        self._losses = losses
        self._key_doubts = KeyDoubts()
        self._seconds = seconds
        self._reconnect_timeout = reconnect_timeout
        self._plans = {}

    def receive(self, channels):
        """
        Return a waiting (channel, message) from one of ``channels``, a frozenset, or None. redis-py's error if a shard
        is unavailable and the others have nothing.
        """
        plan = self._plan(channels)
        if len(plan.parts) == 1 and not self._inbox.batches:
            return self._take(plan.parts[0])
        unavailable = []
        found = self._look(plan, lambda part: self._take_unless(part, unavailable))
        if found is None and unavailable:
            raise unavailable[0]
        return found

    def receive_blocking(self, channels, waiter=None):
        """(channel, message), or None after ``seconds()``, or once ``waiter`` is stopped by another thread."""
        began = monotonic()
        take = self._take_if_available
        while waiter is None or not waiter.stopped:
            plan = self._plan_if_available(channels)
            if plan and began >= self._presence.due_at:
                self._presence.show(plan)
            found = plan and self._look(plan, take)
            if found:
                return found
            deadline = began + self._seconds()
            waiter = waiter or Waiter()
            found = self._wait(plan, deadline, waiter) or self._inbox.batches and self._inbox.take(channels)
            if found:
                return found
            take = self._take_after_wait
            if monotonic() >= deadline:
                return None

    def _plan_if_available(self, channels):
        try:
            self._shards.find(receiving=True)
            return self._plan(channels)
        except RedisError as error:
            self._bear(error, self._shards.breaker)

    def _plan(self, channels):
        plan = self._plans.get(channels)
        if plan is None:
            plan = Plan(channels, self._shards)
            if len(self._plans) >= KNOWN_PLANS:
                self._plans.clear()
            self._plans[channels] = plan
        return plan

    # From memory and from the shards.

    def _look(self, plan, take):
        """
        Return (channel, message) from memory or from a shard, by ``take(part)``, or None.

        The order is random: a queue that has much in memory must not hold up the others.
        """
        if self._inbox.batches:
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

    def _take_after_wait(self, part):
        """As ``_take_if_available``, but a try that another thread has made while this one waited counts as its own."""
        breaker = part.shard.breaker
        if breaker.error is not None and breaker.pause():
            return self._bear(breaker.refusal(), breaker)
        return self._take_if_available(part)

    def _bear(self, error, breaker):
        """Return if a blocking receive goes on after ``error`` of redis-py; raise it otherwise."""
        if not is_outage(error):
            raise error
        if self._reconnect_timeout is not None and breaker.lasts() >= self._reconnect_timeout:
            raise error

    def _take(self, part, receiving=False, order=None, popped=NOTHING_POPPED):
        """
        Return (channel, message) from a shard, or None.

        ``receiving``: True for a blocking receive. ``order``: (queues, packed) to look at (default: all, beginning with
        a random one). ``popped``: the key of a message that was popped from the first queue, but not read, packed.
        """
        if self._pops.entries:
            part.shard.check_available(receiving)
            self._pops.settle(part.shard)
        if self._key_doubts.in_a_row and popped is NOTHING_POPPED and self._key_doubts.pause():
            return None
        if order is None:
            orders = part.orders
            order = orders[int(random.random() * len(orders)) if len(orders) > 1 else 0]
        while True:
            reply, found = self._ask(part, receiving, order, popped)
            if found or reply is None or self._key_doubts.pause():
                return found

    def _ask(self, part, receiving, order, popped):
        """Run the script once. Return its reply, and the (channel, message) in it, or None if it has no good one."""
        shard, (queues, packed) = part.shard, order
        tail = part.tail
        if part.process_specific and len(queues) == len(part.queues):  # the script announces only those of this look
            tail = self._announce(part)
        session = shard.borrow(receiving)
        number = session.reserve(len(queues))
        reply = None
        try:
            reply = shard.ask(session, b"".join((
                packed, session.packed_key, b"$12\r\n", digits(number), tail, popped,
            )), elsewhere=receiving)
            found, is_empty = None, reply is None or reply == NOTHING_YET
            if not is_empty:
                place = int(reply[:4]) - 1
                session.number = number + place
                body = reply[4:] or shard.ask(session, resp.command("GET", session.key + b"#taken")) or b""
                found = self._open(shard, session, queues[place], body)
        except BaseException as error:
            part.announce_at = 0  # it may not have been announced
            # An interrupt may have come when the reply was read, but not returned: then there is a connection.
            if reply is None and not session.sent and (session.connection is None or isinstance(error, RedisError)):
                shard.give_back(session)
            else:
                self._retire(shard, session, queues, number, error)
            raise
        if is_empty:
            self._give_back_unused(shard, session, queues, number)
        else:
            shard.give_back(session)
        return reply, found

    def _give_back_unused(self, shard, session, queues, number):
        """Give back a session after a receive that found nothing, so the script has not noted its number."""
        if session.late == session.number:
            self._retire(shard, session, queues, number)
        else:
            session.number = number - 1
            shard.give_back(session)

    def _retire(self, shard, session, queues, number, error=None):
        """
        End a session whose last receive failed with ``error``, or may still arrive: what it takes stays in Redis until
        the session's next call, so there must be none.
        """
        try:
            if self._inbox.batches:
                self._inbox.remove((session.key, session.number))
            keys = [shard.keys.queue(queue) for queue in queues]
            self._pops.lost_call(shard, keys, session.key, number, error)
        finally:
            shard.retire(session)

    def _open(self, shard, session, queue, body):
        """
        Return (channel, message) for a body from ``queue``, or None if it is not a message.

        If the body is a batch, that is the first channel; the others wait in memory.
        """
        number = 1
        try:
            names, message = self._envelope.open(queue, body, self._is_for)
            number = len(names)
            # msgpack unpacks what is nested more deeply than it packs, so this may fail.
            copy = made(self._envelope.copier, message) if number > 1 else None
        except Unreadable as error:
            return self._drop(shard, queue, number, error)
        self._key_doubts.in_a_row = 0
        if copy is not None:
            self._keep(shard, session, queue, names[1:], copy)
        return names[0], message

    def _is_for(self, name, queue):
        return isinstance(name, type("")) and self._non_local_name(name) == queue

    def _keep(self, shard, session, queue, names, copy):
        """Keep a batch in memory for as long as its message, under the session's name, has left to live."""
        left = shard.ask(session, resp.command("PTTL", session.key + b"#taken"))
        if left > 0:  # it is negative if the message has just expired
            self._inbox.put(
                queue, names, lambda: made(copy), left / 1000.0,
                lambda number, error: self._drop(shard, queue, number, error), (session.key, session.number),
            )

    def _drop(self, shard, queue, number, unreadable):
        """Log and count ``number`` messages that can't be read."""
        if isinstance(unreadable.error, WrongKeys):
            self._key_doubts.add()
        self._losses.add({unreadable_messages(queue, unreadable.reason): number})
        self._losses.count(shard, DROPPED_COUNT, {queue: number})

    # Announcements that a reader understands batches. scripts/send_group.lua looks at them.

    def _announce(self, part):
        """Return the end of the arguments, with an announcement if one is due."""
        now = monotonic()
        if now < part.announce_at:
            return part.tail
        part.announce_at = now + ANNOUNCED_FOR / 2.0
        return part.announcing_tail

    def announce_anew(self):
        """Make the next receives announce their readers."""
        self._plans = {}

    def is_announced(self, queues):
        """Return True if the announcements of ``queues`` need not be renewed yet."""
        now = monotonic()
        return all(
            now < part.announce_at for part in self._plan(frozenset(queues)).parts if part.process_specific
        )

    def keep_announced(self, queues):
        """Renew announcements: a reader that hands out messages from memory may not ask Redis for a long time."""
        for part in self._plan(frozenset(queues)).parts:
            if part.process_specific and monotonic() >= part.announce_at:
                self._announce(part)
                keys = [part.shard.keys.batches(queue) for queue in part.process_specific]
                try:
                    part.shard.run(scripts.announce, keys, [ANNOUNCED_FOR * 1000])
                except RedisError:
                    pass  # messages in memory can still be handed out

    # Waiting.

    def _wait(self, plan, deadline, waiter):
        """
        Wait until a queue has a message, until ``deadline``, until the next try of an unavailable shard is due, or
        until a pause ends. ``plan``: None if the list of shards is unavailable.

        Return (channel, message), or None if there is none, or no good one.
        """
        if plan is None:
            with waiter:
                return waiter.sleep(max(min(deadline - monotonic(), pause_of(self._shards.breaker)), 0))
        unavailable = [shard for shard in plan.shards if shard.breaker.error is not None]
        ends = [deadline] + [monotonic() + pause_of(shard.breaker) for shard in unavailable]
        pause = self._key_doubts.pause()
        if pause:
            ends.append(monotonic() + pause)
        parts = [] if pause else [part for part in plan.parts if part.shard not in unavailable]
        due = self._pops.due([part.shard for part in parts])
        if due is not None:
            ends.append(due)
        entries = []
        try:
            with self._inbox.watched_by(waiter):
                if waiter.stopped or (self._inbox.batches and self._inbox.holding(plan.channels)):
                    return None
                if not parts:
                    return waiter.sleep(max(min(ends) - monotonic(), 0))
                first = self._pop(plan, parts, deadline, min(ends), waiter, entries)
            # Once it is read, an interrupt would lose it, so all else has been ended.
            return self._read(plan, first) if first else None
        finally:
            self._pops.leave(entries)

    def _pop(self, plan, parts, deadline, until, waiter, entries):
        """Return the first entry that has popped something, or None. All that must be left are in ``entries`` then."""
        try:
            for part in parts:
                entries.append(self._pops.start(part.shard, part.keys, max(deadline - monotonic(), 0.001)))
            self._presence.waits(self._pops.waits(parts[0].shard))
            first = self._first(entries, waiter, until, deadline)
        except RedisError as error:
            if not is_outage(error):
                raise
            # The next look will show whether the shard is unavailable, or only this connection is broken. Before
            # Redis 7, a server that lacks replicas refuses blocking pops, but not scripts.
            longest = times.LONGEST_PAUSE if isinstance(error, ResponseError) else times.SHORTEST_PAUSE
            plan.pause = min(max(2 * plan.pause, times.SHORTEST_PAUSE), longest)
            return waiter.sleep(max(min(plan.pause, deadline - monotonic()), 0))
        plan.pause = 0
        if first:
            self._pops.leave([entry for entry in entries if entry is not first])
            entries[:] = [first]
        return first

    def _first(self, entries, waiter, until, deadline):
        """Return the first of ``entries`` that has popped something, or None."""
        waiting = list(entries)
        if until >= deadline:  # the servers end the pops, at whole seconds
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
        """Return the (channel, message) whose key was popped, or None."""
        part = plan.part_of[entry.shard]
        queue_key, message_key = entry.popped
        queue = part.queues[part.keys.index(queue_key)]
        try:
            found = self._take(part, receiving=True, order=part.single[queue], popped=resp.bulk(message_key))
        except RedisError as error:
            self._bear(error, entry.shard.breaker)
            return None
        self._pops.strike_out(entry)
        return found


def pause_of(breaker):
    """Return how long a blocking receive waits before its next try. If one is due, another thread may be making it."""
    return max(breaker.pause(), times.SHORTEST_PAUSE)
