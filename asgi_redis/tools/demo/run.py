"""One run of the demo."""
from __future__ import unicode_literals

import logging
import os

import six

from asgi_redis import __version__

from ..arguments import at_least_one
from ..internals import without_password
from ..signals import Stopped
from .front import FRONT_WAIT, Front
from .report import Report
from .resources import Resources


def add_to(commands):
    """Add the command to ``commands``, the subparsers of ``argparse``."""
    about = "send requests and group messages between processes, and count what arrives"
    parser = commands.add_parser("demo", help=about, description=about[0].upper() + about[1:] + ".", epilog=(
        "Exit status: 0 if nothing was lost or duplicated, 1 if something was, 2 if the demo could not run, "
        "130 after Ctrl-C, 143 after SIGTERM."
    ))
    parser.add_argument("--requests", type=at_least_one, default=5000, metavar="N", help=(
        "how many requests to send (default 5000)"
    ))
    parser.add_argument("--workers", type=at_least_one, default=2, metavar="N", help=(
        "how many worker processes to start (default 2)"
    ))
    parser.add_argument("--hosts", nargs="+", type=six.ensure_text, metavar="URL", help=(
        "the servers to run on, with a prefix of its own whose keys are removed at the end "
        "(default: start a server, and stop it at the end)"
    ))
    parser.set_defaults(run=run)


def run(options, screen, signals):
    """
    Run the demo, and remove everything that it created.

    Returns the exit status: 0; 1 if a message was lost or duplicated; raises ``Stopped`` if a signal stopped it, and
    CannotRun, redis-py's errors or UnsupportedRedis if it can't run.
    """
    logging.basicConfig(format="%(message)s")
    for logger in ("asgi_redis.server.breaker", "asgi_redis.delivery.losses"):
        logging.getLogger(logger).setLevel(logging.ERROR)  # the demo says so itself
    resources = Resources(options.hosts)
    try:
        try:
            return perform(signals, screen, resources, options.requests, options.workers)
        finally:
            signals.ignore()
            resources.remove()
    except Stopped:
        screen.line("Stopped. %s" % ("Its keys are removed." if options.hosts else "Its server is stopped."))
        raise


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
    screen.paragraph("  Redis       %s%s" % (", ".join(without_password(host) for host in resources.hosts), own), 14)
    screen.line("  front       pid %d" % os.getpid())
    screen.paragraph("  workers     %d (pid %s)" % (len(resources.workers), pids), 14)
    screen.line()
