"""Block on several servers at once, until one of them has a message."""
from __future__ import unicode_literals

import errno
import math
import os
import select
import threading
import time

from redis.exceptions import RedisError, ResponseError, TimeoutError

from .connections import acquire, call, release, with_address

#: Seconds that a server may be late with the answer of a blocking pop, before its connection is given up.
GRACE = 2

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
        self._pipe = None

    def __enter__(self):
        with self._lock:
            self._pipe = os.pipe()
            if self.stopped:
                os.write(self._pipe[1], b"!")
        return self

    def __exit__(self, *error):
        with self._lock:
            for end in self._pipe:
                os.close(end)
            self._pipe = None

    def wake(self):
        with self._lock:
            if self._pipe is not None:
                os.write(self._pipe[1], b"!")

    def stop(self):
        self.stopped = True
        self.wake()

    def fileno(self):
        return self._pipe[0]

    def sleep(self, seconds):
        """Sleep, unless woken."""
        _readable([self], seconds)


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
        self.started = False
        self.connection = None
        self.connection = self._do(acquire, client)
        self._do(self.connection.send_command, "CLIENT", "ID")

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
        """Read the id by which CLIENT UNBLOCK knows this connection. Servers before 5 have neither, and give None."""
        try:
            self.client_id = self.connection.read_response()
        except ResponseError:
            pass
        except RedisError as error:
            self.close()
            raise Lost(self.place, with_address(error, self.client))

    def start(self, seconds):
        """Let the server wait ``seconds``, a whole number as servers before 6 need."""
        self._do(self.connection.send_command, "BLPOP", *(self.keys + [seconds]))
        self.started = True

    def fileno(self):
        return self.connection._sock.fileno()

    def answered(self, timeout=0):
        """Whether ``result`` would return, or raise, at once."""
        return self._do(self.connection.can_read, timeout)

    def result(self):
        """``[queue key, message key]``, or None where the time was up. Ends the pop."""
        try:
            return self._do(self.connection.read_response)
        finally:
            self.release()

    def cancel(self):
        """End the pop, if it goes on. What it has brought nevertheless is returned, as by ``result``."""
        if self.connection is None:
            return None
        if not self.started:
            return self.close() if self.client_id is None else self.release()
        if not self.answered():
            if self.client_id is None:
                return self.close()
            call(self.client, "CLIENT", "UNBLOCK", self.client_id)
            if not self.answered(GRACE):
                return self.close()
        return self.result()

    def close(self):
        """Give the connection up, with what the server may still have written to it."""
        if self.connection is not None:
            self.connection.disconnect()
            self.release()

    def release(self):
        if self.connection is not None:
            connection, self.connection = self.connection, None
            release(self.client, connection)


class Sweep(Exception):
    """A server has no CLIENT UNBLOCK, so several can't be waited on at once."""


def first_message(queues, seconds, limit, waiter, restore):
    """
    Wait on all servers at once for a message key.

    ``queues``: a list of (client, queue keys). ``seconds``: how long the servers wait at most, rounded up to a whole
    number, as they need; ``limit``: after how many it returns anyway, or None. ``waiter``: a ``Waiter``, in
    its ``with`` block. ``restore(place, queue key, message key)`` puts back what a server popped but did not come
    first.

    Returns (place in ``queues``, queue key, message key), or None where the time was up or ``waiter`` was woken. Raises
    ``Sweep`` at once where there are several servers and one is older than Redis 5; ``Lost`` where a server fails.
    """
    pops = []
    try:
        for place, (client, keys) in enumerate(queues):
            pops.append(BlockingPop(place, client, keys))
        for pop in pops:
            pop.learn_id()
        if len(pops) > 1 and not all(pop.client_id for pop in pops):
            raise Sweep()
        for pop in pops:
            pop.start(int(math.ceil(seconds)))
        seconds = math.ceil(seconds) + GRACE
        return _first_answer(pops, waiter, monotonic() + seconds, monotonic() + min(limit or seconds, seconds))
    finally:
        for pop in pops:
            _cancel(pop, restore)


def _first_answer(pops, waiter, deadline, limit):
    waiting = list(pops)
    while waiting:
        answered = _answered(waiting, waiter, deadline, limit)
        if not answered:
            return None
        for pop in answered:
            waiting.remove(pop)
            answer = pop.result()
            if answer is not None:
                return pop.place, answer[0], answer[1]
    return None


def _answered(pops, waiter, deadline, limit):
    """Those of ``pops`` whose answer is here, or none where ``waiter`` was woken, or ``limit`` came, first."""
    woken = False
    while True:
        here = [pop for pop in pops if pop.answered()]
        if here or woken:
            return here
        if monotonic() >= deadline:
            error = TimeoutError("No answer to a blocking pop")
            raise Lost(pops[0].place, with_address(error, pops[0].client))
        woken = waiter.fileno() in _readable(pops + [waiter], max(limit - monotonic(), 0)) or monotonic() >= limit


def _readable(sockets, seconds):
    """The file numbers of those of ``sockets`` that have something to read, after ``seconds`` at most."""
    if not hasattr(select, "poll"):  # Windows, where only sockets can be waited on: nobody is woken there
        if len(sockets) == 1:
            return time.sleep(seconds) or []
        return [ready.fileno() for ready in select.select(sockets[:-1], [], [], seconds)[0]]
    poll = select.poll()
    for waited_on in sockets:
        poll.register(waited_on, select.POLLIN)
    try:
        return [number for number, _ in poll.poll(seconds * 1000)]
    except select.error as error:  # Python before 3.5 does not go on after a signal
        if error.args[0] != errno.EINTR:
            raise
        return []


def _cancel(pop, restore):
    try:
        answer = pop.cancel()
        if answer:
            restore(pop.place, answer[0], answer[1])
    except (Lost, RedisError):
        # The error that matters is raised where the wait ended, or will be at this server's next command.
        pop.close()
