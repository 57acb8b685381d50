"""How many messages have arrived: tqdm's progress bar, or lines."""
from __future__ import unicode_literals

import threading

from ..internals import monotonic

try:
    from tqdm import tqdm
except ImportError:  # the extra ``demo`` is not installed
    tqdm = None

#: How many seconds pass between two lines.
INTERVAL = 3


def make_progress(screen, name, total):
    """
    Return an object whose ``update()`` shows that one more of ``total`` messages has arrived.

    It must be used in a ``with`` block. It is tqdm's progress bar if tqdm is installed and ``screen`` is a terminal.
    """
    if tqdm is None or not screen.is_terminal:
        return Lines(screen, name, total)
    # tqdm's defaults, a thread and a semaphore for several processes, serve programs that tick rarely or share bars.
    tqdm.monitor_interval = 0
    tqdm.set_lock(threading.RLock())
    with screen.signals.held():  # of a bar that is half made, tqdm's finalizer fails
        return tqdm(total=total, desc="  " + name, unit=" msg", file=screen, ascii=True, dynamic_ncols=True)


class Lines(object):
    """A line every ``INTERVAL`` seconds, and one for the last message."""

    def __init__(self, screen, name, total):
        self.screen = screen
        self.name = name
        self.total = total
        self.done = 0
        self._next = monotonic() + INTERVAL

    def update(self):
        self.done += 1
        if self.done == self.total or monotonic() >= self._next:
            self._next = monotonic() + INTERVAL
            self.screen.line("  {:<16}{:,} of {:,}".format(self.name, self.done, self.total))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass
