"""Runs ``asgi-redis`` and other programs as processes, and a site to look at."""
from __future__ import unicode_literals

import collections
import json
import os
import subprocess
import sys
import threading

from asgi_redis import RedisChannelLayer
from asgi_redis.tools.embedded import Server

from .servers import eventually
from .terminals import from_a_terminal

#: Seconds that a command may take on a slow machine.
PATIENCE = 60

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

#: ``status``: its exit status. ``out``, ``err``: what it wrote, as text.
Result = collections.namedtuple("Result", "status out err")


def start(*arguments, **options):
    """
    Start ``python -m asgi_redis`` with ``arguments``.

    ``environ``: more environment variables. The other options are those of Popen; streams are pipes by default.
    """
    streams = dict.fromkeys(["stdin", "stdout", "stderr"], subprocess.PIPE)
    path = os.pathsep.join(part for part in (ROOT, os.environ.get("PYTHONPATH")) if part)
    environ = dict(os.environ, PYTHONPATH=str(path), PYTHONWARNINGS=str("ignore"), LC_ALL=str("C.UTF-8"))
    environ.update({str(name): str(value) for name, value in options.pop("environ", {}).items()})
    return subprocess.Popen(
        [sys.executable, "-m", "asgi_redis"] + list(arguments), env=environ, close_fds=True,
        preexec_fn=from_a_terminal, **dict(streams, **options)
    )


def start_program(program, *arguments, **streams):
    """Start the text ``program`` in a Python of its own, which finds the modules that this one finds, with streams."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program] + list(arguments), close_fds=True,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path)), **streams
    )


def end(process, text=""):
    """Give ``process`` the text on standard input, wait for its end, and return its ``Result``."""
    timer = threading.Timer(PATIENCE, process.kill)
    timer.start()
    try:
        out, err = process.communicate(text.encode("utf-8"))
    finally:
        timer.cancel()
    return Result(process.returncode, (out or b"").decode("utf-8"), (err or b"").decode("utf-8"))


def run(*arguments, **options):
    """Run ``python -m asgi_redis`` and return its ``Result``. ``text``: for standard input; others as of ``start``."""
    text = options.pop("text", "")
    return end(start(*arguments, **options), text)


def command(*arguments, **options):
    """``run``, for commands that must succeed, without a word on standard error. Returns standard output."""
    result = run(*arguments, **options)
    assert (result.status, result.err) == (0, ""), result
    return result.out


WORKER = """
import json, sys
from asgi_redis import RedisChannelLayer
task = json.load(sys.stdin)
layer = RedisChannelLayer(**{str(name): value for name, value in task["config"].items()})
while True:
    layer.receive(task["channels"], block=True)
"""


class Worker(object):
    """A process that waits for messages on ``channels``. ``config``: the arguments of its layer."""

    def __init__(self, config, channels=("busy",)):
        self.process = subprocess.Popen([sys.executable, "-c", WORKER], stdin=subprocess.PIPE, cwd=ROOT)
        self.process.stdin.write(json.dumps({"config": config, "channels": list(channels)}).encode("ascii"))
        self.process.stdin.close()

    def stop(self):
        self.process.kill()
        self.process.wait()


class Site(object):
    """
    Servers of its own that keep data, and workers, from the entry of a ``with`` block to its end. ``layer``: a layer.

    ``shards``, ``workers``: how many. ``config``: more arguments of the layer.
    """

    def __init__(self, shards=1, workers=0, **config):
        self.servers = [Server(["--save", "3600", "1"]) for _ in range(shards)]
        self.config = config
        self._count = workers
        self.workers = []

    @property
    def hosts(self):
        """The options of commands for this site."""
        more = ["--expiry", "%d" % self.config["expiry"]] if "expiry" in self.config else []
        return more + ["--hosts"] + self.config["hosts"]

    def __enter__(self):
        try:
            for server in self.servers:
                server.start()
            self.config["hosts"] = [server.url for server in self.servers]
            self.layer = RedisChannelLayer(**{str(name): value for name, value in self.config.items()})
            for _ in range(self._count):
                self.add_worker()
        except BaseException:
            self.__exit__()
            raise
        return self

    def add_worker(self, channels=("busy",), **config):
        """Start a worker, and return it once it waits. ``config``: what it has different from the others."""
        before = len(self.layer.processes())
        self.workers.append(Worker(dict(self.config, **config), channels))
        eventually(lambda: len(self.layer.processes()) > before, "the worker waits")
        return self.workers[-1]

    def __exit__(self, *error):
        for part in self.workers + self.servers:
            part.stop()
