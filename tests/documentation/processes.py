"""Processes that tests start as a reader would, in a shell."""
import os
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

#: How long anything may take, in seconds: pip may have to compile.
PATIENCE = 500


class Processes(object):
    """What ``commands`` start, from the entry of a ``with`` block to its end. ``output()``: what it has printed."""

    def __init__(self, commands, folder, variables):
        self._commands, self._folder, self._variables = commands, folder, variables

    def __enter__(self):
        self._log = tempfile.TemporaryFile("w+")
        # A session of its own, so that one signal reaches all of them. The shell ends with the first; after SIGTERM,
        # with the last, so that each has time to end its own processes.
        self.shell = subprocess.Popen(
            ["bash", "-ec", "trap wait TERM\n" + self._commands + "\nwait -n"], cwd=self._folder, env=self._variables,
            start_new_session=True, stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT,
        )
        return self

    def __exit__(self, *error):
        self.signal(signal.SIGTERM)
        try:
            self.shell.wait(PATIENCE)
        finally:
            self.signal(signal.SIGKILL)
            self._log.close()

    def signal(self, number):
        try:
            os.killpg(self.shell.pid, number)
        except ProcessLookupError:  # all have ended
            pass

    def output(self):
        self._log.seek(0)
        return self._log.read()

    def wait_for(self, check, what):
        """Wait until ``check()`` is true, and return what it returned."""
        deadline = time.time() + PATIENCE
        while time.time() < deadline and self.shell.poll() is None:
            found = check()
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError("%s: not there; %s\n%s" % (what, self._commands, self.output()[-3000:]))

    def wait_for_text(self, text):
        self.wait_for(lambda: text in self.output(), text)

    def wait_for_page(self, address):
        """Return the page at ``address``, once it is there."""
        return self.wait_for(lambda: page(address), address)


def page(address):
    """Return the page at ``address``, None if there is none yet."""
    try:
        return urllib.request.urlopen(address, timeout=PATIENCE).read().decode("utf-8")
    except (urllib.error.URLError, ConnectionError):
        return None
