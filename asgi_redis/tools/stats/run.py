"""The command ``stats``."""
from __future__ import unicode_literals

import argparse
import json
import time

from ..target import add_options, make_layer
from .collect import collect
from .prometheus import exposition
from .text import tables

#: Makes a terminal empty, with the cursor at its top.
CLEAR = "\x1b[H\x1b[2J"


def seconds(text):
    """Return the number above 0 in ``text``. ArgumentTypeError otherwise."""
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not number > 0:
        raise argparse.ArgumentTypeError("%r is not a number of seconds above 0" % (text,))
    return number


def add_to(commands):
    """Add the command to ``commands``, the subparsers of ``argparse``."""
    parser = commands.add_parser("stats", help="show channels, processes, groups and shards", description=(
        "Shows channels, processes that receive, groups and shards, as they are now. Changes nothing, and reads keys "
        "in small steps that do not hold up a server."
    ), epilog="Exit status: 0; 1 if a shard is unavailable; 2 if all are, or an argument is wrong.")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as JSON")
    form.add_argument("--prometheus", action="store_true", help="in the text format of Prometheus")
    form.add_argument("--watch", nargs="?", type=seconds, const=2.0, metavar="SECONDS", help=(
        "again and again, with rates, until Ctrl-C (default: every 2 seconds)"
    ))
    add_options(parser)
    parser.set_defaults(run=run)


def run(options, screen, signals):
    """Print the statistics. Return the exit status."""
    with signals.raised():
        layer = make_layer(options)
        if options.watch:
            return watch(layer, screen, options.watch)
        found = collect(layer)
        if options.json:
            screen.line(json.dumps(found, indent=1, sort_keys=True))
        elif options.prometheus:
            screen.write(exposition(found))
        else:
            screen.line("\n".join(tables(found)))
        return status(found)


def watch(layer, screen, every):
    """Print them again and again, until a signal raises ``Stopped``."""
    before = None
    while True:
        found = collect(layer)
        screen.line((CLEAR if screen.is_terminal else "") + "\n".join(tables(found, before)))
        before = found
        time.sleep(every)


def status(found):
    unavailable = ["error" in shard for shard in found["shards"]]
    return 2 if all(unavailable) else 1 if any(unavailable) else 0
