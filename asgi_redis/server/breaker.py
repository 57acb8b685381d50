"""A circuit breaker: what calls do while their shard is unavailable."""
from __future__ import unicode_literals

import contextlib
import logging
import random

from redis.exceptions import ConnectionError

from . import times
from .turn import RLock, Turn

logger = logging.getLogger(__name__)


class Breaker(object):
    """
    Tracks whether a shard is available. All calls of this process to the shard share it.

    There are three states:

    1. Closed, ``error`` is None: calls go to the server.
    2. Failing, for the first second (``times.RETRY_FOR``) of an outage: calls are repeated.
    3. Open, after that: calls fail at once with the last error, but for one at a time that probes the server when the
       next try is due. Blocking receives probe in their own threads. A send probes only if this process has none: a
       send may hold up a reactor.

    ``shard``: an object whose ``str()`` names the shard in log records and errors, and whose ``log_attributes`` the
    records get. Logs a WARNING when an outage begins, and once a minute while it lasts, and an INFO when it ends.
    """

    def __init__(self, shard):
        self._shard = shard
        #: Re-entrant: the thread that holds it may be interrupted by a signal handler that sends.
        self._lock = RLock()
        self._probing = Turn()
        #: redis-py's error of the last try, or None.
        self.error = None
        self._since = self._last = self._ended = self._logged = float("-inf")
        self._next_try = 0
        self._pause = times.SHORTEST_PAUSE
        self._patience = times.SHORTEST_PATIENCE
        self._receivers_until = float("-inf")

    # Failures.

    def failed(self, error, began=None):
        """
        Record a failed try. Return True if the call may be repeated, after ``pause()``.

        ``began``: when the call first failed (default: now).
        """
        now = times.monotonic()
        with self._lock:
            if self.error is None and now - self._ended >= times.FLAPPING:
                self._since = now if began is None else began
                self._pause, self._patience = times.SHORTEST_PAUSE, times.SHORTEST_PATIENCE
            elif self.error is not None and now - self._last > times.FLAPPING:
                self._since = now  # nothing was tried in between: it may have been available
            self.error, self._last = copied(error), now
            self._next_try = now + self._pause * random.uniform(0.75, 1)
            self._pause = min(self._pause * 2, times.LONGEST_PAUSE)
            if self._is_open(now):
                self._patience = min(self._patience * 2, times.LONGEST_PATIENCE)
            is_news = now - self._logged >= times.LOG_AGAIN or self._ended >= self._logged
            if is_news:
                self._logged = now
        if is_news:
            logger.warning(
                "%s is unavailable, retrying: %s", self._shard, error, extra=self._shard.log_attributes
            )
        return not self._is_open(now)

    def succeeded(self):
        """Record that the server has taken a write."""
        with self._lock:
            if self.error is None:
                return
            self.error, self._ended = None, times.monotonic()
            seconds = self._ended - self._since
        logger.info("%s is available again after %.1f s.", self._shard, seconds, extra=self._shard.log_attributes)

    def _is_open(self, now):
        return now - self._since >= times.RETRY_FOR

    # What a call asks.

    def pause(self):
        """Return how long it is until the next try, in seconds; 0 if it is due."""
        # On Python 2 the clock may be set back.
        return min(max(self._next_try - times.monotonic(), 0), times.LONGEST_PAUSE)

    def time_left(self, began):
        """Return for how long a call that first failed at ``began`` may still be repeated, in seconds."""
        return max(began, self._since) + times.RETRY_FOR - times.monotonic()

    def lasts(self):
        """Return how long the outage has lasted, in seconds; 0 if there is none."""
        return self._last - self._since if self.error is not None else 0

    def is_open(self):
        return self.error is not None and self._is_open(times.monotonic())

    def begin_probe(self, receiving):
        """
        Return how long the server may take to reply to a probe, in seconds, or None if this call must not probe.
        ``receiving``: True for a blocking receive.
        """
        now = times.monotonic()
        if receiving:
            self._receivers_until = now + 2 * times.LONGEST_PATIENCE
        elif now < self._receivers_until:
            return None
        if self.pause() or not self._probing.begin():
            return None
        return self._patience if receiving else min(self._patience, 1)

    @contextlib.contextmanager
    def probe(self, receiving):
        """
        Yield how long the server may take to reply to the probe that the block makes, in seconds. Raise the refusal if
        this call must not probe. ``receiving``: as above.
        """
        patience = self.begin_probe(receiving)
        if patience is None:
            raise self.refusal()
        try:
            yield patience
        finally:
            self._probing.end()

    def refusal(self):
        """Return the error for a call that is not tried: the last error, with the time until the next try."""
        error = self.error or ConnectionError("%s was unavailable" % self._shard)
        return not_sent(copied(error, "%s; next try in %.1f s" % (error, self.pause())))


def not_sent(error):
    """Return ``error`` with the mark that the server surely has not executed the command: see ``Shard.ask``."""
    error.was_sent = False
    return error


def copied(error, text=None, kind=None):
    """
    Return an error of the same class, or of class ``kind``, with the same text or ``text``, and without the traceback.
    """
    text = str(error) if text is None else text
    try:
        return (kind or type(error))(text)
    except (TypeError, ValueError, IndexError):  # some errors of Redis Cluster take more arguments
        return ConnectionError(text)
