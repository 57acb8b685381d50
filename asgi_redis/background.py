"""receive_twisted and receive_async: the blocking receive, in a thread."""
from __future__ import unicode_literals

import importlib
import logging

from .waiting import Waiter

logger = logging.getLogger(__name__)

#: So many messages in a row are handed out of memory at once; then the event loop gets a turn.
IN_A_ROW = 100


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


class Pending(object):
    """
    A blocking receive that runs in a thread. What it finds after ``cancel``, or once ``is_wanted()`` is false, is put
    back.
    """

    def __init__(self, layer, channels, is_wanted=lambda: True):
        self.layer = layer
        self.channels = channels
        self.is_wanted = is_wanted
        self.waiter = Waiter()

    def run(self):
        """In the thread: (channel, message), or (None, None)."""
        found = self.layer._receive_blocking(self.channels, self.waiter)
        if not self.is_wanted():
            self.cancel()
        return self.unless_cancelled(found)

    def cancel(self):
        self.waiter.stop()

    def unless_cancelled(self, found):
        """``found``, or (None, None) after it was put back."""
        channel, message = found
        if not self.waiter.stopped or channel is None:
            return found
        try:
            self.layer._put_back(channel, message)
        except Exception:
            logger.exception("Lost a message on %s: its receive was cancelled, and it can't be put back.", channel)
        return None, None


class Awaitable(object):
    """What can be awaited as ``future`` can, but is none, so that asyncio makes a task of it."""

    def __init__(self, future):
        self.future = future

    def __await__(self):
        return self.future.__await__()


class Background(object):
    """The specification's twisted and async extensions, the same for every topology."""

    _in_a_row = 0

    def _take_from_memory(self, channels):
        """
        (channel, message) that can be handed out without a thread, or None.

        None also where the event loop has waited for its turn, or announcements must be renewed.
        """
        held = self._inbox.holding(channels)
        if not held or self._in_a_row == IN_A_ROW or not self._is_announced(held):
            self._in_a_row = 0
            return None
        self._in_a_row += 1
        return self._inbox.take(held)

    def receive_twisted(self, channels):
        """
        A Deferred of what ``receive(channels, block=True)`` would return or raise (the specification's "twisted").

        Where it is cancelled, or the reactor stops, what still comes is put back. RuntimeError without Twisted.
        """
        try:
            from twisted.internet import defer, reactor, threads
        except ImportError:
            raise RuntimeError("receive_twisted needs Twisted: pip install asgi_redis[twisted]")
        try:
            channels = self._receivable(channels)
        except TypeError:
            return defer.fail()
        found = self._take_from_memory(channels)
        if found:
            return defer.succeed(found)
        pending = Pending(self, channels)
        # A reactor that stops joins its threads.
        trigger = reactor.addSystemEventTrigger("before", "shutdown", pending.cancel)

        def end(result):
            try:
                reactor.removeSystemEventTrigger(trigger)
            except (KeyError, ValueError):
                pass  # the reactor is about to stop
            return result

        deferred = threads.deferToThread(pending.run).addBoth(end)
        outer = defer.Deferred(lambda _: pending.cancel())
        deferred.addCallbacks(
            lambda found: self._deliver(outer.called, pending, found, outer.callback),
            lambda failure: None if outer.called else outer.errback(failure),
        )
        return outer

    def receive_async(self, channels):
        """
        An ``asyncio.Future`` of what ``receive(channels, block=True)`` would return or raise (the specification's
        "async"); to be called where an event loop runs.

        Where it is cancelled, as ``asyncio.run`` does at its end, or the loop stops, what still comes is put back.
        RuntimeError without asyncio, that is, on Python 2.
        """
        try:
            import asyncio  # novm: Python 2 goes to the except
        except ImportError:
            raise RuntimeError("receive_async needs asyncio: Python 3.4 or newer")
        channels = self._receivable(channels)
        loop = getattr(asyncio, "get_running_loop", asyncio.get_event_loop)()
        future = asyncio.Future(loop=loop)
        found = self._take_from_memory(channels)
        if found:
            future.set_result(found)
            return future
        pending = Pending(self, channels, loop.is_running)
        future.add_done_callback(lambda future: pending.cancel() if future.cancelled() else None)

        def end(thread):
            if thread.cancelled():
                future.cancel()
            elif thread.exception():
                future.done() or future.set_exception(thread.exception())
            else:
                self._deliver(future.done(), pending, thread.result(), future.set_result)

        asyncio.ensure_future(loop.run_in_executor(None, pending.run), loop=loop).add_done_callback(end)
        if not hasattr(future, "__await__"):  # Python 3.4 makes tasks of coroutines only
            return future
        # A task, for those are what asyncio.run cancels. That may be before it has seen what its future has brought.
        task = asyncio.ensure_future(Awaitable(future), loop=loop)
        task.add_done_callback(lambda task: self._abandon(pending, future) if task.cancelled() else None)
        return task

    def _abandon(self, pending, future):
        if not future.cancel() and not future.cancelled() and not future.exception():
            self._deliver(True, pending, future.result(), None)

    def _deliver(self, cancelled, pending, found, callback):
        """In the event loop's thread: hand ``found`` over, or put it back."""
        if cancelled:
            pending.cancel()
            pending.unless_cancelled(found)
        else:
            callback(found)
