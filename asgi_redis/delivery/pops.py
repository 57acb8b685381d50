"""Messages that may have left their queue without being received, and how they are put back."""
from __future__ import unicode_literals

import collections
import logging
import math
import threading

from redis.exceptions import RedisError

from ..server import scripts, times
from ..server.clients import is_outage
from ..server.keys import random_name
from ..server.times import monotonic
from ..server.turn import Turn
from ..server.waiting import BlockingPop

logger = logging.getLogger(__name__)


class OpenPop(object):
    """
    An entry of the table.

    ``shard``, ``queue_keys``: the queues that are popped. ``until``: when the server must have ended a blocking pop, by
    ``monotonic``.
    """

    def __init__(self, shard, queue_keys, until):
        self.shard = shard
        self.queue_keys = queue_keys
        self.until = until
        #: A blocking pop that may be under way, or None.
        self.blocking = None
        #: (queue key, message key) that was popped, or None if that is unknown.
        self.popped = None
        #: (session key, number) of a receive whose reply was lost, or None for a blocking pop.
        self.call = None
        #: True while a thread, the owner, works with it.
        self.in_use = False
        self.owner = threading.current_thread()
        #: {(place of the queue, message key): when it was first found to be missing}, the latest message first.
        self.missing = {}
        #: When it is checked next, and when it was first checked after ``until`` with nothing missing.
        self.due = 0
        self.quiet_since = None

    def is_due(self, now):
        return now >= self.due and (not self.in_use or self._was_left_behind(now))

    def _was_left_behind(self, now):
        """Return True if the owner was interrupted twice, and so left ``in_use`` behind."""
        # Not if it is only late: the whole process may have been stopped, and go on now.
        is_left = self.owner is threading.current_thread() or not self.owner.is_alive()
        return is_left and now > self.until + times.GRACE


class OpenPops(object):
    """
    The table of open pops. An entry is added before a key can leave its queue, and struck out when the message was
    received or put back.

    There are three cases:

    1. The popped key is known. It goes back at once, unless its message was received.
    2. The reply to a receive was lost. The message that it took is still in Redis, and goes back at once.
    3. The connection of a blocking pop broke, so nothing is known. The scripts note each key that they push to an empty
       queue, and a waiting pop can only get such keys. A noted key whose message exists goes back if it is missing from
       its queue. If the queue has several readers, it must have been missing for a second, because release 1.4 pops,
       reads and deletes in three commands. The entry stays until the server must have ended the pop, and is checked
       twice after that: if only one side of a connection is broken, the server may still pop for it.

    Thread-safe. Putting back the same key twice changes nothing.
    """

    def __init__(self):
        #: By identity. Each receive looks whether there are any.
        self.entries = {}
        self._settling = Turn()

    def waits(self, shard):
        """Return how many threads wait on ``shard``: after an outage there are entries that no thread works with."""
        return sum(entry.shard is shard and entry.in_use for entry in list(self.entries.values()))

    # Entries.

    def start(self, shard, queue_keys, seconds):
        """Add an entry, start its blocking pop, and return it. redis-py's errors; then there is no entry."""
        seconds = int(math.ceil(seconds))
        entry = self._add(OpenPop(shard, queue_keys, monotonic() + seconds + times.GRACE))
        entry.in_use = True
        entry.blocking = BlockingPop(shard, queue_keys, seconds)
        try:
            entry.blocking.start()
        except BaseException as error:
            shard.place.follow(error)
            self.leave([entry])
            raise
        return entry

    def lost_call(self, shard, queue_keys, session_key, number, error):
        """
        Add an entry for a receive whose reply was lost, or whose message did not reach the caller, by ``error``; or
        that found nothing, but was repeated, and whose first try may still arrive (None).
        """
        entry = OpenPop(shard, queue_keys, 0)
        entry.call = session_key, number
        self._add(entry)
        if not isinstance(error, RedisError):  # if it is an interrupt by a signal to end, there is no later
            self.leave([entry])

    def _add(self, entry):
        self.entries[id(entry)] = entry
        return entry

    def strike_out(self, entry):
        self.entries.pop(id(entry), None)

    def result(self, entry):
        """Return the ``result`` of a blocking pop, and strike its entry out if that is None. redis-py's errors."""
        try:
            entry.popped = popped = entry.blocking.result()
        except RedisError as error:
            entry.shard.place.follow(error)
            entry.blocking.close()
            entry.blocking = None
            raise
        blocking, entry.blocking = entry.blocking, None
        blocking.finish()
        if popped is None:
            self.strike_out(entry)
        return popped

    def leave(self, entries):
        """End the work with ``entries`` in any state. What can't be put back now is put back later."""
        try:
            for entry in entries:
                try:
                    if id(entry) in self.entries:
                        self._settle(entry)
                except RedisError:
                    pass  # it stays, and is settled once the shard is available
        finally:
            for entry in entries:
                entry.in_use = False

    # Putting back.

    def due(self, shards):
        """Return when the next entry of ``shards`` must be checked, by ``monotonic``, or None if there is none."""
        waiting = [entry.due for entry in list(self.entries.values()) if entry.shard in shards and not entry.in_use]
        return min(waiting) if waiting else None

    def settle(self, shard):
        """Put back what is due on ``shard``. redis-py's errors if it is unavailable; then the rest stays."""
        # If another thread is already doing this, there is nothing to do.
        if not self._settling.begin():
            return
        try:
            for entry in list(self.entries.values()):
                if entry.shard is shard and entry.is_due(monotonic()):
                    try:
                        self._settle(entry)
                    except RedisError as error:
                        if is_outage(error):
                            if shard.breaker.error is None:
                                shard.breaker.failed(error)  # only calls that are repeated do that themselves
                            raise
                        if entry.blocking is not None:
                            entry.blocking.close()
                        self.strike_out(entry)
                        logger.error("%s can't put messages back: %s", shard, error, extra=shard.log_attributes)
        finally:
            self._settling.end()

    def _settle(self, entry):
        if entry.blocking is not None:
            self._end(entry)
        if id(entry) not in self.entries:
            return
        entry = self._merged(entry)
        now = monotonic()
        confirmed = [found for found, since in entry.missing.items() if now - since >= times.MISSING_FOR]
        # The others are kept here, because their notes may be dropped in favour of later ones.
        unconfirmed = {found: since for found, since in entry.missing.items() if found not in confirmed}
        if entry.popped:
            confirmed.append((entry.queue_keys.index(entry.popped[0]) + 1, entry.popped[1]))
        missing = self._put_back(entry, confirmed)
        if entry.popped or entry.call:
            self.strike_out(entry)
            return
        now = monotonic()
        missing = collections.OrderedDict.fromkeys(missing, now)
        missing.update(unconfirmed)
        entry.missing = missing  # as a whole: another thread may be reading it
        entry.due = now + times.MISSING_FOR
        if now < entry.until or entry.missing:
            entry.quiet_since = None
        elif entry.quiet_since is None:
            entry.quiet_since = now
        else:
            self.strike_out(entry)

    def _end(self, entry):
        """End a blocking pop that may be under way. redis-py's error if the server does not reply; then it stays."""
        if not entry.blocking.is_open:  # it was not sent
            entry.blocking.close()
            self.strike_out(entry)
            return
        entry.blocking.wake()
        try:
            self.result(entry)
        except RedisError:
            pass  # it stays unknown what it has popped

    def _merged(self, entry):
        """Return ``entry``, or replace it by another entry of case 3 for the same queues, and return that."""
        if entry.popped or entry.call:
            return entry
        for other in list(self.entries.values()):
            if other is not entry and other.shard is entry.shard and other.queue_keys == entry.queue_keys and not (
                other.in_use or other.popped or other.call or other.blocking
            ):
                other.until = max(other.until, entry.until)
                other.due = 0  # if it can't be checked now, then before the next message is taken
                other.quiet_since = None
                self.strike_out(entry)
                return other
        return entry

    def _put_back(self, entry, confirmed):
        """Run the script. Return [(place of a queue, message key), ...] of missing messages."""
        shard, keys = entry.shard, entry.shard.keys
        session_key, number = entry.call or (None, 0)
        new_key = keys.prefix + random_name(32).encode("ascii")
        single_reader = "".join("01"[is_single_reader(key[len(keys.prefix):])] for key in entry.queue_keys)
        arguments = [len(entry.queue_keys), keys.queue_ms, number, keys.session_ms, new_key, single_reader]
        for place, message_key in confirmed:
            arguments += [place, message_key]
        script_keys = entry.queue_keys + ([session_key] if entry.call else [])
        reply = shard.run(scripts.put_back, script_keys, arguments)
        return list(zip(reply[::2], reply[1::2]))


def is_single_reader(queue):
    return b"!" in queue or b"?" in queue
