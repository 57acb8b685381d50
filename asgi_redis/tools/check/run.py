"""The command ``check``."""
from __future__ import unicode_literals

from redis.exceptions import RedisError

from ..internals import address_of
from ..target import add_options, make_layer
from .processes import compare
from .servers import look_at, sentence, unreachable
from .verdicts import ERROR, OK, WARNING, error, worst


def add_to(commands):
    """Add the command to ``commands``, the subparsers of ``argparse``."""
    parser = commands.add_parser("check", help="look at servers, messages and processes", description=(
        "Looks whether servers, waiting messages and processes are as the layer needs them. Changes nothing."
    ), epilog="Exit status: 0 if all is well, 1 after warnings, 2 after errors.")
    add_options(parser)
    parser.set_defaults(run=run)


def run(options, screen, signals):
    """Print what was found. Return the exit status."""
    with signals.raised():
        layer = make_layer(options)
        screen.line("%s, prefix %s" % (type(layer).__name__, layer.prefix))
        verdicts = []
        for heading, found in sections(layer):
            screen.line("\n" + heading)
            for verdict in found:
                screen.line("  %-8s %-12s %s" % (verdict.level, verdict.about, verdict.text))
            verdicts += found
        screen.line("\nOk: %d, warnings: %d, errors: %d" % tuple(
            sum(verdict.level == level for verdict in verdicts) for level in (OK, WARNING, ERROR)
        ))
        return worst(verdicts)


def sections(layer):
    """Yield (heading, verdicts) for each shard, and for the processes."""
    try:
        count = layer.ring_size
    except RedisError as failed:
        yield "Shards", [unreachable(failed)]
        return
    for index in range(count):
        yield title(layer, index, count), look_at(layer, index)
    yield "Processes", agreement(layer)


def title(layer, index, count):
    try:
        address = address_of(layer.connection(index))
    except RedisError:
        address = "address unknown"
    return "Shard %d of %d: %s" % (index + 1, count, address)


def agreement(layer):
    try:
        return compare(layer)
    except RedisError as failed:
        return [error("processes", "Unknown: no shard is available. %s" % sentence(failed))]
