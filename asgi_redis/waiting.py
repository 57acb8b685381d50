"""Block on several servers at once, until one of them has a message."""
from __future__ import unicode_literals

import binascii
import logging
import math
import os
import threading
import time

from redis.exceptions import RedisError, TimeoutError

from . import scripts
from .connections import acquire, call_all, can_read, release, send_command, with_address
from .sockets import pair, readable

logger = logging.getLogger(__name__)

#: Seconds that a server may be late with the answer of a blocking pop, before its connection is given up.
GRACE = 2

#: Milliseconds that a list which is to end a blocking pop lives where the pop has ended by itself.
WAKE_MS = 10000

monotonic = getattr(time, "monotonic", time.time)


class Lost(Exception):
    """The server at ``place`` of those that are waited on raised ``error``."""

    def __init__(self, place, error):
        super(Lost, self).__init__(place, error)
        self.place = place
        self.error = error


class Waiter(object):
    """
    Lets other threads end a wait: ``wake`` this one, ``stop`` also any that would follow.

    It waits inside its ``with`` block, and can be woken there only.
    """

    def __init__(self):
        self.stopped = False
        self._lock = threading.Lock()
        self._ends = None

    def __enter__(self):
        with self._lock:
            self._ends = pair()
            if self.stopped:
                self._ends[1].send(b"!")
        return self

    def __exit__(self, *error):
        with self._lock:
            for end in self._ends:
                end.close()
            self._ends = None

    def wake(self):
        with self._lock:
            if self._ends is not None:
                self._ends[1].send(b"!")

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
    A BLPOP on a connection of its own, from the beginning; then ``result`` or ``cancel``.

    It also waits on a list of its own, whose name nobody else knows, in the slot of the queues: by that ``cancel`` ends
    it. CLIENT UNBLOCK would need Redis 5, the connection's number, and a permission that most users lack; and where it
    reaches the server before the BLPOP does, it is lost.

    ``place``: its number among those that are waited on. ``client``: a redis-py client. ``keys``: the queues.
    ``seconds``: how long the server waits, a whole number as servers before 6 need.
    """

    def __init__(self, place, client, keys, seconds):
        self.place = place
        self.client = client
        self.keys = keys
        self.wake_key = "%s#wake#%s" % (keys[0], binascii.hexlify(os.urandom(8)).decode("ascii"))
        #: Whether it has ended in a way that leaves unknown what it has brought.
        self.is_lost = False
        self.connection = None
        self.connection = self._do(acquire, client)
        # That list is the last, so that a message comes before it.
        self._do(send_command, self.connection, "BLPOP", *(keys + [self.wake_key, seconds]))

    def _do(self, method, *args):
        """Call a method of the connection, which is given up where that fails. redis-py's errors become ``Lost``."""
        try:
            return method(*args)
        except BaseException as error:
            self.give_up()
            if not isinstance(error, RedisError):
                raise
            raise Lost(self.place, with_address(error, self.client))

    def fileno(self):
        return self.connection._sock.fileno()

    def answered(self, timeout=0):
        """Whether ``result`` would return, or raise, at once."""
        return self._do(can_read, self.connection, timeout)

    def result(self):
        """``[queue key, message key]``, or None where the time was up. Ends the pop."""
        try:
            answer = self._do(self.connection.read_response)
            return None if answer and answer[0] == self.wake_key.encode("utf-8") else answer
        finally:
            self.release()

    def cancel(self):
        """
        End the pop, if it goes on. What it has brought nevertheless is returned, as by ``result``.

        Raises ``Lost`` where its connection is broken, redis-py's errors where the server does not answer: then it goes
        on, and can be cancelled again.
        """
        if self.connection is None:
            return None
        if not self.answered():
            scripts.wake(lambda *command: call_all(self.client, [command], GRACE), [self.wake_key], [WAKE_MS])
            if not self.answered(GRACE):
                return self.give_up()
        return self.result()

    def give_up(self):
        """Close the connection. What it has brought is not known."""
        self.is_lost = True
        self.close()

    def close(self):
        """Give the connection up, with what the server may still have written to it."""
        if self.connection is not None:
            self.connection.disconnect()
            self.release()

    def release(self):
        if self.connection is not None:
            connection, self.connection = self.connection, None
            release(self.client, connection)


def first_message(queues, seconds, limit, waiter, restore, keep):
    """
    Wait on all servers at once for a message key.

    ``queues``: a list of (client, queue keys). ``seconds``: how long the servers wait at most, rounded up to a whole
    number, as they need; ``limit``: after how many it returns anyway, or None. ``waiter``: a ``Waiter``, in
    its ``with`` block. ``restore(place, queue key, message key)`` puts back what a server popped but did not come
    first. ``keep(place, pop)`` is told of a pop whose connection broke, and of one that could not be ended, for its
    server does not answer. To close the connection would not help: a server that was stopped goes on with what it was
    told, and pops for nobody.

    Returns (place in ``queues``, queue key, message key), or None where the time was up or ``waiter`` was woken. Raises
    ``Lost`` where a server fails.
    """
    pops = []
    try:
        for place, (client, keys) in enumerate(queues):
            pops.append(BlockingPop(place, client, keys, int(math.ceil(seconds))))
        deadline = monotonic() + math.ceil(seconds) + GRACE
        return _first_answer(pops, waiter, deadline, deadline if limit is None else monotonic() + limit)
    finally:
        for pop in pops:
            _cancel(pop, restore, keep)


def _first_answer(pops, waiter, deadline, until):
    waiting = list(pops)
    while waiting:
        answered = _answered(waiting, waiter, deadline, until)
        if not answered:
            return None
        for pop in answered:
            waiting.remove(pop)
            answer = pop.result()
            if answer is not None:
                return pop.place, answer[0], answer[1]
    return None


def _answered(pops, waiter, deadline, until):
    """
    Those of ``pops`` whose answer is here, or none where ``waiter`` was woken first, or it is ``until``.

    Raises ``Lost`` where there is none at ``deadline``.
    """
    woken = False
    while True:
        here = [pop for pop in pops if pop.answered()]
        if here or woken or monotonic() >= until < deadline:
            return here
        if monotonic() >= deadline:
            error = TimeoutError("No answer to a blocking pop")
            raise Lost(pops[0].place, with_address(error, pops[0].client))
        woken = waiter.fileno() in readable(pops + [waiter], max(min(until, deadline) - monotonic(), 0))


def _cancel(pop, restore, keep):
    """End ``pop``, whatever happens: others are to be ended too. The error that matters is raised elsewhere."""
    try:
        answer = pop.cancel()
        if answer:
            restore(pop.place, answer[0], answer[1])
    except (Lost, RedisError):
        pass
    except Exception:
        logger.exception("Could not end a blocking pop.")
        pop.give_up()
    if pop.is_lost or pop.connection is not None:
        keep(pop.place, pop)
