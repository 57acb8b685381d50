"""``asgi-redis size``."""
from __future__ import unicode_literals

import argparse
import math

from ..arguments import at_least_one
from ..embedded import NoServer
from ..target import CannotRun
from . import costs
from .plan import Load, Plan

#: How many characters a full bar has.
BAR = 20

TITLES = {"cpu": "the CPU of Redis", "connections": "connections", "network": "the network", "memory": "memory"}

ADVICE = {
    "cpu": "A group is on a single shard: split a large one into several, or send less often.",
    "connections": "Each worker connects to each shard: raise maxclients, or use several layers.",
    "network": "Send smaller messages.",
    "memory": "Give the servers more memory, or the channels less capacity.",
}


def none_or_more(text):
    """Return the number in ``text``. ArgumentTypeError if it is none, or is below 0."""
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number < 1e12:
        raise argparse.ArgumentTypeError("%r is not a number of 0 or more" % (text,))
    return number


def add_to(commands):
    about = "estimate how many servers and processes a site needs"
    parser = commands.add_parser("size", help=about, description=about.capitalize() + ".", epilog=(
        "It computes, and connects to nothing. Exit status: 0, 1 if no number of shards is enough, 2 after an error."
    ))
    add = parser.add_argument
    add("--rate", type=none_or_more, default=100, metavar="N", help=(
        "requests and WebSocket messages a second, each with a reply (default 100)"
    ))
    add("--sockets", type=none_or_more, default=0, metavar="N", help="open WebSockets (default 0)")
    add("--group-size", type=none_or_more, metavar="N", help="members of a group (default: all sockets)")
    add("--broadcasts", type=none_or_more, default=1, metavar="N", help="broadcasts to groups a second (default 1)")
    add("--message-size", type=none_or_more, default=1000, metavar="BYTES", help="size of a message (default 1000)")
    add("--view", type=none_or_more, default=20, metavar="MS", help=(
        "how long a worker is busy with a request, in milliseconds (default 20)"
    ))
    add("--capacity", type=at_least_one, default=100, metavar="N", help="the layer's capacity (default 100)")
    add("--daphnes", type=at_least_one, metavar="N", help="interface servers (default: as many as are needed)")
    add("--workers", type=at_least_one, metavar="N", help="workers (default: as many as are needed)")
    add("--shards", type=at_least_one, metavar="N", help="assume this many shards (default: as many as are needed)")
    add("--measure", action="store_true", help=(
        "first measure what calls cost on this machine, with a temporary Redis, for half a minute"
    ))
    parser.set_defaults(run=run)


def run(options, screen, signals):
    with signals.raised():
        found = costs.USUAL
        if options.measure:
            screen.line("Measuring what calls cost on this machine, for half a minute ...")
            found = measured()
            screen.line("CPU time of Redis, in us: %s\n" % ", ".join(
                "%s %.3g" % pair for pair in zip(found._fields, found)
            ))
        plan = Plan(load_of(options), found, shards=options.shards)
        for line in lines(plan):
            screen.line(line)
    return 0 if plan.shards and plan.worst(plan.use)[1] <= 1 else 1


def measured():
    try:
        return costs.measure()
    except (NoServer, RuntimeError) as error:
        raise CannotRun(error)


def load_of(options):
    group_size = options.sockets if options.group_size is None else options.group_size
    return Load(
        options.rate, options.sockets, group_size, options.broadcasts if group_size else 0, options.message_size,
        options.view / 1000.0, options.capacity, options.daphnes, options.workers,
    )


def lines(plan):
    """Yield the lines that show ``plan``."""
    load, use = plan.load, plan.use
    shown = [
        ("CPU", "%.0f %% of a processor" % (use.cpu * 100)),
        ("connections", number(use.connections)),
        ("network", "%.3g MB/s each way" % (use.network / 1e6)),
        ("memory", "%.3g MB if all queues are full" % (use.memory / 1e6)),
    ]
    yield "%s requests a second%s, messages of %s bytes:" % (
        number(load.rate), broadcasts(load), number(load.message_size),
    )
    yield ""
    yield "  %-12s %s" % ("Daphne", count(plan.daphnes, "process", "processes"))
    yield "  %-12s %s" % ("workers", count(plan.workers, "process", "processes"))
    yield "  %-12s %s" % ("Redis", count(plan.shards, "shard", "shards") if plan.shards else "no number is enough")
    yield ""
    yield "The busiest shard:" if plan.shards != 1 else "The server:"
    yield ""
    for (name, text), part in zip(shown, plan.parts(use)):
        bar = "#" * min(int(math.ceil(part * BAR)), BAR)
        yield "  %-12s [%-*s] %4.0f %%  %s" % (name, BAR, bar, part * 100, text)
    yield ""
    yield verdict(plan)
    for line in about_shards(plan):
        yield line


def verdict(plan):
    name, part = plan.worst(plan.use)
    title = TITLES[name]
    if part > 1 and plan.shards:
        return "That is too much: %s by %.1f times. Leave --shards out to see how many are needed." % (title, part)
    if part > 1:
        return "No number of shards can carry this load: the limit is %s. %s" % (title, ADVICE[name])
    return "The first limit to be reached is %s, at %.1f times this load." % (title, 1 / part)


def about_shards(plan):
    """Yield what to do if there are more shards than the load needs, or if most of their work is about each other."""
    fewest = plan.fewest()
    if fewest and fewest < plan.shards:
        yield (
            "%s would do, and each further shard costs all workers and Daphnes time. On a Redis Cluster, the layer's "
            "argument shards need not be the number of masters." % count(fewest, "shard", "shards")
        )
    elif plan.undivided_part() > 0.5:
        yield (
            "Of this CPU, %.0f %% is for messages on other shards, on which each worker waits too. More shards do not "
            "divide it: use several layers, each with workers of its own." % (plan.undivided_part() * 100)
        )


def broadcasts(load):
    if not load.broadcasts:
        return ""
    return ", %s broadcasts a second to %s members" % (number(load.broadcasts), number(load.group_size))


def number(value):
    return "{:,.15g}".format(value)


def count(value, one, many):
    return "%s %s" % (number(value), one if value == 1 else many)
