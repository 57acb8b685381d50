"""Servers in trouble, and the workers that must live through it."""
from __future__ import unicode_literals

import contextlib
import logging
import os
import signal
import socket
import threading
import time

import pytest
import redis
import six
from redis.exceptions import ResponseError

from asgi_redis.server.waiting import Waiter
from asgi_redis.tools.embedded import free_port

from .servers import eventually

#: How long, in seconds, a test waits at most for what must happen at some time.
PATIENCE = 30

needs_timers = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no timer signals")
needs_stop = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="Windows can't stop a process")


class Gone(object):
    """An address where nothing listens."""

    def __init__(self):
        self.port = free_port()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    @property
    def url(self):
        return "redis://127.0.0.1:%d/0" % self.port


class Silent(object):
    """A server that accepts every connection, ``accepted`` so far, and never answers on any."""

    def __init__(self):
        self.accepted = 0
        self._connections = []
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(100)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept)
        self._thread.daemon = True

    def _accept(self):
        while True:
            try:
                connection = self._listener.accept()[0]
            except (OSError, socket.error):
                return
            self._connections.append(connection)
            self.accepted += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except (OSError, socket.error):
            pass
        self._listener.close()
        self._thread.join()
        for connection in self._connections:
            connection.close()

    @property
    def url(self):
        return "redis://127.0.0.1:%d/0" % self.port


class Stopped(object):
    """``server`` does nothing inside this ``with`` block, though the system accepts connections for it."""

    def __init__(self, server):
        self.pid = server.process.pid

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)

    def __exit__(self, *error):
        os.kill(self.pid, signal.SIGCONT)


def client_of(server):
    return redis.StrictRedis(port=server.port, decode_responses=True)


def set_option(server, names, value):
    """CONFIG SET the first of ``names`` that the server has: some have newer ones."""
    for name in names:
        try:
            client_of(server).config_set(name, value)
            return
        except ResponseError:
            if name == names[-1]:
                raise


class Interrupted(BaseException):
    """As KeyboardInterrupt is."""


@contextlib.contextmanager
def interrupted_after(seconds):
    """
    Interrupt the ``with`` block, and check that it lets the exception through.

    The signal comes again every second: Python ignores an exception in a callback of its garbage collector, and
    hypothesis has one.
    """
    def interrupt(*_):
        raise Interrupted()

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(Interrupted):
            signal.setitimer(signal.ITIMER_REAL, seconds, 1)
            try:
                yield
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)


# Each makes a server refuse writes inside the ``with`` block.


@contextlib.contextmanager
def is_replica(server):
    """Of a master that is gone: what a failover behind a fixed address leaves for a while."""
    client_of(server).execute_command("SLAVEOF", "127.0.0.1", 1)
    try:
        yield
    finally:
        client_of(server).execute_command("SLAVEOF", "NO", "ONE")


@contextlib.contextmanager
def can_not_save(server):
    """MISCONF: there is a folder where its dump would go."""
    client = client_of(server)
    folder = os.path.join(server.folder, client.config_get("dbfilename")["dbfilename"])
    os.mkdir(folder)
    client.config_set("save", "3600 1000000")
    client.config_set("stop-writes-on-bgsave-error", "yes")
    save(client, "err")
    try:
        yield
    finally:
        os.rmdir(folder)
        save(client, "ok")
        client.config_set("save", "")


def save(client, status):
    """Try to, until the last try has ended so."""
    def has_status():
        info = client.info("persistence")
        if info["rdb_last_bgsave_status"] != status and not info["rdb_bgsave_in_progress"]:
            client.bgsave()
        return info["rdb_last_bgsave_status"] == status

    eventually(has_status, "saving ends with %s" % status)


@contextlib.contextmanager
def has_no_replicas(server):
    """NOREPLICAS: it wants one."""
    names = ["min-replicas-to-write", "min-slaves-to-write"]
    if int(client_of(server).info("server")["redis_version"].split(".")[0]) < 7:
        pytest.skip("Before Redis 7, scripts write without the replicas that the server wants.")
    set_option(server, names, 1)
    try:
        yield
    finally:
        set_option(server, names, 0)


@contextlib.contextmanager
def is_replica_that_serves_nothing(server):
    """MASTERDOWN, also to reads."""
    names = ["replica-serve-stale-data", "slave-serve-stale-data"]
    set_option(server, names, "no")
    with is_replica(server):
        yield
    set_option(server, names, "yes")


@contextlib.contextmanager
def is_busy(server):
    """BUSY: another client's script runs."""
    set_option(server, ["busy-reply-threshold", "lua-time-limit"], 1)
    client = redis.StrictRedis(port=server.port, socket_timeout=2 * PATIENCE)
    script = threading.Thread(target=took, args=(client.eval, "while true do end", 0))
    script.daemon = True
    script.start()
    eventually(lambda: isinstance(took(client_of(server).ping)[1], ResponseError), "it is busy")
    try:
        yield
    finally:
        client_of(server).script_kill()
        script.join(PATIENCE)


# Workers and their calls.


class Worker(threading.Thread):
    """
    Receives in a loop, as workers do, from the entry of a ``with`` block until its end, or until a receive raises.

    ``found``: all (channel, message). ``idle``: when each receive returned nothing. ``error``: what was raised.
    """

    def __init__(self, layer, channels):
        super(Worker, self).__init__()
        self.daemon = True
        self.layer = layer
        self.channels = channels
        self.found = []
        self.idle = []
        self.error = None
        self.ended = False
        self.changed = threading.Condition()
        self._waiter = Waiter()

    def run(self):
        while not self.ended:
            try:
                channels = self.layer.receivable(self.channels)
                found = self.layer.receive_blocking(channels, self._waiter) or (None, None)
            except Exception as error:
                with self.changed:
                    self.error = error
                    self.changed.notify_all()
                return
            with self.changed:
                self.idle.append(time.time()) if found[0] is None else self.found.append(found)
                self.changed.notify_all()

    def wait_for(self, check, seconds=PATIENCE):
        """Wait until ``check()`` is true; it is asked after each receive. Returns whether it is."""
        deadline = time.time() + seconds
        with self.changed:
            while not check() and time.time() < deadline:
                self.changed.wait(0.1)
            return bool(check())

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.ended = True
        self._waiter.stop()
        self.join(PATIENCE)
        assert not self.is_alive(), "a blocking receive does not return"


def took(function, *arguments):
    """How many seconds a call takes, and the error that it raises, or None."""
    begun = time.time()
    try:
        function(*arguments)
    except Exception as error:
        return time.time() - begun, error
    return time.time() - begun, None


def error_of(function, *arguments):
    """What a call raises."""
    error = took(function, *arguments)[1]
    assert error is not None, "no error"
    return error


def calls_within(seconds, most, function, *arguments):
    """How many calls, up to ``most``, can be made in this time, whether they raise or not."""
    deadline = time.time() + seconds
    for number in six.moves.range(most):  # on Python 2, range is a list
        took(function, *arguments)
        if time.time() > deadline:
            return number
    return most


def in_threads(count, function):
    """Call ``function()`` in this many threads at once, and wait for all. Returns how many seconds that took."""
    begun = time.time()
    threads = [threading.Thread(target=function) for _ in range(count)]
    for thread in threads:
        thread.daemon = True
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENCE)
        assert not thread.is_alive(), "a thread does not end"
    return time.time() - begun


def records(caplog, level=logging.INFO):
    """What this package has logged, at this level or above."""
    return [record for record in caplog.records if record.name.startswith("asgi_redis") and record.levelno >= level]


def levels(caplog):
    return [record.levelname for record in records(caplog)]


def noted_probes(breaker, monkeypatch):
    """Return a list to which each probe of ``breaker`` is added: True if a blocking receive makes it, else False."""
    probes, begin_probe = [], breaker.begin_probe

    def begin_and_note(receiving):
        patience = begin_probe(receiving)
        if patience is not None:
            probes.append(receiving)
        return patience

    monkeypatch.setattr(breaker, "begin_probe", begin_and_note)
    return probes
