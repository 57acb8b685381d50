"""Pseudo-terminals, and programs that run in them."""
from __future__ import unicode_literals

import fcntl
import os
import pty
import signal
import struct
import termios


def from_a_terminal():
    """What a shell does for a program that it starts in the foreground, in the child process before ``exec``."""
    os.setsid()
    # In the background, or under nohup, they are ignored.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if os.isatty(0):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal(object):
    """A terminal of this size. ``end`` is the one that a program gets; ``text`` is what it wrote there."""

    def __init__(self, columns, rows=24):
        self.ours, self.end = pty.openpty()
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack(str("HHHH"), rows, columns, 0, 0))
        self.text = ""

    def run(self, start, *arguments, **streams):
        """Return ``start(*arguments)`` with this terminal as its streams."""
        run = start(*arguments, stdin=self.end, stdout=self.end, stderr=self.end, **streams)
        os.close(self.end)
        return run

    def read(self):
        """Add what was written to ``text``. Return False if all programs that wrote there have ended."""
        try:
            self.text += os.read(self.ours, 1000).decode("ascii")
        except OSError:  # Linux reports the end in this way.
            return False
        return True

    def type(self, keys):
        os.write(self.ours, keys)

    def lines(self):
        """What is on the screen after all of it, with everything that was overwritten in the same line."""
        return [line.rstrip("\r").split("\r") for line in self.text.split("\n")]

    def close(self):
        os.close(self.ours)
