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

#: What a receive returns that has found nothing.
NOTHING = None, None

#: The receives of this process that are under way, or whose message was not handed over yet: a set of ``Pending``.
_under_way = PerProcess(set, lambda made: None)


@atexit.register
def leave():
    """
    Cancel all receives, and wait a moment for their threads, which are daemons and would end in the middle. Messages
    that a stopped reactor or event loop did not hand over are put back.
    """
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

    def run(self, work, fail):
        """Call ``work()`` in a thread, or ``fail`` with the exception if the system allows no more threads."""
        try:
            thread = self._idle.pop()
        except IndexError:
            thread = Thread(self._idle)
            try:
                thread.start()
            except threading.ThreadError:  # a RuntimeError on Python 3
                fail(sys.exc_info()[1])
                return
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
    A blocking receive that runs in a thread. Its message is put back if ``cancel`` is called before ``take``, or if
    ``is_wanted()`` is false when it arrives.

    ``receive(channels, waiter)``: the blocking receive. ``return_message(channel, message)``: puts a message back.
    """

    def __init__(self, receive, return_message, channels, is_wanted=lambda: True):
        self._receive = receive
        self._return_message = return_message
        self._channels = channels
        self._is_wanted = is_wanted
        self.waiter = Waiter()
        #: The (channel, message), until one thread removes it, to hand it over or to put it back.
        self._found = []
        #: True once ``cancel`` has put the message back.
        self.is_put_back = False

    def run(self, deliver, fail):
        """In the thread: call ``deliver`` with (channel, message) or ``NOTHING``, or ``fail`` with the exception."""
        under_way = _under_way.get()
        under_way.add(self)
        try:
            found = self._receive(self._channels, self.waiter)
            if found and not self._is_wanted():
                found = self._put_back(found)
            if found:
                self._found.append(found)
            if self.waiter.stopped:
                self.cancel()
        except BaseException:
            fail(sys.exc_info()[1])
        else:
            deliver(NOTHING if self.is_put_back else found or NOTHING)
        finally:
            if not self._found:
                under_way.discard(self)

    def take(self):
        """Return the (channel, message), which is not put back from now on, or None if there is none any more."""
        try:
            found = self._found.pop()
        except IndexError:
            return None
        _under_way.get().discard(self)
        return found

    def cancel(self):
        """End the receive. Put back a message that was not taken, also one that still arrives."""
        self.waiter.stop()
        try:
            found = self._found.pop()
        except IndexError:
            return
        self.is_put_back = True
        self._put_back(found)
        _under_way.get().discard(self)

    def _put_back(self, found):
        try:
            self._return_message(*found)
        except Exception:
            logger.exception("Lost a message on %s: its receive was cancelled, and it can't be put back.", found[0])


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
        held = self._inbox.holding(channels) if self._inbox.batches else None
        if not held or self._in_a_row == IN_A_ROW or not self._receiver.is_announced(held):
            self._in_a_row = 0
            return None
        self._in_a_row += 1
        return self._inbox.take(held)

    def _pending(self, channels, is_wanted=lambda: True):
        return Pending(self._receive, self._return_message, channels, is_wanted)

    # Twisted.

    def receive_twisted(self, channels):
        """
        Return a Deferred of (channel, message) or ``NOTHING``. RuntimeError without Twisted.

        ``channels()``: the names, a frozenset; a TypeError that it raises is that of the Deferred.
        """
        try:
            from twisted.internet import defer, reactor
        except ImportError:
            raise RuntimeError("receive_twisted needs Twisted: pip install asgi_redis[twisted]")
        try:
            channels = channels()
        except TypeError:
            return defer.fail()
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
            if deferred.called:
                pending.cancel()
            else:
                use(result)

        def deliver(_):
            deferred.callback(pending.take() or NOTHING)

        self._threads.run(
            lambda: pending.run(
                lambda found: reactor.callFromThread(end, deliver, found),
                lambda error: reactor.callFromThread(end, deferred.errback, error),
            ),
            lambda error: end(deferred.errback, error),
        )
        return deferred

    # asyncio.

    def receive_async(self, channels):
        """Return an ``asyncio.Future`` of (channel, message) or ``NOTHING``. RuntimeError without asyncio."""
        try:
            import asyncio  # novm: Python 2 goes to the except

            from .received import Received
        except ImportError:
            raise RuntimeError("receive_async needs asyncio: Python 3.4 or newer")
        loop = getattr(asyncio, "get_running_loop", asyncio.get_event_loop)()
        found = self._take_from_memory(channels)
        if found:
            future = asyncio.Future(loop=loop)
            future.set_result(found)
            return future
        pending = self._pending(channels, loop.is_running)
        received = Received(pending, loop)

        def end(use, result):
            try:
                loop.call_soon_threadsafe(lambda: received.done() or use(result))
            except RuntimeError:  # the loop is closed
                pending.cancel()

        def fail(error):
            end(received.set_exception, error)

        self._threads.run(lambda: pending.run(lambda found: end(received.set_result, found), fail), fail)
        return received
