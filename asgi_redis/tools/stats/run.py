"""The command ``stats``."""
from __future__ import unicode_literals

import json
import time

from ..arguments import seconds
from ..internals import monotonic
from ..target import add_options, on_layer
from .collect import collect
from .prometheus import exposition
from .text import tables

#: How many times as long as it reads, ``--watch`` pauses at least, so that it takes little of a server with many keys.
PAUSE_BY_READING = 4


def add_to(commands):
    """Add the command to ``commands``, the subparsers of ``argparse``."""
    parser = commands.add_parser("stats", help="show channels, processes, groups and shards", description=(
        "Shows the channels of the last hour, the processes that receive, groups and shards, as they are now. Changes "
        "nothing, and reads keys in small steps that do not hold up a server."
    ), epilog="Exit status: 0; 1 if a shard can't be read; 2 if none can, or after another error; 130 after Ctrl-C.")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--prometheus", action="store_true", help="print the text format of Prometheus")
    form.add_argument("--watch", nargs="?", type=seconds, const=2.0, metavar="SECONDS", help=(
        "print again every SECONDS (default 2), with rates, until Ctrl-C"
    ))
    add_options(parser)
    parser.set_defaults(run=on_layer(run))


def run(layer, options, screen):
    """Print the statistics. Return the exit status."""
    if options.watch:
        watch(layer, screen, options.watch)
    found = collect(layer)
    if options.json:
        screen.line(json.dumps(found, indent=1, sort_keys=True))
    elif options.prometheus:
        screen.line(exposition(found).rstrip("\n"))
    else:
        show(screen, tables(found, columns=screen.columns))
    return status(found)


def show(screen, lines):
    for line in lines:
        screen.line(line)


def watch(layer, screen, every):
    """Show them again and again, until a signal raises ``Stopped``."""
    if not screen.is_terminal:
        for found, before in readings(layer, every):
            show(screen, tables(found, before) + [""])
    with screen.full():
        for found, before in readings(layer, every):
            screen.draw(tables(found, before, *screen.room))


def readings(layer, every):
    """Yield what ``collect`` returns, with what it returned before, every ``every`` seconds or less often."""
    before = None
    while True:
        began = monotonic()
        found = collect(layer)
        taken = monotonic() - began
        yield found, before
        before = found
        time.sleep(max(every - taken, PAUSE_BY_READING * taken))


def status(found):
    unavailable = ["error" in shard for shard in found["shards"]]
    return 2 if all(unavailable) else 1 if any(unavailable) else 0
