"""
``python -m asgi_redis demo``: what passes between a front, which does what Daphne does, and workers, and how fast.

The front is the process that the user started. A worker is ``python -m asgi_redis.demo``.
"""
from __future__ import unicode_literals

import collections
import contextlib
import errno
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time

from redis.exceptions import RedisError

from . import __version__
from .connections import without_password
from .core import RedisChannelLayer, UnsupportedRedis
from .names import random_text
from .tools.embedded import NoServer, Server
from .waiting import monotonic

#: Seconds without any message, after which what has not arrived is lost.
PATIENCE = 10

#: Seconds that a worker may take to end, before it is killed.
ENDING = 5

#: Seconds that a server may take for an answer. Longer than a blocking receive, so that it never cuts one short.
SOCKET_TIMEOUT = 10

#: Seconds that the front waits at once, after which it looks whether there are still workers.
FRONT_WAIT = 1

#: Messages to a group, one after the other.
BROADCASTS = 20

#: Members of the group on the front, on the workers together, and on normal channels. All of them together are fewer
#: than a channel holds (100), so that no member's queue is ever full: a group send drops what finds a queue full.
FRONT_MEMBERS = 40
WORKER_MEMBERS = 24
NORMAL_MEMBERS = ["demo.member.%d" % number for number in range(12)]

REQUESTS = "http.request"
GROUP = "demo"

#: Width of the bar, characters.
BAR = 32


class CannotRun(Exception):
    """The demo can't run; the text says why."""


def make_layer(hosts, prefix):
    return RedisChannelLayer(
        hosts=hosts, prefix=prefix, stats_prefix=prefix + "stats:", connection_kwargs={"socket_timeout": SOCKET_TIMEOUT}
    )


# Signals.


class Stopped(BaseException):
    """The user, or the system, wants the demo to end. ``status``: the exit status that says so."""

    def __init__(self, signum):
        super(Stopped, self).__init__()
        self.status = 128 + signum


class Signals(object):
    """
    Ctrl-C, SIGTERM and SIGHUP: noted, and raised as ``Stopped`` inside ``raised()`` only.

    So none can fall between the start of a process and the note that it was started.
    """

    def __init__(self):
        self.caught = None
        self.raising = False
        names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        # What is ignored is so on purpose: by nohup, or by a shell that runs this in the background.
        self.numbers = [n for n in (getattr(signal, name) for name in names) if signal.getsignal(n) != signal.SIG_IGN]
        for number in self.numbers:
            signal.signal(number, self._catch)

    def _catch(self, signum, frame):
        self.caught = self.caught or signum
        if self.raising:
            self.raising = False  # once: a second Ctrl-C must not break the clearing up
            raise Stopped(self.caught)

    @contextlib.contextmanager
    def raised(self):
        """Signals end this block."""
        self.raising = True
        try:
            if self.caught:
                raise Stopped(self.caught)
            yield
        finally:
            self.raising = False

    def ignore(self):
        """From now on nothing breaks off what is done: not even a system call, as a noted signal does on Python 2."""
        for number in self.numbers:
            signal.signal(number, signal.SIG_IGN)


# What the user sees.


class Screen(object):
    """Standard output: lines, and how far it is: as a bar on a terminal, elsewhere as a line for each quarter."""

    def __init__(self):
        self.is_terminal = sys.stdout.isatty()
        self.in_bar = False
        self.next_bar = 0

    def _write(self, text):
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except EnvironmentError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            # Who read it is gone, as after "| head", or the terminal is.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise Stopped(signal.SIGPIPE)

    def line(self, text=""):
        self.end_bar()
        self._write(text + "\n")

    def end_bar(self):
        if self.in_bar:
            self.in_bar = False
            self._write("\n")

    def progress(self, name, done, total):
        """Show that ``done`` of ``total`` are done. To be called at each, from 1."""
        so_far = "{:,} of {:,}".format(done, total)
        if not self.is_terminal:
            if done * 4 // total > (done - 1) * 4 // total:
                self._write("  %-16s%s\n" % (name, so_far))
        elif done == total or monotonic() > self.next_bar:
            self.next_bar = monotonic() + 0.05
            filled = BAR * done // total
            self._write("\r  %-16s[%s%s]  %s" % (name, "#" * filled, "-" * (BAR - filled), so_far))
            self.in_bar = True
            if done == total:
                self.end_bar()

    def table(self, ledgers):
        """A column for each of ``ledgers``."""
        columns = [ledger.column() for ledger in ledgers]
        self.line()
        for row in zip(["", "sent", "came back", "lost", "duplicated", "per second", "p50", "p99"], *columns):
            self.line("  {:<12}{:>14}{:>18}".format(*row).rstrip())
        self.line()


class Ledger(object):
    """
    When messages were sent, how often each came back, and how late.

    ``name``: of the messages. ``total``: how many there are to send.
    """

    def __init__(self, name, total):
        self.name = name
        self.total = total
        self.sent = {}
        self.came = collections.Counter()
        self.delays = []
        self.last = None

    def back(self, key):
        """Note that message ``key`` is back. Whether it is for the first time."""
        self.last = monotonic()
        self.came[key] += 1
        if self.came[key] == 1:
            self.delays.append(self.last - self.sent[key])
        return self.came[key] == 1

    @property
    def lost(self):
        return len(self.sent) - len(self.came)

    @property
    def duplicated(self):
        return sum(self.came.values()) - len(self.came)

    @property
    def faults(self):
        """What went wrong, as text; empty where nothing did."""
        counts = [(self.lost, "lost"), (self.duplicated, "duplicated"), (self.total - len(self.sent), "not sent")]
        return ", ".join("{:,} {}".format(count, what) for count, what in counts if count)

    def column(self):
        counts = [len(self.sent), len(self.came), self.lost, self.duplicated]
        if not self.delays:
            return [self.name] + ["{:,}".format(count) for count in counts] + ["-"] * 3
        counts.append(int(len(self.came) / max(self.last - min(self.sent.values()), 1e-6)))
        delays = sorted(self.delays)
        percentiles = [delays[(len(delays) - 1) * percent // 100] for percent in (50, 99)]
        return [self.name] + ["{:,}".format(n) for n in counts] + ["%.1f ms" % (d * 1000) for d in percentiles]


# The processes.


class Stage(object):
    """The processes and keys of a run: all that must be gone in the end. ``hosts``: the user's servers, or None."""

    def __init__(self, hosts):
        self.hosts = hosts
        self.prefix = "asgi-demo-%s:" % random_text(8)
        self.server = None
        self.layer = None
        self.workers = []

    def start_server(self):
        try:
            self.server = Server()
            self.server.start()
        except (NoServer, RuntimeError) as error:
            raise CannotRun(error)
        except OSError as error:
            raise CannotRun("The server can't be started: %s (%s)" % (error, self.server.binary))
        self.hosts = [self.server.url]

    def connect(self):
        """Make the layer, and see that all its servers answer."""
        try:
            layer = make_layer(self.hosts, self.prefix)
        except ValueError as error:
            raise CannotRun(error)
        layer.blpop_timeout = FRONT_WAIT
        layer.global_statistics()
        self.layer = layer

    def start_worker(self, **task):
        """Start a process that runs ``work``."""
        worker = subprocess.Popen(
            [sys.executable, "-m", "asgi_redis.demo"], stdin=subprocess.PIPE, bufsize=0, close_fds=True,
            # A group of its own: Ctrl-C in the terminal is for the front, which then ends the workers.
            preexec_fn=getattr(os, "setpgrp", None),
        )
        self.workers.append(worker)
        # Not on its command line, where all users of the machine could read the password.
        task = dict(task, hosts=self.hosts, prefix=self.prefix)
        worker.stdin.write(json.dumps(task).encode("ascii") + b"\n")

    def clear(self):
        """End the processes, then delete the keys: in this order, so that nothing is written after it."""
        for worker in self.workers:
            worker.stdin.close()
            worker.terminate()  # One that is still importing does not watch its input yet.
        deadline = monotonic() + ENDING
        for worker in self.workers:
            while worker.poll() is None and monotonic() < deadline:
                time.sleep(0.005)
            if worker.poll() is None:
                worker.kill()
            worker.wait()
        if self.server:
            self.server.stop()
        elif self.layer:
            self._delete_keys()

    def _delete_keys(self):
        try:
            self.layer.flush()
        except (RedisError, UnsupportedRedis) as error:
            sys.stderr.write("Keys that begin with %s may be left: %s\n" % (self.prefix, error))


def work():
    """
    What a worker process does: answer requests and acknowledge group messages, until it is told to stop.

    Standard input brings the task, a line of JSON: ``hosts``, ``prefix``, ``front`` and ``own`` (the process-specific
    channels of the front and of this worker). It ends when the front ends, or closes it.
    """
    line = sys.stdin.readline()
    if not line:
        return
    watch = threading.Thread(target=end_with_front)
    watch.daemon = True
    watch.start()
    task = json.loads(line)
    layer = make_layer(task["hosts"], task["prefix"])
    try:
        send_patiently(layer, task["front"] + "ready", {"own": task["own"]})
        answered = serve(layer, task)
        send_patiently(layer, task["front"] + "stopped", {"own": task["own"], "answered": answered})
    except (RedisError, UnsupportedRedis) as error:
        sys.exit("A worker has ended: %s" % error)


def end_with_front(read=os.read, end=os._exit):
    # Not sys.stdin: at the end of the main thread its lock, held here, would be a fatal error. And at that time
    # Python 2 has emptied the modules, so the functions are kept here.
    read(0, 1)
    end(1)


def serve(layer, task):
    """Take messages until "stop", then those that are left. Returns the number of requests answered."""
    answered, stopping = 0, False
    while True:
        channel, message = layer.receive([REQUESTS, task["own"]] + NORMAL_MEMBERS, block=not stopping)
        if channel is None and stopping:
            return answered
        elif channel == REQUESTS:
            answered += 1
            send_patiently(layer, message["reply_channel"], {"status": 200, "headers": [], "content": b"Hello"})
        elif channel == task["own"] + "stop":
            stopping = True
        elif channel is not None:
            send_patiently(layer, task["front"] + "ack", {"member": channel, "broadcast": message["broadcast"]})


def send_patiently(layer, channel, message):
    """Send, and where the channel is full try again until it is not."""
    while True:
        try:
            return layer.send(channel, message)
        except layer.ChannelFull:
            time.sleep(0.01)


# What the front does.


class Front(object):
    """Sends requests and group messages, and reads what comes back on its process-specific channel."""

    def __init__(self, stage, screen, requests):
        self.stage = stage
        self.layer = stage.layer
        self.screen = screen
        self.name = "demo.front.%s!" % self.layer.client_prefix
        self.requests = Ledger("requests", requests)
        self.group = Ledger("group messages", BROADCASTS * (FRONT_MEMBERS + WORKER_MEMBERS + len(NORMAL_MEMBERS)))
        self.full = 0
        self.ready = set()
        self.answered = {}

    def start_workers(self, count):
        self.workers = ["demo.worker%d.%s!" % (number, self.layer.client_prefix) for number in range(count)]
        for own in self.workers:
            self.stage.start_worker(front=self.name, own=own)

    def wait_for_workers(self):
        if not self._read_until(lambda: len(self.ready) == len(self.workers)):
            raise CannotRun("A worker did not start.")

    def read(self, block=False):
        """Take a message, if there is one. Whether there was."""
        channel, message = self.layer.receive([self.name], block)
        if channel is None:
            return False
        kind = channel[len(self.name):]
        if kind == "ready":
            self.ready.add(message["own"])
        elif kind == "stopped":
            self.answered[message["own"]] = message["answered"]
        elif kind == "ack":
            self._back(self.group, (message["broadcast"], message["member"]))
        elif kind.startswith("socket"):
            self._back(self.group, (message["broadcast"], channel))
        else:
            self._back(self.requests, channel)
        return True

    def _back(self, ledger, key):
        if ledger.back(key):
            self.screen.progress(ledger.name, len(ledger.came), ledger.total)

    def _read_until(self, done):
        """Read until ``done()``, or until nothing comes any more. Whether it is done."""
        last = monotonic()
        while not done():
            if self.read(block=True):
                last = monotonic()
            elif monotonic() > last + PATIENCE or all(worker.poll() is not None for worker in self.stage.workers):
                return False
        return True

    def send_requests(self):
        """Send all requests, reading answers meanwhile, and wait for the rest of the answers."""
        for number in range(self.requests.total):
            if not self._send_request(number):
                return
            self.read()
        self._read_until(lambda: not self.requests.lost)

    def _send_request(self, number):
        """Send a request; while the channel is full, read answers. Whether it was sent."""
        reply_channel = "%sreq%d" % (self.name, number)
        message = {
            "reply_channel": reply_channel, "http_version": "1.1", "method": "GET", "path": "/%d" % number,
            "query_string": b"", "headers": [[b"host", b"demo"]], "body": b"",
        }
        while True:
            started = monotonic()
            try:
                self.layer.send(REQUESTS, message)
            except self.layer.ChannelFull:
                self.full += 1
                if not self._read_an_answer():
                    return False
            else:
                self.requests.sent[reply_channel] = started
                return True

    def _read_an_answer(self):
        """Wait until one more request is answered. Whether one was."""
        before = len(self.requests.came)
        return self._read_until(lambda: len(self.requests.came) > before)

    def send_to_group(self):
        """Send each group message once all members have the one before it."""
        members = ["%ssocket%d" % (self.name, number) for number in range(FRONT_MEMBERS)] + NORMAL_MEMBERS
        members += ["%ssocket%d" % (self.workers[n % len(self.workers)], n) for n in range(WORKER_MEMBERS)]
        for member in members:
            self.layer.group_add(GROUP, member)
        for broadcast in range(BROADCASTS):
            started = monotonic()
            self.layer.send_group(GROUP, {"broadcast": broadcast})
            self.group.sent.update(((broadcast, member), started) for member in members)
            if not self._read_until(lambda: not self.group.lost):
                return

    def stop_workers(self):
        """Let the workers finish: what they had twice, they have answered twice, and it is read before their last."""
        for own in self.workers:
            send_patiently(self.layer, own + "stop", {})
        self._read_until(lambda: all(
            own in self.answered or worker.poll() is not None for own, worker in zip(self.workers, self.stage.workers)
        ))
        while self.read():
            pass

    def report(self):
        """Print the result. Returns the exit status."""
        self.screen.table([self.requests, self.group])
        self._report_workers()
        if self.full:
            self.screen.line("  {} was full {:,} times: the front read answers until there was room.".format(
                REQUESTS, self.full
            ))
        self.screen.line()
        faulty = [ledger for ledger in (self.requests, self.group) if ledger.faults]
        for ledger in faulty:
            self.screen.line("%s: %s." % (ledger.name.capitalize(), ledger.faults))
        if not faulty:
            self.screen.line("Nothing was lost, and nothing came twice.")
        return 1 if faulty else 0

    def _report_workers(self):
        shares = ["{:,}".format(self.answered[own]) if own in self.answered else "?" for own in self.workers]
        self.screen.line("  The workers answered %s requests." % " + ".join(shares))
        for own, worker in zip(self.workers, self.stage.workers):
            if own not in self.answered:
                self.screen.line("  Worker %d did not finish: %s." % (
                    worker.pid, "it hangs" if worker.poll() is None else "it ended with status %d" % worker.returncode
                ))


def run(requests, workers, hosts=None):
    """
    The demo. ``requests``: how many. ``workers``: how many processes. ``hosts``: URLs of servers, or None to start one.

    Returns the exit status: 0, or 1 where anything was lost or duplicated, 2 where it can't run, 128 and a signal's
    number where one stopped it.
    """
    logging.basicConfig(format="%(message)s")
    signals, screen, stage = Signals(), Screen(), Stage(hosts)
    try:
        try:
            return perform(signals, screen, stage, requests, workers)
        finally:
            signals.ignore()
            stage.clear()
    except Stopped as stopped:
        screen.line("Stopped. %s" % ("Its keys are removed." if hosts else "Its server is stopped."))
        return stopped.status
    except (CannotRun, RedisError, UnsupportedRedis) as error:
        screen.end_bar()
        sys.stderr.write("asgi_redis demo: %s\n" % error)
        return 2


def perform(signals, screen, stage, requests, workers):
    screen.line("asgi_redis %s" % __version__)
    if stage.hosts is None:
        stage.start_server()
    with signals.raised():
        stage.connect()
    front = Front(stage, screen, requests)
    front.start_workers(workers)
    with signals.raised():
        introduce(screen, stage)
        front.wait_for_workers()
        front.send_requests()
        front.send_to_group()
        front.stop_workers()
        return front.report()


def introduce(screen, stage):
    own = " (%s, pid %d)" % (stage.server.binary, stage.server.process.pid) if stage.server else ""
    screen.line("  Redis       %s%s" % (", ".join(without_password(host) for host in stage.hosts), own))
    screen.line("  front       pid %d" % os.getpid())
    screen.line("  workers     %d (pid %s)" % (
        len(stage.workers), ", ".join(str(worker.pid) for worker in stage.workers)
    ))
    screen.line()


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    work()
