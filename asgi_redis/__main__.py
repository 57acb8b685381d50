"""The command line: ``python -m asgi_redis``."""
from __future__ import unicode_literals

import argparse
import sys

import six

from . import __version__, demo


def at_least_one(text):
    """The whole number in ``text``. ArgumentTypeError where there is none, or one below 1."""
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
    commands.required = True  # on Python 3, no command is no error otherwise
    about = "send requests and group messages between processes, and count what arrives"
    command = commands.add_parser("demo", help=about, description=about[0].upper() + about[1:] + ".", epilog=(
        "Exit status: 0 nothing was lost or duplicated, 1 something was, 2 it could not run, 130 Ctrl-C stopped it "
        "(143 SIGTERM)."
    ))
    command.add_argument("--requests", type=at_least_one, default=5000, metavar="N", help="5000 if not given")
    command.add_argument("--workers", type=at_least_one, default=2, metavar="N", help="processes, 2 if not given")
    command.add_argument("--hosts", nargs="+", type=six.ensure_text, metavar="URL", help=(
        "run on these servers, under a prefix of its own, and remove its keys in the end; "
        "if not given, on a server that it starts and stops"
    ))
    return parser


def main():
    """Run the command of ``sys.argv``. Returns the exit status."""
    try:
        arguments = make_parser().parse_args()
        return demo.run(arguments.requests, arguments.workers, arguments.hosts)
    except KeyboardInterrupt:  # before the demo has set up its own handling
        return 130


if __name__ == "__main__":
    sys.exit(main())
