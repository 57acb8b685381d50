"""Messages that were lost or refused: how they are logged, and counted."""
from __future__ import unicode_literals

import atexit
import collections
import logging
import threading
import weakref

from redis.exceptions import RedisError
from six.moves import _thread

from ..server import scripts
from ..server.forks import PerProcess
from ..server.keys import ALL_CHANNELS
from ..server.turn import RLock

logger = logging.getLogger(__name__)

#: How often a loss is logged at most, in seconds.
INTERVAL = 1.0

#: How long the end of the process waits for each timer, in seconds: a log handler may hang.
END_WITHIN = 0.5

#: The ``Losses`` of this process.
_made_here = PerProcess(weakref.WeakSet, lambda made: None)

FULL = (
    "Channel %%(channel)s is full (capacity %%(detail)s): %s in the last second. Its reader is too slow, or its "
    "capacity too small."
)


@atexit.register
def end():
    """Log what is left. Its threads are daemons; Python 2 would end them in the middle, and write to standard error."""
    for losses in list(_made_here.get()):
        losses.end()


class Loss(collections.namedtuple(str("Loss"), "level line channel detail")):
    """A kind of loss on one channel. ``line``: the text for the log."""

    def log(self, number):
        values = {
            "channel": self.channel, "detail": self.detail,
            "number": number, "messages": "message" if number == 1 else "messages",
        }
        logger.log(self.level, self.line, values, extra={"channel": self.channel})


def dropped_group_messages(queue, capacity):
    return Loss(logging.WARNING, FULL % "dropped %(number)d group %(messages)s", queue, capacity)


def refused_messages(queue, capacity):
    return Loss(logging.WARNING, FULL % "refused %(number)d %(messages)s", queue, capacity)


def unreadable_messages(queue, reason):
    line = "Dropped %(number)d %(messages)s on %(channel)s in the last second: %(detail)s."
    return Loss(logging.ERROR, line, queue, reason)


def uncounted_messages(queue, error):
    line = "Dropped %(number)d %(messages)s on %(channel)s in the last second, and could not count them: %(detail)s"
    return Loss(logging.WARNING, line, queue, error)


class Losses(object):
    """
    Logs the first loss at once, then once a second how many messages were lost since then, a line for each ``Loss``.

    ``counter_lives``: how long the counters of a channel, and of all channels, live after their last change, in
    seconds.
    """

    def __init__(self, counter_lives):
        self._counter_lives = counter_lives
        #: Re-entrant: the thread that holds it may be interrupted by a signal handler that sends.
        self._lock = RLock()
        self._numbers = collections.Counter()
        self._timer = None
        self._is_ending = False
        _made_here.get().add(self)

    def add(self, losses):
        """Add ``losses``, {``Loss``: how many messages}."""
        with self._lock:
            self._numbers.update(losses)
            waits = self._timer is not None
        if losses and not waits:
            self._report()

    def _report(self):
        """Log the losses, and again after the interval until there are no more."""
        with self._lock:
            numbers, self._numbers = self._numbers, collections.Counter()
            self._timer = self._started_timer() if numbers and not self._is_ending else None
        # Not under the lock: a log handler may send to a group.
        for loss, number in sorted(numbers.items()):
            loss.log(number)

    def _started_timer(self):
        """Return a timer for the next report, or None if no thread can be started."""
        timer = threading.Timer(INTERVAL, self._report)
        timer.daemon = True
        try:
            timer.start()
        except (RuntimeError, _thread.error):  # the latter on Python 2, where it is another class
            return None
        return timer

    def end(self):
        """Log at once what is left, and from now on."""
        with self._lock:
            self._is_ending = True
            timer = self._timer
        if timer is not None:
            timer.cancel()
            timer.join(END_WITHIN)
        self._report()

    def wait(self):
        """Return once everything is logged."""
        while True:
            with self._lock:  # under which a timer is also started
                timer = self._timer
            if timer is None:
                return
            timer.join()

    def count(self, shard, counter, numbers):
        """Add ``numbers``, {queue: how many messages}, to a counter of these queues, and of all channels."""
        queues = sorted(numbers)
        keys = [shard.keys.counter(queue, counter) for queue in [ALL_CHANNELS] + queues]
        try:
            shard.run(scripts.count, keys, list(self._counter_lives) + [numbers[queue] for queue in queues])
        except RedisError as error:  # other messages are still delivered
            self.add({uncounted_messages(queue, str(error)): number for queue, number in numbers.items()})
