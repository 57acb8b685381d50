"""One run of the demo."""
from __future__ import unicode_literals

import logging
import os
import sys

from redis.exceptions import RedisError

from asgi_redis import UnsupportedRedis, __version__

from ..internals import without_password
from .front import FRONT_WAIT, Front
from .report import Report
from .resources import CannotRun, Resources
from .screen import Screen
from .signals import Signals, Stopped


def run(requests, workers, hosts=None):
    """
    Run the demo, and remove everything that it created.

    - ``requests``: how many requests to send.
    - ``workers``: how many worker processes to start.
    - ``hosts``: the URLs of servers, or None to start one.

    Returns the exit status: 0; 1 if a message was lost or duplicated; 2 if the demo cannot run; 128 and the signal's
    number if a signal stopped it.
    """
    logging.basicConfig(format="%(message)s")
    for logger in ("asgi_redis.server.breaker", "asgi_redis.delivery.losses"):
        logging.getLogger(logger).setLevel(logging.ERROR)  # the demo says so itself
    signals, resources = Signals(), Resources(hosts)
    screen = Screen(signals)
    try:
        try:
            return perform(signals, screen, resources, requests, workers)
        finally:
            signals.ignore()
            resources.remove()
    except Stopped as stopped:
        screen.line("Stopped. %s" % ("Its keys are removed." if hosts else "Its server is stopped."))
        return stopped.status
    except (CannotRun, RedisError, UnsupportedRedis) as error:
        sys.stderr.write("asgi_redis demo: %s\n" % error)
        return 2


def perform(signals, screen, resources, requests, workers):
    """Start everything, send everything, and print the result. Return the exit status."""
    screen.line("asgi_redis %s" % __version__)
    if resources.hosts is None:
        resources.start_server()
    with signals.raised():
        layer = resources.connect(FRONT_WAIT)
    front = Front(resources, screen, layer, requests)
    front.start_workers(workers)
    with signals.raised():
        introduce(screen, resources)
        front.wait_for_workers()
        front.send_requests()
        front.send_to_group()
        front.stop_workers()
        return Report(screen, front).show()


def introduce(screen, resources):
    """Print which servers and processes take part."""
    server = resources.server
    own = " (%s, pid %d)" % (server.binary, server.process.pid) if server else ""
    pids = ", ".join(str(worker.pid) for worker in resources.workers)
    screen.line("  Redis       %s%s" % (", ".join(without_password(host) for host in resources.hosts), own))
    screen.line("  front       pid %d" % os.getpid())
    screen.line("  workers     %d (pid %s)" % (len(resources.workers), pids))
    screen.line()
