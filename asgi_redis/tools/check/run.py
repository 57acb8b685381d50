"""The command ``check``."""
from __future__ import unicode_literals

from redis.exceptions import RedisError

from ..internals import client_of
from ..screen import RED, YELLOW
from ..target import add_options, on_layer
from .channels import look
from .clients import Clients
from .processes import compare, lost_groups
from .servers import Server, unreachable
from .verdicts import ERROR, STATUS, WARNING, note, worst

#: A terminal with fewer columns gets no column for what a verdict is about.
NARROW = 60

COLOURS = {WARNING: YELLOW, ERROR: RED}


def add_to(commands):
    """Add the command to ``commands``, the subparsers of ``argparse``."""
    parser = commands.add_parser("check", help="check servers, messages and processes", description=(
        "Checks whether servers, waiting messages and processes are as the layer needs them. Sends and receives "
        "nothing; writes only keys of its own that expire after a few seconds."
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
    is_narrow = (screen.columns or NARROW) < NARROW
    layout, indent = ("  %-8s %s: %s", 11) if is_narrow else ("  %-8s %-13s %s", 25)
    screen.paragraph(layout % verdict, indent, COLOURS.get(verdict.level))


def sections(layer, is_configured):
    """Yield (heading, verdicts) for each shard, and for the channels and processes on those that reply."""
    try:
        count = layer.ring_size
    except RedisError as failed:
        yield "Shards", [unreachable(failed)]
        return
    available = []
    for index in range(count):
        heading = "Shard %d of %d" % (index + 1, count)
        try:
            client = client_of(layer, index)
        except RedisError as failed:  # a Redis Cluster without an available node
            yield heading, [unreachable(failed)]
            continue
        server = Server(layer, index, client)
        yield "%s: %s" % (heading, server.address), server.verdicts()
        if server.is_available:
            available.append(server)
    if available:
        for section in of_site(layer, is_configured, available):
            yield section


def of_site(layer, is_configured, servers):
    """Yield (heading, verdicts) for what all available ``servers`` hold together."""
    clients = Clients()
    for server in servers:
        clients.add(server)
    records, unread = {}, None
    for server in servers:
        try:
            records.update(server.records())
        except RedisError as failed:
            unread = note("processes", "Unknown: %s" % failed)
    records = list(records.values())
    yield "Processes", ([unread] if unread and not records else (
        compare(layer, records, is_configured) + lost_groups(layer, servers, records)
    )) + clients.verdicts()
    yield "Channels", look(layer, None if unread else records) + clients.shared_counters(layer.stats_prefix)
