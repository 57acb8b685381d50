"""What may have left its queue without being received, and how it is put back."""
from __future__ import unicode_literals

import logging
import math
import threading

from redis.exceptions import RedisError

from ..server import scripts, times
from ..server.connections import is_outage
from ..server.keys import random_name
from ..server.times import monotonic
from ..server.waiting import BlockingPop

logger = logging.getLogger(__name__)


class OpenPop(object):
    """
    An entry of the table.

    ``shard``, ``queue_keys``: where. ``until``: when the server must have ended a blocking pop, by ``monotonic``.
    """

    def __init__(self, shard, queue_keys, until):
        self.shard = shard
        self.queue_keys = queue_keys
        self.until = until
        #: A blocking pop that may be under way, or None.
        self.blocking = None
        #: (queue key, message key) of what was popped, if that is known.
        self.popped = None
        #: (session key, number) of a receive whose reply was lost, if it is one.
        self.call = None
        #: False once no thread works with it any more.
        self.in_use = False
        #: {(place of the queue, message key): since when it is known to be missing}.
        self.missing = {}
        #: When it is looked at next, and when it was looked at after ``until`` and nothing was missing.
        self.due = 0
        self.quiet_since = None

    def is_due(self, now):
        # If a thread was interrupted twice, it has not said that it no longer works with this.
        return now >= self.due and (not self.in_use or now > self.until + times.GRACE)


class OpenPops(object):
    """
    The table of open pops. An entry is written before a key can leave its queue, and struck out when the message was
    received or put back.

    There are three cases of what is known:

    1. The key that was popped: it goes back at once, unless its message was received.
    2. The receive whose reply was lost: what it took is kept in Redis, and goes back at once.
    3. Nothing, because the connection of a blocking pop broke. The scripts note each key that they push to an empty
       queue, which is all that a waiting pop can get. A noted key whose message exists goes back if it is missing from
       its queue; if that has several readers, only if it has been missing for a second: release 1.4 pops, reads and
       deletes in three commands. The entry stays until the server must have ended the pop, and is looked at twice after
       that: one side of a connection may be broken while the server goes on to pop for no one.

    Safe between threads; putting back the same key twice changes nothing.
    """

    def __init__(self):
        self._entries = {}
        self._lock = threading.Lock()

    def __len__(self):
        return len(self._entries)

    # Entries.

    def start(self, shard, queue_keys, seconds):
        """Start a blocking pop, written down before. Returns its entry. redis-py's errors: then it has none."""
        seconds = int(math.ceil(seconds))
        entry = self._add(OpenPop(shard, queue_keys, monotonic() + seconds + times.GRACE))
        entry.in_use = True
        entry.blocking = BlockingPop(shard, queue_keys, seconds)
        try:
            entry.blocking.start()
        except BaseException as error:
            shard.place.follow(error)
            self.leave(entry)
            raise
        return entry

    def lost_call(self, shard, queue_keys, session_key, number):
        """Write down a receive whose reply was lost, or whose message did not reach the caller."""
        entry = OpenPop(shard, queue_keys, 0)
        entry.call = session_key, number
        self._add(entry)

    def _add(self, entry):
        self._entries[id(entry)] = entry
        return entry

    def strike_out(self, entry):
        self._entries.pop(id(entry), None)

    def result(self, entry):
        """What a blocking pop has brought, as its ``result``; redis-py's errors. Without any, strikes it out."""
        try:
            popped = entry.blocking.result()
        except RedisError as error:
            entry.shard.place.follow(error)
            entry.blocking.close()
            entry.blocking = None
            raise
        entry.blocking, entry.popped = None, popped
        if popped is None:
            self.strike_out(entry)
        return popped

    def leave(self, entry):
        """End the work with ``entry``, whatever it has come to; what can't be put back now is put back later."""
        try:
            if id(entry) in self._entries:
                self._settle(entry)
        except RedisError:
            pass  # it stays, and is settled once the shard is available
        finally:
            entry.in_use = False

    # Putting back.

    def due(self, shards):
        """When something of ``shards`` is to be looked at, by ``monotonic``; None if there is nothing."""
        waiting = [entry.due for entry in list(self._entries.values()) if entry.shard in shards and not entry.in_use]
        return min(waiting) if waiting else None

    def settle(self, shard):
        """Put back what is due on ``shard``. redis-py's errors, if it is unavailable: then the rest stays."""
        # A thread that finds another at work leaves it to that.
        if not self._lock.acquire(False):
            return
        try:
            for entry in list(self._entries.values()):
                if entry.shard is shard and entry.is_due(monotonic()):
                    try:
                        self._settle(entry)
                    except RedisError as error:
                        if is_outage(error):
                            raise
                        self.strike_out(entry)
                        logger.error("%s does not take messages back: %s", shard, error, extra=shard.log_attributes)
        finally:
            self._lock.release()

    def _settle(self, entry):
        if entry.blocking is not None:
            self._end(entry)
        if id(entry) not in self._entries:
            return
        entry = self._merged(entry)
        now = monotonic()
        confirmed = [found for found, since in entry.missing.items() if now - since >= times.MISSING_FOR]
        # The others are kept even if their notes have made room for later ones.
        unconfirmed = {found: since for found, since in entry.missing.items() if found not in confirmed}
        if entry.popped:
            confirmed.append((entry.queue_keys.index(entry.popped[0]) + 1, entry.popped[1]))
        missing = self._put_back(entry, confirmed)
        if entry.popped or entry.call:
            self.strike_out(entry)
            return
        now = monotonic()
        entry.missing = dict.fromkeys(missing, now)
        entry.missing.update(unconfirmed)
        entry.due = now + times.MISSING_FOR
        if now < entry.until or entry.missing:
            entry.quiet_since = None
        elif entry.quiet_since is None:
            entry.quiet_since = now
        else:
            self.strike_out(entry)

    def _end(self, entry):
        """End a blocking pop that may be under way. If the server does not answer, it stays; redis-py's error."""
        if not entry.blocking.is_open:  # it was not sent
            entry.blocking.close()
            self.strike_out(entry)
            return
        entry.blocking.wake()
        try:
            self.result(entry)
        except RedisError:
            pass  # what it has popped is unknown

    def _merged(self, entry):
        """``entry``, or another that knows as little of the same queues, and now stands for both."""
        if entry.popped or entry.call:
            return entry
        for other in list(self._entries.values()):
            if other is not entry and other.shard is entry.shard and other.queue_keys == entry.queue_keys and not (
                other.in_use or other.popped or other.call or other.blocking
            ):
                other.until = max(other.until, entry.until)
                other.quiet_since = None
                self.strike_out(entry)
                return other
        return entry

    def _put_back(self, entry, confirmed):
        """Run the script. Returns [(place of a queue, message key), ...] of what is missing."""
        shard, keys = entry.shard, entry.shard.keys
        session_key, number = entry.call or (None, 0)
        new_key = keys.prefix + random_name(32).encode("ascii")
        single_reader = "".join("01"[is_single_reader(key[len(keys.prefix):])] for key in entry.queue_keys)
        arguments = [len(entry.queue_keys), keys.queue_ms, number, keys.session_ms, new_key, single_reader]
        for place, message_key in reversed(confirmed):
            arguments += [place, message_key]
        script_keys = entry.queue_keys + ([session_key] if entry.call else [])
        reply = shard.run(scripts.put_back, script_keys, arguments)
        return list(zip(reply[::2], reply[1::2]))


def is_single_reader(queue):
    return b"!" in queue or b"?" in queue
