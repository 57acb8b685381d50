"""How costs grow with sizes: ``python -m benchmarks.growth --help``."""
import math
import sys
from typing import NamedTuple

from . import commands, report
from .environments import THIS, progress, python
from .servers import Servers, server_binary
from .sides import LayerMeasurer, Side

#: "None", with room for noise.
NONE = 0.05

#: "In proportion", with room for noise.
PROPORTIONAL = 1.1


COMMAND = "python -m benchmarks.growth"


class Curve(NamedTuple):
    """
    The cost of a call at several sizes.

    ``name``: what ``--curves`` calls it. ``title``: what a call is. ``size``: what the sizes are. ``workload``,
    ``options``: as in ``Side``; ``option``: the one that is the size. ``measure``: "wall", "client" or "server".
    ``most``: the largest exponent that is allowed.
    """

    name: str
    title: str
    size: str
    sizes: tuple
    workload: str
    option: str
    measure: str = "wall"
    most: float = NONE
    options: tuple = ()

    def side(self, size):
        return Side(THIS, "newest", self.workload, self.options + ((self.option, size),))


BACKLOG = (10, 100, 1000, 10000, 100000, 1000000)
MEMBERS = (10, 100, 1000, 10000, 30000)

CURVES = [
    Curve("send", "send", "messages waiting", BACKLOG, "send_to_backlog", "waiting"),
    Curve("receive", "receive", "messages waiting", BACKLOG, "receive_from_backlog", "waiting"),
    Curve(
        "group", "group send to ten processes", "members", MEMBERS, "group_send", "members",
        most=PROPORTIONAL, options=(("processes", 10),),
    ),
    Curve(
        "processes", "group send to 1,000 members", "processes", (1, 10, 100, 1000), "group_send", "processes",
        most=PROPORTIONAL, options=(("members", 1000),),
    ),
    Curve(
        "normal", "group send to normal channels", "members", MEMBERS, "group_send", "members",
        most=PROPORTIONAL, options=(("processes", 0),),
    ),
    Curve("handing-out", "handing out a broadcast, a member", "members", MEMBERS, "hand_out", "members", "client"),
    Curve(
        "shards-client", "a wait of a second, CPU of the worker", "shards", (1, 2, 4, 8, 16, 32), "wait", "shards",
        "client", PROPORTIONAL,
    ),
    Curve(
        "shards-server", "a wait of a second, CPU of all servers", "shards", (1, 2, 4, 8, 16, 32), "wait", "shards",
        "server", PROPORTIONAL,
    ),
    Curve(
        "channels", "a wait of a second, CPU of the worker", "channels", (1, 5, 10, 20, 50), "wait", "channels",
        "client", PROPORTIONAL,
    ),
    Curve(
        "idle", "a second of idle workers, CPU of the server", "workers", (1, 10, 50, 100, 200, 500), "idle_workers",
        "workers", "server", PROPORTIONAL,
    ),
]


def exponent(points):
    """
    Return the exponent b of the cost a * size ** b that fits best, by least squares of the logarithms.

    ``points``: [(size, cost), ...]. Only the upper half counts: small sizes are mostly fixed costs.
    """
    upper = points[len(points) // 2:]
    logs = [(math.log(size), math.log(cost)) for size, cost in upper]
    x, y = (sum(column) / len(logs) for column in zip(*logs))
    return sum((lx - x) * (ly - y) for lx, ly in logs) / sum((lx - x) ** 2 for lx, _ in logs)


def verdict(curve, found):
    return "reached" if round(found, 2) <= curve.most else "missed"


def measure(curve, measurer, rounds):
    """Return [(size, the least cost of ``rounds`` in us), ...]."""
    points = []
    for size in curve.sizes:
        points.append((size, min(measurer.measure(curve.side(size))[curve.measure] for _ in range(rounds))))
        measurer.end_row()
    return points


def table(results):
    """The curves as a table in reStructuredText. ``results``: as of ``run``."""
    head = ["cost of", "with", "us a call", "exponent", "wanted", "verdict"]
    rows = [[
        result["title"], result["size"],
        ", ".join(f"{size:,}: {report.figure(cost)}" for size, cost in result["points"]),
        f"{result['exponent']:.2f}", f"<= {result['most']:g}", result["verdict"],
    ] for result in results["curves"]]
    return report.grid(head, rows)


def arguments(words=None):
    parser = commands.parser(
        COMMAND,
        "Measures how costs grow with sizes. The exit status is 1 if an exponent is larger than wanted, 2 if something "
        "to measure with is missing.",
    )
    commands.add_names(parser, "--curves", [curve.name for curve in CURVES])
    parser.add_argument("--most", type=int, metavar="SIZE", help="leave out sizes above this")
    parser.add_argument("--rounds", type=int, default=4, help="how often each size is measured (default 4)")
    parser.add_argument("--seconds", type=float, default=0.05, help="how long a round measures (default 0.05)")
    options = parser.parse_args(words)
    options.chosen = [curve for curve in CURVES if curve.name in options.curves]
    if options.most:
        options.chosen = [
            curve._replace(sizes=tuple(size for size in curve.sizes if size <= options.most))
            for curve in options.chosen
        ]
    return options


def run(options):
    """Return the results of all chosen curves, and the versions of everything."""
    server_binary()
    python("newest")
    results = []
    with Servers() as servers:
        measurer = LayerMeasurer(servers, options)
        try:
            for curve in options.chosen:
                progress(f"{curve.title}, by {curve.size}")
                points = measure(curve, measurer, options.rounds)
                found = exponent(points)
                results.append(dict(curve._asdict(), points=points, exponent=found, verdict=verdict(curve, found)))
            versions = dict(measurer.versions()[THIS, "newest"], server=servers.version())
        finally:
            measurer.stop()
    return {"curves": results}, versions


def main(words=None):
    results = commands.perform(COMMAND, arguments(words), run, table)
    return 1 if any(result["verdict"] == "missed" for result in results["curves"]) else 0


if __name__ == "__main__":
    sys.exit(main())
