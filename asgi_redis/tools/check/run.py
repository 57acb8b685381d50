"""The command ``check``."""
from __future__ import unicode_literals

import textwrap

from redis.exceptions import RedisError

from ..internals import address_of, client_of
from ..target import add_options, on_layer
from .processes import compare
from .servers import Server, unreachable
from .verdicts import STATUS, note, worst

#: Where the text of a verdict begins, and how many characters a line of it has at least.
INDENT = " " * 25
NARROWEST = 20


def add_to(commands):
    """Add the command to ``commands``, the subparsers of ``argparse``."""
    parser = commands.add_parser("check", help="look at servers, messages and processes", description=(
        "Looks whether servers, waiting messages and processes are as the layer needs them. Sends and receives "
        "nothing; writes only keys of its own that expire after some seconds."
    ), epilog="Exit status: 0 if all is well, 1 after warnings, 2 after errors.")
    add_options(parser)
    parser.set_defaults(run=on_layer(run))


def run(layer, options, screen):
    """Print what was found. Return the exit status."""
    screen.line("%s, prefix %s" % (type(layer).__name__, layer.prefix))
    verdicts = []
    for heading, found in sections(layer, bool(options.settings)):
        screen.line()
        screen.line(heading)
        for verdict in found:
            show(screen, verdict)
        verdicts += found
    screen.line()
    counts = [(level, sum(verdict.level == level for verdict in verdicts)) for level in sorted(STATUS, key=STATUS.get)]
    screen.line(", ".join("%s: %d" % count for count in counts))
    return worst(verdicts)


def show(screen, verdict):
    text = "  %-8s %-13s %s" % verdict
    for line in textwrap.wrap(
        text, max(screen.columns, len(INDENT) + NARROWEST), subsequent_indent=INDENT, break_on_hyphens=False
    ) if screen.columns else [text]:
        screen.line(line)


def sections(layer, is_configured):
    """Yield (heading, verdicts) for each shard, and for the processes."""
    try:
        count = layer.ring_size
    except RedisError as failed:
        yield "Shards", [unreachable(failed)]
        return
    is_any_available = False
    for index in range(count):
        heading = "Shard %d of %d" % (index + 1, count)
        try:
            client = client_of(layer, index)
        except RedisError as failed:  # a Redis Cluster without an available node
            yield heading, [unreachable(failed)]
            continue
        server = Server(layer, index, client)
        yield "%s: %s" % (heading, address_of(client)), server.verdicts()
        is_any_available = is_any_available or server.is_available
    if is_any_available:
        yield "Processes", processes(layer, is_configured)


def processes(layer, is_configured):
    try:
        return compare(layer, is_configured)
    except RedisError as failed:
        return [note("processes", "Unknown: %s" % failed)]  # what is wrong is told of the shard
