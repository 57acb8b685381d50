"""The site in ``site/``, run as its users run theirs: Daphnes and workers, each a process of its own."""
from __future__ import unicode_literals

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import asgi_redis
from asgi_redis.tools.embedded import free_port

SITE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "site")

#: Seconds that a process may take to start, and to end.
PATIENCE = 60

#: What the console script ``daphne`` runs; the package can't be run with -m.
DAPHNE = "from daphne.cli import CommandLineInterface; CommandLineInterface.entrypoint()"


class Process(object):
    """
    A process whose log is kept.

    ``name``: what errors call it. ``command``: a list. ``environment``: all its variables. ``folder``: where its log
    goes. ``cwd``: the folder in which it runs, that of the site by default. ``options``: of ``Popen``.
    """

    def __init__(self, name, command, environment, folder, cwd=SITE, **options):
        self.name = name
        self._told_to_end = False
        self._log_path = os.path.join(folder, name + ".log")
        with open(self._log_path, "wb") as log:
            self.process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=log, stderr=log, **options)

    @property
    def running(self):
        return self.process.poll() is None

    def log(self):
        """What the process has written, a list of lines."""
        with io.open(self._log_path, encoding="utf-8", errors="replace") as log:
            return log.read().splitlines()

    def started(self):
        """Whether it is ready to work."""
        raise NotImplementedError()

    def wait(self):
        """Return once it has started."""
        deadline = time.time() + PATIENCE
        while not self.started():
            if not self.running or time.time() > deadline:
                self.fail("does not start")
            time.sleep(0.01)

    def stop(self, seconds=PATIENCE):
        """
        Send SIGTERM, and return the exit status. Fails, and kills, where the process lives on for ``seconds``; fails
        where it ended before, and nobody had told it to.
        """
        if self.running:
            self._told_to_end = True
            self.process.terminate()
        elif not self._told_to_end:
            self.fail("ended by itself, with status %s" % self.process.returncode)
        deadline = time.time() + seconds
        while self.running:
            if time.time() > deadline:
                self.kill()
                self.fail("does not end within %s seconds of SIGTERM" % seconds)
            time.sleep(0.01)
        return self.process.returncode

    def kill(self):
        """End it at once."""
        self._told_to_end = True
        if self.running:
            self.process.kill()
            self.process.wait()

    def fail(self, what):
        raise AssertionError("\n".join(["%s %s. Its log:" % (self.name, what)] + self.log()))


class Daphne(Process):
    """A Daphne on ``port`` of 127.0.0.1 (default: a free one), that logs warnings and errors only."""

    def __init__(
        self, name, environment, folder, application="asgi:channel_layer", python=sys.executable, cwd=SITE, port=None,
    ):
        self.port = port or free_port()
        command = [python, "-c", DAPHNE, "-b", "127.0.0.1", "-p", str(self.port), "-v", "0", application]
        super(Daphne, self).__init__(name, command, environment, folder, cwd)

    def started(self):
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except socket.error:
            return False
        return True


class Worker(Process):
    """A ``manage.py runworker``; without a ``manage.py``, which adds nothing to ``-m django``."""

    def __init__(self, name, environment, folder, python=sys.executable, cwd=SITE):
        super(Worker, self).__init__(name, [python, "-m", "django", "runworker"], environment, folder, cwd)

    def started(self):
        return any("Listening on channels" in line for line in self.log())


class Together(object):
    """``processes`` that ``begin`` starts, from the entry of a ``with`` block, when all of them work, to its end."""

    processes = ()

    def __enter__(self):
        try:
            self.begin()
            for process in self.processes:
                process.wait()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *error):
        try:
            for process in self.processes:
                process.stop()
        finally:
            self.end()

    def end(self):
        for process in self.processes:
            process.kill()


class Site(Together):
    """
    The site, from the entry of a ``with`` block to its end.

    ``channel_layer``: ``{"BACKEND": ..., "CONFIG": {...}}``, of what JSON can hold. ``daphnes``, ``workers``: how many
    processes, 1 and 2. ``environment``: a dict of further variables for them.
    """

    def __init__(self, channel_layer, daphnes=1, workers=2, environment=None):
        self.channel_layer = channel_layer
        self.environment = dict(environment or {})
        self.counts = [(Daphne, daphnes), (Worker, workers)]
        self.processes = []
        self.folder = None

    def start(self, kind):
        """Start one more process, a ``Daphne`` or a ``Worker``. The caller waits for it."""
        number = len([process for process in self.processes if isinstance(process, kind)]) + 1
        name = "%s-%d" % (kind.__name__.lower(), number)
        self.processes.append(kind(name, self._environment(), self.folder))
        return self.processes[-1]

    def _environment(self):
        # The children import the asgi_redis that the tests import.
        path = [os.path.dirname(os.path.dirname(os.path.abspath(asgi_redis.__file__))), os.environ.get("PYTHONPATH")]
        variables = dict(
            os.environ,
            DJANGO_SETTINGS_MODULE="settings",
            PYTHONPATH=os.pathsep.join(filter(None, path)),
            PYTHONUNBUFFERED="1",
            SITE_CHANNEL_LAYER=json.dumps(self.channel_layer),
            SITE_SESSIONS=os.path.join(self.folder, "sessions"),
        )
        return {str(name): str(value) for name, value in dict(variables, **self.environment).items()}

    def of(self, kind):
        """The running processes of one kind."""
        return [process for process in self.processes if isinstance(process, kind) and process.running]

    def address(self, path, turn=0):
        """``127.0.0.1:port/path``; successive ``turn`` go round the Daphnes."""
        daphnes = self.of(Daphne)
        return "127.0.0.1:%d%s" % (daphnes[turn % len(daphnes)].port, path)

    def log(self):
        """What all processes have written, a list of lines, each with the name of its process."""
        return ["%s: %s" % (process.name, line) for process in self.processes for line in process.log()]

    def begin(self):
        self.folder = tempfile.mkdtemp(prefix="asgi_redis")
        os.mkdir(os.path.join(self.folder, "sessions"))
        for kind, count in self.counts:
            for _ in range(count):
                self.start(kind)

    def end(self):
        super(Site, self).end()
        shutil.rmtree(self.folder, ignore_errors=True)
