"""What a run creates and must remove: a server, processes and keys."""
from __future__ import unicode_literals

import binascii
import json
import os
import subprocess
import sys
import time

from redis.exceptions import RedisError

from asgi_redis import UnsupportedRedis

from ..embedded import NoServer, Server
from ..internals import monotonic
from ..target import CannotRun
from .traffic import make_layer

#: How long, in seconds, all workers together may take to end before they are killed.
ENDING = 5


class Resources(object):
    """
    The server, worker processes and keys of one run.

    - ``hosts``: the URLs of the user's servers, or None to start one.
    """

    def __init__(self, hosts):
        self.hosts = hosts
        self.prefix = "asgi-demo-%s:" % binascii.hexlify(os.urandom(4)).decode("ascii")
        self.server = None
        self.layer = None
        self.workers = []

    def start_server(self):
        try:
            self.server = Server()
            self.server.start()
        except (NoServer, RuntimeError) as error:
            raise CannotRun(error)
        self.hosts = [self.server.url]

    def connect(self, blpop_timeout):
        """Return a layer once all its servers have replied. Its blocking receives wait ``blpop_timeout`` seconds."""
        try:
            layer = make_layer(self.hosts, self.prefix)
        except ValueError as error:
            raise CannotRun(error)
        layer.blpop_timeout = blpop_timeout
        layer.global_statistics()
        self.layer = layer
        return layer

    def start_worker(self, front, worker):
        """Start a worker process and return it. ``front``, ``worker``: the process-specific channels of both."""
        process = subprocess.Popen(
            [sys.executable, "-m", "asgi_redis.tools.demo.worker"], stdin=subprocess.PIPE, bufsize=0, close_fds=True,
            # In its own process group: Ctrl-C in the terminal is meant for the front, which then ends the workers.
            preexec_fn=getattr(os, "setpgrp", None),
        )
        self.workers.append(process)
        # Not on the command line, where every user of the machine could read the password.
        task = {"hosts": self.hosts, "prefix": self.prefix, "front": front, "worker": worker}
        process.stdin.write(json.dumps(task).encode("ascii") + b"\n")
        return process

    def remove(self):
        """End the workers, then delete the keys: in this order, so that no worker writes more keys."""
        self._end_workers()
        if self.server:
            self.server.stop()
        elif self.layer:
            self._delete_keys()

    def _end_workers(self):
        for worker in self.workers:
            worker.stdin.close()
            worker.terminate()  # a worker that is still importing does not watch its input yet
        deadline = monotonic() + ENDING
        for worker in self.workers:
            while worker.poll() is None and monotonic() < deadline:
                time.sleep(0.005)
            if worker.poll() is None:
                worker.kill()
            worker.wait()

    def _delete_keys(self):
        try:
            self.layer.flush()
        except (RedisError, UnsupportedRedis) as error:
            sys.stderr.write("Keys with the prefix %s may remain: %s\n" % (self.prefix, error))
