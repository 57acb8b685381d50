"""Block on several servers at once, until one of them has a message."""
from __future__ import unicode_literals

import binascii
import logging
import math
import os
import threading
import time

from redis.exceptions import RedisError, ResponseError, TimeoutError

from . import scripts
from .connections import acquire, call_all, can_read, release, send_command, with_address
from .sockets import pair, readable

logger = logging.getLogger(__name__)

#: Seconds that a server may be late with the answer of a blocking pop, before its connection is given up.
GRACE = 2

#: Seconds between two tries to end a blocking pop: doubling from the shortest to the longest.
SHORTEST_PAUSE = 0.005
LONGEST_PAUSE = 0.2

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
    A BLPOP on a connection of its own: ``learn_id``, then ``start``, then ``result`` or ``cancel``.

    ``place``: its number among those that are waited on. ``client``: a redis-py client. ``keys``: the queues.
    """

    def __init__(self, place, client, keys):
        self.place = place
        self.client = client
        self.keys = keys
        self.client_id = None
        self.wake_key = None
        self.started = False
        self.connection = None
        self.connection = self._do(acquire, client)
        self._do(send_command, self.connection, "CLIENT", "ID")

    def _do(self, method, *args):
        """Call a method of the connection, which is given up where that fails. redis-py's errors become ``Lost``."""
        try:
            return method(*args)
        except BaseException as error:
            self.close()
            if not isinstance(error, RedisError):
                raise
            raise Lost(self.place, with_address(error, self.client))

    def learn_id(self):
        """
        Read the id by which CLIENT UNBLOCK knows this connection.

        Servers before 5 have neither: there a list that nobody else knows, in the slot of the queues, ends the pop.
        """
        try:
            self.client_id = self.connection.read_response()
        except ResponseError:
            self.wake_key = "%s#wake#%s" % (self.keys[0], binascii.hexlify(os.urandom(8)).decode("ascii"))
        except RedisError as error:
            self.close()
            raise Lost(self.place, with_address(error, self.client))

    def start(self, seconds):
        """Let the server wait ``seconds``, a whole number as servers before 6 need."""
        self._do(send_command, self.connection, "BLPOP", *(self._all_keys() + [seconds]))
        self.started = True

    def _all_keys(self):
        # The last, so that a message comes before it.
        return self.keys + ([self.wake_key] if self.wake_key else [])

    def fileno(self):
        return self.connection._sock.fileno()

    def answered(self, timeout=0):
        """Whether ``result`` would return, or raise, at once."""
        return self._do(can_read, self.connection, timeout)

    def result(self):
        """``[queue key, message key]``, or None where the time was up. Ends the pop."""
        try:
            answer = self._do(self.connection.read_response)
            return None if answer and self._is_wake(answer[0]) else answer
        finally:
            self.release()

    def _is_wake(self, key):
        return self.wake_key is not None and key == self.wake_key.encode("utf-8")

    def cancel(self):
        """End the pop, if it goes on. What it has brought nevertheless is returned, as by ``result``."""
        if self.connection is None:
            return None
        if not self.started:
            return self.release() if self.client_id or self.wake_key else self.close()
        if not self.answered():
            if not self._unblock():
                return self.close()
        return self.result()

    def _unblock(self):
        """Whether the server ends the pop in time. Told once it might not: the pop may reach it later than this."""
        deadline, pause = monotonic() + GRACE, SHORTEST_PAUSE
        while monotonic() < deadline:
            if self.wake_key is None:
                self._call("CLIENT", "UNBLOCK", self.client_id)
            else:
                scripts.wake(self._call, [self.wake_key], [WAKE_MS])
            if self.answered(pause):
                return True
            pause = min(pause * 2, LONGEST_PAUSE)
        return False

    def _call(self, *command):
        return call_all(self.client, [command], GRACE)

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
    first. ``keep(place, pop)`` keeps a pop that could not be ended, for its server does not answer. To close the
    connection would not help: a server that was stopped goes on with what it was told, and pops for nobody.

    Returns (place in ``queues``, queue key, message key), or None where the time was up or ``waiter`` was woken. Raises
    ``Lost`` where a server fails.
    """
    pops = []
    try:
        for place, (client, keys) in enumerate(queues):
            pops.append(BlockingPop(place, client, keys))
        for pop in pops:
            pop.learn_id()
        for pop in pops:
            pop.start(int(math.ceil(seconds)))
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
    except Lost:
        pass  # its connection is broken
    except RedisError:
        keep(pop.place, pop)
    except Exception:
        logger.exception("Could not end a blocking pop.")
        pop.close()
