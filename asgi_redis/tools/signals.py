"""Ctrl-C, SIGTERM and SIGHUP."""
from __future__ import unicode_literals

import contextlib
import signal


class Stopped(BaseException):
    """Raised to end a command because of a signal. ``status`` is the exit status that reports it."""

    def __init__(self, signum):
        super(Stopped, self).__init__()
        self.status = 128 + signum


class Signals(object):
    """
    Records the first signal at any time, but raises ``Stopped`` only inside ``raised()``.

    Otherwise the exception could come after a process was started and before it was recorded, and leave it running.
    """

    def __init__(self):
        self.caught = None
        self.raising = False
        names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        # A signal that is ignored is so on purpose: by nohup, or by a shell that runs this in the background.
        self.numbers = [n for n in (getattr(signal, name) for name in names) if signal.getsignal(n) != signal.SIG_IGN]
        for number in self.numbers:
            signal.signal(number, lambda signum, frame: self.catch(signum))

    def catch(self, signum):
        """Record the signal ``signum``, and raise ``Stopped`` inside ``raised()``."""
        self.caught = self.caught or signum
        if self.raising:
            self.raising = False  # only once: a second Ctrl-C must not interrupt the clean-up
            raise Stopped(self.caught)

    @contextlib.contextmanager
    def raised(self):
        """Let signals end this block."""
        self.raising = True
        try:
            if self.caught:
                raise Stopped(self.caught)
            yield
        finally:
            self.raising = False

    @contextlib.contextmanager
    def held(self):
        """Inside ``raised()``: let signals wait until the end of this block."""
        raising, self.raising = self.raising, False
        try:
            yield
        finally:
            self.raising = raising
        if self.raising and self.caught:
            self.raising = False
            raise Stopped(self.caught)

    def ignore(self):
        """Ignore signals from now on. A recorded one would still interrupt system calls on Python 2."""
        for number in self.numbers:
            signal.signal(number, signal.SIG_IGN)
