"""receive_twisted and receive_async: the blocking receive, in a thread."""
from __future__ import unicode_literals

import atexit
import collections
import importlib
import logging
import sys
import threading
import time

from ..server.forks import PerProcess
from ..server.times import monotonic
from ..server.waiting import Waiter

logger = logging.getLogger(__name__)

#: After this many messages in a row that are handed out from memory at once, the event loop gets a turn.
IN_A_ROW = 100

#: How long the end of the process waits for the threads, in seconds: their blocking pops must be ended on the server,
#: which may otherwise pop a message for a process that is gone.
LEAVE_WITHIN = 0.5

#: The receives of this process that are under way, a set of ``Pending``.
_under_way = PerProcess(set, lambda made: None)


@atexit.register
def leave():
    """Cancel all receives, and wait a moment for their threads, which are daemons and would end in the middle."""
    deadline = monotonic() + LEAVE_WITHIN
    under_way = _under_way.get()
    for pending in list(under_way):
        pending.cancel()
    while under_way and monotonic() < deadline:
        time.sleep(0.002)


def _is_installed(module):
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


#: The specification calls the asyncio one "async" in one place, "asyncio" in another.
BACKGROUND_EXTENSIONS = [
    extension
    for extension, module in (("twisted", "twisted"), ("async", "asyncio"), ("asyncio", "asyncio"))
    if _is_installed(module)
]


class Threads(object):
    """
    Threads that wait for messages: one for each pending receive. Idle ones are used again.

    They are not those of the reactor or the event loop, where pending receives would hold up an application's own work.
    They are daemons, so a process that ends does not wait for a server that hangs: see ``leave``.
    """

    def __init__(self):
        self._idle = collections.deque()

    def run(self, work):
        """Call ``work()`` in a thread."""
        try:
            thread = self._idle.pop()
        except IndexError:
            thread = Thread(self._idle)
            thread.start()
        thread.give(work)


class Thread(threading.Thread):
    """One of ``Threads``; it adds itself to ``idle`` when its work is done."""

    def __init__(self, idle):
        super(Thread, self).__init__(name="asgi_redis receive")
        self.daemon = True
        self._idle = idle
        self._has_work = threading.Semaphore(0)
        self._work = None

    def give(self, work):
        self._work = work
        self._has_work.release()

    def run(self):
        while True:
            self._has_work.acquire()
            work, self._work = self._work, None
            work()
            del work  # it holds the message that it has received
            self._idle.append(self)


class Pending(object):
    """
    A blocking receive that runs in a thread. A message that it finds after ``cancel``, or once ``is_wanted()`` is
    false, is put back.

    ``receive(channels, waiter)``: the blocking receive. ``return_message(channel, message)``: puts a message back.
    """

    def __init__(self, receive, return_message, channels, is_wanted=lambda: True):
        self._receive = receive
        self._return_message = return_message
        self._channels = channels
        self._is_wanted = is_wanted
        self.waiter = Waiter()

    def run(self, deliver, fail):
        """In the thread: call ``deliver`` with (channel, message) or (None, None), or ``fail`` with the exception."""
        under_way = _under_way.get()
        under_way.add(self)
        try:
            found = self._receive(self._channels, self.waiter) or (None, None)
            if not self._is_wanted():
                self.cancel()
            found = self.unless_cancelled(found)
        except BaseException:
            fail(sys.exc_info()[1])
        else:
            deliver(found)
        finally:
            under_way.discard(self)

    def cancel(self):
        self.waiter.stop()

    def unless_cancelled(self, found):
        """Return ``found``, or put it back and return (None, None) if this was cancelled."""
        channel, message = found
        if not self.waiter.stopped or channel is None:
            return found
        try:
            self._return_message(channel, message)
        except Exception:
            logger.exception("Lost a message on %s: its receive was cancelled, and it can't be put back.", channel)
        return None, None


class Background(object):
    """
    The specification's twisted and async extensions.

    ``receiver``: a ``Receiver``. ``inbox``: its ``Inbox``. ``receive``, ``return_message``: as in ``Pending``.
    """

    def __init__(self, receiver, inbox, receive, return_message):
        self._receiver = receiver
        self._inbox = inbox
        self._receive = receive
        self._return_message = return_message
        self._threads = Threads()
        self._in_a_row = 0

    def _take_from_memory(self, channels):
        """
        Return a (channel, message) that can be handed out without a thread, or None.

        It is None, too, if it is the event loop's turn, or announcements must be renewed.
        """
        held = self._inbox.holding(channels) if self._inbox else None
        if not held or self._in_a_row == IN_A_ROW or not self._receiver.is_announced(held):
            self._in_a_row = 0
            return None
        self._in_a_row += 1
        return self._inbox.take(held)

    def _pending(self, channels, is_wanted=lambda: True):
        return Pending(self._receive, self._return_message, channels, is_wanted)

    # Twisted.

    def receive_twisted(self, channels):
        """Return a Deferred of (channel, message) or (None, None). RuntimeError without Twisted."""
        try:
            from twisted.internet import defer, reactor
        except ImportError:
            raise RuntimeError("receive_twisted needs Twisted: pip install asgi_redis[twisted]")
        found = self._take_from_memory(channels)
        if found:
            return defer.succeed(found)
        pending = self._pending(channels)
        trigger = reactor.addSystemEventTrigger("before", "shutdown", pending.cancel)
        deferred = defer.Deferred(lambda _: pending.cancel())

        def end(use, result):
            try:
                reactor.removeSystemEventTrigger(trigger)
            except (KeyError, ValueError):
                pass  # the reactor is about to stop
            use(result)

        def deliver(found):
            if deferred.called:
                pending.cancel()
                pending.unless_cancelled(found)
            else:
                deferred.callback(found)

        def fail(error):
            if not deferred.called:
                deferred.errback(error)

        self._threads.run(lambda: pending.run(
            lambda found: reactor.callFromThread(end, deliver, found),
            lambda error: reactor.callFromThread(end, fail, error),
        ))
        return deferred

    # asyncio.

    def receive_async(self, channels):
        """Return an ``asyncio.Future`` of (channel, message) or (None, None). RuntimeError without asyncio."""
        try:
            import asyncio  # novm: Python 2 goes to the except
        except ImportError:
            raise RuntimeError("receive_async needs asyncio: Python 3.4 or newer")
        loop = getattr(asyncio, "get_running_loop", asyncio.get_event_loop)()
        future = asyncio.Future(loop=loop)
        found = self._take_from_memory(channels)
        if found:
            future.set_result(found)
            return future
        pending = self._pending(channels, loop.is_running)
        future.add_done_callback(lambda future: pending.cancel() if future.cancelled() else None)
        self._threads.run(lambda: pending.run(
            lambda found: call_in(loop, lambda: deliver(pending, future, found), lambda: return_(pending, found)),
            lambda error: call_in(loop, lambda: future.done() or future.set_exception(error), lambda: None),
        ))
        if not hasattr(future, "__await__"):  # Python 3.4 makes tasks of coroutines only
            return future
        # A task, because asyncio.run cancels tasks. It may do that before the task has seen the result of its future.
        task = asyncio.ensure_future(Awaitable(future), loop=loop)
        task.add_done_callback(lambda task: abandon(pending, future) if task.cancelled() else None)
        return task


class Awaitable(object):
    """Can be awaited like ``future``, but is no future itself, so that asyncio makes a task of it."""

    def __init__(self, future):
        self.future = future

    def __await__(self):
        return self.future.__await__()


def call_in(loop, work, otherwise):
    """Call ``work()`` in the loop's thread, or ``otherwise()`` here if the loop is closed."""
    try:
        loop.call_soon_threadsafe(work)
    except RuntimeError:
        otherwise()


def return_(pending, found):
    pending.cancel()
    pending.unless_cancelled(found)


def deliver(pending, future, found):
    """In the loop's thread: hand ``found`` over, or put it back."""
    if future.done():
        return_(pending, found)
    else:
        future.set_result(found)


def abandon(pending, future):
    """After a task was cancelled: cancel its future, or put the message back if it already has one."""
    if not future.cancel() and not future.cancelled() and not future.exception():
        return_(pending, future.result())
