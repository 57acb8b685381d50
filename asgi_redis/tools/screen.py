"""Standard output."""
from __future__ import unicode_literals

import errno
import os
import signal
import sys


class Screen(object):
    """
    Writes to standard output, line by line or as the file of a progress bar.

    - ``signals``: the ``Signals`` of the run. If the reader is gone, as after ``| head`` or with a closed terminal,
      that is SIGPIPE to them, and all further output is discarded.
    """

    def __init__(self, signals):
        self.is_terminal = sys.stdout.isatty()
        self._signals = signals

    def line(self, text=""):
        self.write(text + "\n")
        self.flush()

    def write(self, text):
        self._output(sys.stdout.write, text)

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
            self._signals.catch(signal.SIGPIPE)
