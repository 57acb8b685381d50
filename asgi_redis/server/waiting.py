"""Block on several shards at once, until one of them has a message."""
from __future__ import unicode_literals

from redis.exceptions import TimeoutError

from . import resp, scripts, times
from .forks import PerProcess
from .keys import WAKE_MS
from .sockets import pair, readable, ring
from .turn import RLock

#: The waits of this process that are under way, a set of ``Waiter``.
_under_way = PerProcess(set, lambda waiters: [waiter.abandon() for waiter in waiters])


def abandon_waits():
    """In a forked child: close the sockets with which threads of its parent wait."""
    _under_way.get()


class Waiter(object):
    """
    Lets other threads end a wait: ``wake`` ends the current one, ``stop`` also all later ones.

    Waits take place in its ``with`` block; it can be woken only there.
    """

    def __init__(self):
        self.stopped = False
        #: Re-entrant: the thread that holds it may be interrupted by a signal handler that calls ``stop``.
        self._lock = RLock()
        #: Two connected sockets, while it waits.
        self._ends = None

    def __enter__(self):
        with self._lock:
            self._ends = pair()
            if self.stopped:
                ring(self._ends[1])
        _under_way.get().add(self)
        return self

    def __exit__(self, *error):
        _under_way.get().discard(self)
        with self._lock:
            self.abandon()

    def abandon(self):
        """Close the sockets. A forked child must not wait for the lock, which a thread of its parent may have."""
        ends, self._ends = self._ends, None
        for end in ends or ():
            end.close()

    def wake(self):
        with self._lock:
            if self._ends is not None:
                ring(self._ends[1])

    def stop(self):
        self.stopped = True
        self.wake()

    def fileno(self):
        return self._ends[0].fileno()

    def sleep(self, seconds):
        """Sleep, unless woken."""
        if readable([self], seconds) and not self.stopped:
            self._ends[0].recv(4096)


class BlockingPop(object):
    """
    A BLPOP on a session of its own: ``start``, perhaps ``wake``, then ``result`` and ``finish``, or ``close``.

    It also waits on a list that no other pop uses, in the slot of the queues; ``wake`` ends it by a push to that list.
    CLIENT UNBLOCK would need Redis 5, the connection's number, and a permission that most users lack; and if it reaches
    the server before the BLPOP does, it is lost.

    ``queue_keys``: the queues, in bytes. ``seconds``: how long the server waits, a whole number because servers before
    Redis 6 need that.
    """

    def __init__(self, shard, queue_keys, seconds):
        self.shard = shard
        self._wake_key = shard.keys.wake()
        # That list comes last, so that messages take precedence.
        self._command = resp.command("BLPOP", *(queue_keys + [self._wake_key, seconds]))
        self._session = None
        self._connection = None
        self._error = None

    def start(self):
        """
        Send the command. redis-py's errors. From here on it is unknown what the server has popped, until ``result``
        returns.
        """
        self._session = self.shard.borrow(receiving=True)
        if self._session.connection is None or times.monotonic() > self._session.idle_at:
            self.shard.prepare(self._session)
        # The session has no connection until this one is known to be intact.
        self._connection, self._session.connection = self._session.connection, None
        self._connection.send(self._command)

    @property
    def is_open(self):
        """True if the command may have been sent."""
        return self._connection is not None

    def fileno(self):
        return self._connection.fileno()

    def has_reply(self, seconds=0):
        """Return True if ``result`` would return or raise within ``seconds``."""
        return self._error is not None or self._connection.can_read(seconds)

    def result(self):
        """
        Return ``[queue key, message key]``, or None if the pop timed out or was ended; the same each time. redis-py's
        errors.
        """
        if self._error is not None:
            raise self._error
        reply = self._connection.read()
        return None if reply and reply[0] == self._wake_key else reply

    def finish(self):
        """Give back the session, after a ``result``."""
        self._session.connection = self._connection
        self.shard.give_back(self._session)

    def wake(self):
        """End the pop on the server if it still waits, so that there is a ``result``. redis-py's errors."""
        if not self.has_reply():
            self.shard.ask_once(scripts.wake.command([self._wake_key], [WAKE_MS]), times.GRACE / 8.0)
            if not self.has_reply(times.GRACE):
                self._error = TimeoutError("No reply to a blocking pop that was ended")

    def close(self):
        """Close the connection. It stays unknown what the server has popped, or still pops."""
        if self._session is not None:
            self.shard.retire(self._session)
            self._session = self._connection = None


def first_reply(pops, waiter, until):
    """
    Wait until some of ``pops``, open ``BlockingPop`` objects, have a reply, and return these, a list. It is empty if
    ``waiter`` is woken first, or at ``until`` (by ``times.monotonic``). A pop whose connection is broken counts as one
    with a reply.
    """
    while True:
        here = [pop for pop in pops if pop.has_reply()]
        if here:
            return here
        # Of TLS, something may be readable that is no reply.
        ready = readable(pops + [waiter], max(until - times.monotonic(), 0))
        if not ready or waiter.fileno() in ready:
            return [pop for pop in pops if pop.has_reply()]
