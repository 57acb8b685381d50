"""Standard output."""
from __future__ import unicode_literals

import contextlib
import errno
import os
import re
import signal
import struct
import sys
import textwrap

import six

#: Control sequences of terminals, the same in all that matter (ECMA-48, and xterm's for those with a question mark).
TOP = "\x1b[H"
END_OF_LINE = "\x1b[K"
END_OF_SCREEN = "\x1b[J"
#: A second screen without scrolling back, as editors use it, and no cursor; and back.
OTHER_SCREEN = "\x1b[?1049h\x1b[?25l"
FIRST_SCREEN = "\x1b[?25h\x1b[?1049l"

#: Colours, and the end of one.
RED, YELLOW = "\x1b[31m", "\x1b[33m"
END_OF_COLOUR = "\x1b[0m"

#: What is assumed of a terminal that does not tell its size.
USUAL_SIZE = 80, 24


def size_of(number):
    """Return (columns, lines) of the terminal that is file ``number``."""
    ask = getattr(os, "get_terminal_size", None)
    if ask is not None:
        found = tuple(ask(number))
    else:  # Python 2
        import fcntl
        import termios

        lines, columns = struct.unpack(str("HHHH"), fcntl.ioctl(number, termios.TIOCGWINSZ, b"\0" * 8))[:2]
        found = columns, lines
    return found if all(found) else USUAL_SIZE


def encoded(text, stream):
    """Return ``text`` as ``stream`` takes it on this Python, with an escape for each character that it can't show."""
    encoding = stream.encoding or "utf-8"
    data = six.ensure_text(text).encode(encoding, "backslashreplace")
    return data if six.PY2 else data.decode(encoding)


def harmless(text):
    """Return ``text`` without control characters, which names and errors from elsewhere could have for a terminal."""
    return re.sub("[\x00-\x1f\x7f-\x9f]", "?", text)


class Screen(object):
    """
    Writes to standard output, line by line or as the file of a progress bar.

    - ``signals``: the ``Signals`` of the run. If the reader is gone, as after ``| head`` or with a closed terminal,
      that is SIGPIPE to them, and all further output is discarded.
    """

    def __init__(self, signals):
        self.is_terminal = sys.stdout.isatty()
        #: https://no-color.org
        self._is_coloured = self.is_terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self.signals = signals

    @property
    def columns(self):
        """How many characters a line may have, or None for any number."""
        return size_of(self.fileno())[0] if self.is_terminal else None

    @property
    def room(self):
        """Return how many characters a line of ``draw`` may have, and how many lines there may be."""
        columns, height = size_of(self.fileno())
        return columns - 1, height  # some terminals begin a new line after the last column

    def line(self, text=""):
        self.write("\n".join(harmless(part) for part in text.split("\n")) + "\n")
        self.flush()

    def paragraph(self, text, indent=0, colour=None):
        """
        Write a line. On a terminal that is too narrow, it is broken into several, and ``indent`` spaces begin all but
        the first. ``colour``: RED or YELLOW, if the user wants colours.
        """
        for line in textwrap.wrap(
            text, self.columns, subsequent_indent=" " * indent, break_on_hyphens=False
        ) if self.columns else [text]:
            if colour and self._is_coloured:
                self.write(colour + harmless(line) + END_OF_COLOUR + "\n")
            else:
                self.line(line)

    def draw(self, lines):
        """Show ``lines`` in place of what was drawn before. Must be called inside ``full()``."""
        columns, height = self.room
        if len(lines) > height:
            lines = lines[:height - 1] + ["... and %d more lines" % (len(lines) - height + 1)]
        # In one piece, and over what is there: a screen that is cleared first flickers.
        self.write(TOP + "\n".join(harmless(line)[:columns] + END_OF_LINE for line in lines) + END_OF_SCREEN)
        self.flush()

    @contextlib.contextmanager
    def full(self):
        """Use the whole terminal for ``draw`` inside this block, and leave it as it was."""
        try:
            self.write(OTHER_SCREEN)
            yield
        finally:
            self.write(FIRST_SCREEN)
            self.flush()

    def write(self, text):
        self._output(sys.stdout.write, encoded(text, sys.stdout))

    def flush(self):
        self._output(sys.stdout.flush)

    def fileno(self):
        return sys.stdout.fileno()

    def _output(self, method, *args):
        try:
            method(*args)
        except EnvironmentError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            self.signals.catch(signal.SIGPIPE)
