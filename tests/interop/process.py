"""The published release in a process of its own, as if it were here."""
from __future__ import unicode_literals

import functools
import os
import subprocess
import tempfile
import threading

import six

import asgi_redis
from asgi_redis.base_layer import BaseChannelLayer

from . import environment, released


def by_text(arguments):
    """``arguments`` with their names as text, which on Python 2 they are not."""
    return {six.ensure_text(name): value for name, value in arguments.items()}


class ReleasedError(Exception):
    """The release raised something other than ``ChannelFull``."""


class Process(object):
    """A process that runs the release: ``layer`` makes layers in it. To be closed, or used in a ``with`` block."""

    def __init__(self):
        # Neither the folder it runs in nor a variable may lead its imports to this checkout.
        self.process = subprocess.Popen(
            [environment.python(), os.path.abspath(released.__file__).replace(".pyc", ".py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tempfile.gettempdir(), env=environment.variables(),
            close_fds=True,
        )
        self.lock = threading.Lock()
        self.imported = self._read()
        self._check()

    def _check(self):
        """The process must run the release, with the packages it needs, and not this checkout."""
        versions = {name: self.imported[name] for name in ("release", "redis", "msgpack")}
        wanted = {"release": environment.RELEASE, "redis": environment.REDIS_PY, "msgpack": environment.MSGPACK}
        ours = os.path.dirname(os.path.realpath(asgi_redis.__file__))
        if versions != wanted or os.path.dirname(os.path.realpath(self.imported["file"])) == ours:
            self.close()
            raise environment.NoEnvironment(
                "%s imports %r, where %r, in another place than %s, is needed."
                % (environment.python(), self.imported, wanted, ours)
            )

    def layer(self, **arguments):
        """A new layer of the release: a ``Released``. Needed: ``hosts``, ``prefix`` and ``stats_prefix``."""
        return self._make("RedisChannelLayer", arguments)

    def sentinel_layer(self, **arguments):
        """As ``layer``, over services of Sentinels; ``hosts`` are the Sentinels."""
        return self._make("RedisSentinelChannelLayer", arguments)

    def _make(self, kind, arguments):
        return Released(self, self.ask({"new": kind, "kwargs": by_text(arguments)}), arguments)

    def ask(self, command):
        """Give one command, wait for its answer and return it, or raise what the release raised."""
        with self.lock:
            self.process.stdin.write(released.to_line(command))
            self.process.stdin.flush()
            answer = self._read()
        if "raised" not in answer:
            return answer["answer"]
        if answer["raised"] == "ChannelFull":
            raise BaseChannelLayer.ChannelFull(answer["text"])
        raise ReleasedError("%(raised)s: %(text)s" % answer)

    def _read(self):
        line = self.process.stdout.readline()
        if not line:
            raise environment.NoEnvironment(
                "The process of asgi_redis %s has ended, see its error output. %s must have %s."
                % (environment.RELEASE, environment.python(), " ".join(environment.PINS))
            )
        return released.from_line(line)

    def close(self):
        self.process.terminate()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class Released(object):
    """A layer of the release: its methods are called in its process, and answer and raise as if they were here."""

    ChannelFull = BaseChannelLayer.ChannelFull

    def __init__(self, process, number, arguments):
        self._process = process
        self._number = number
        self.prefix = arguments["prefix"]
        self.stats_prefix = arguments["stats_prefix"]
        self.ring_size = self.attribute("ring_size")

    def attribute(self, name):
        return self._call("__getattribute__", name)

    def __getattr__(self, name):
        return functools.partial(self._call, six.ensure_text(name))

    def _call(self, name, *args, **kwargs):
        return self._process.ask({"layer": self._number, "call": name, "args": list(args), "kwargs": by_text(kwargs)})
