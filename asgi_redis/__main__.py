"""The command line: ``python -m asgi_redis``."""
from __future__ import unicode_literals

import argparse
import sys

import six

from . import __version__
from .tools.demo.run import run


def at_least_one(text):
    """Return the whole number in ``text``. ArgumentTypeError if it is none, or is below 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError("%r is not a whole number above 0" % (text,))
    return number


def make_parser():
    parser = argparse.ArgumentParser(prog="python -m asgi_redis", description="Tools of the Redis channel layer.")
    parser.add_argument("--version", action="version", version="asgi_redis " + __version__)
    commands = parser.add_subparsers(metavar="command", dest="command")
    commands.required = True  # otherwise Python 3 accepts a call without a command
    about = "send requests and group messages between processes, and count what arrives"
    command = commands.add_parser("demo", help=about, description=about[0].upper() + about[1:] + ".", epilog=(
        "Exit status: 0 if nothing was lost or duplicated, 1 if something was, 2 if the demo could not run, "
        "130 after Ctrl-C, 143 after SIGTERM."
    ))
    command.add_argument("--requests", type=at_least_one, default=5000, metavar="N", help=(
        "how many requests to send (default 5000)"
    ))
    command.add_argument("--workers", type=at_least_one, default=2, metavar="N", help=(
        "how many worker processes to start (default 2)"
    ))
    command.add_argument("--hosts", nargs="+", type=six.ensure_text, metavar="URL", help=(
        "the servers to run on, with a prefix of its own whose keys are removed at the end "
        "(default: start a server, and stop it at the end)"
    ))
    return parser


def main():
    """Run the command in ``sys.argv``. Return the exit status."""
    try:
        arguments = make_parser().parse_args()
        return run(arguments.requests, arguments.workers, arguments.hosts)
    except KeyboardInterrupt:  # before the demo handles signals itself
        return 130


if __name__ == "__main__":
    sys.exit(main())
