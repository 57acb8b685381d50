"""The command line: ``asgi-redis``, also ``python -m asgi_redis``."""
from __future__ import unicode_literals

import argparse
import logging
import sys

from redis.exceptions import RedisError

from . import UnsupportedRedis, __version__
from .tools import messages
from .tools.check import run as check
from .tools.demo import run as demo
from .tools.screen import Screen, encoded
from .tools.signals import Signals, Stopped
from .tools.size import run as size
from .tools.stats import run as stats
from .tools.target import CannotRun

COMMANDS = [check, stats, messages, size, demo]


def make_parser():
    parser = argparse.ArgumentParser(prog="asgi-redis", description="Tools for the Redis channel layer.")
    parser.add_argument("--version", action="version", version="asgi_redis " + __version__)
    commands = parser.add_subparsers(metavar="command", dest="command")
    commands.required = True  # otherwise Python 3 accepts a call without a command
    for command in COMMANDS:
        command.add_to(commands)
    return parser


def main(words=None):
    """Run the command in ``words`` (default: ``sys.argv``). Return the exit status."""
    try:
        options = make_parser().parse_args(words)
        signals = Signals()
        for package in ("asgi_redis", "redis"):  # redis-py 4.1 logs the traceback of each cluster node without reply
            logging.getLogger(package).addHandler(logging.NullHandler())  # commands say themselves what is wrong
        screen = Screen(signals)
        try:
            return options.run(options, screen, signals)
        finally:
            screen.flush()  # if the reader is gone, Python would end with a status of its own
    except KeyboardInterrupt:  # before signals are recorded
        return 130
    except Stopped as stopped:
        return stopped.status
    except (CannotRun, RedisError, UnsupportedRedis) as error:
        sys.stderr.write(encoded("asgi-redis %s: %s\n" % (options.command, error), sys.stderr))
        return 2


if __name__ == "__main__":
    sys.exit(main())
