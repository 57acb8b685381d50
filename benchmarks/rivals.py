"""This project beside other layers: ``python -m benchmarks.rivals --help``."""
import subprocess
import sys
from typing import NamedTuple

from . import commands, report
from .environments import RELEASE, THIS, code_folder, progress, python, variables
from .servers import Servers, server_binary
from .sides import LayerMeasurer, Side

COMMAND = "python -m benchmarks.rivals"


class Rival(NamedTuple):
    """
    A layer in a set-up. ``name``: what ``--rivals`` calls it. ``title``: the head of its column. ``code``, ``stack``,
    ``server``: as in ``Side``.
    """

    name: str
    title: str
    code: str
    stack: str
    server: str


RIVALS = [
    Rival("1.4.3", "1.4.3, old stack", RELEASE, "old", "plain"),
    Rival("old", "this, old stack", THIS, "old", "plain"),
    Rival("this", "this", THIS, "newest", "plain"),
    Rival("sharded", "this, 4 shards", THIS, "newest", "sharded"),
    Rival("sentinel", "this, Sentinel", THIS, "newest", "sentinel"),
    Rival("cluster", "this, Cluster", THIS, "newest", "cluster"),
    Rival("core", "channels_redis core", "channels_redis", "channels", "core"),
    Rival("pubsub", "channels_redis pub/sub", "channels_redis", "channels", "pubsub"),
    Rival("ipc", "asgi_ipc", "asgi_ipc", "ipc", "ipc"),
    Rival("redis-py", "redis-py alone", THIS, "newest", "plain"),
]

#: What a layer lacks, does elsewhere (the receives of pub/sub have been paid for when the message was sent), or takes
#: minutes for (asgi_ipc reads its whole store for each member).
LACKS = {
    "core": ["receive"],
    "pubsub": ["receive", "receive-blocking", "normal", "memory", "throughput-1", "throughput-2", "throughput-4"],
    "ipc": ["memory", "encrypted", "10000-in-10"],
}


class Row(NamedTuple):
    """
    A workload. ``name``: what ``--rows`` calls it. ``title``: as printed, with the unit. ``figures``: which of them, in
    this order. ``bare``: the options of the workload "bare" that does the same by redis-py alone, or None. ``spread``:
    run on all processors.
    """

    name: str
    title: str
    workload: str
    options: tuple = ()
    figures: tuple = ("wall",)
    bare: tuple = None
    spread: bool = False


def _round_trip(name, title, **options):
    return Row(name, f"send and receive, {title}, us", "round_trip", tuple(options.items()))


def _group(name, title, members, processes):
    return Row(name, f"group of {title}, us", "group_send", (("members", members), ("processes", processes)))


ROWS = [
    Row("send", "send, us", "send", bare=(("call", "rpush"),)),
    Row("receive", "receive, us", "receive", bare=(("call", "lpop"),)),
    Row("receive-blocking", "blocking receive, us", "receive", (("block", True),)),
    _round_trip("100", "100 bytes"),
    _round_trip("1k", "1 kB", size=1000),
    _round_trip("10k", "10 kB", size=10000),
    _round_trip("1m", "1 MB", size=1000000),
    _round_trip("encrypted", "encrypted", encrypted=True),
    _group("10", "10 in one process", 10, 1),
    _group("1000", "1,000 in one process", 1000, 1),
    _group("1000-in-10", "1,000 in 10 processes", 1000, 10),
    _group("1000-in-100", "1,000 in 100 processes", 1000, 100),
    _group("10000-in-10", "10,000 in 10 processes", 10000, 10),
    _group("normal", "1,000 normal channels", 1000, 0),
    Row("woken", "from send to an idle reader, us, p50 and p99", "woken", (), ("p50", "p99"), spread=True),
] + [
    Row(
        f"throughput-{number}", f"{number} writers, {number} readers, us a message, % arrived", "throughput",
        (("processes", number),), ("wall", "arrived"), spread=True,
    ) for number in (1, 2, 4)
] + [
    Row("memory", "a waiting message in Redis, bytes", "memory", (), ("bytes",)),
    Row("import", "import, ms and MB", None, (), ("ms", "MB")),
]

IMPORT = """\
import resource, sys, time
before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
__import__(sys.argv[1])
print((time.perf_counter() - begun) * 1e3, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def imported(backend, code, stack):
    """Return what the import of a layer's module takes: {"ms": milliseconds, "MB": memory}, in a new process."""
    module = backend.rpartition(".")[0]
    output = subprocess.check_output([python(stack), "-c", IMPORT, module], env=variables(code_folder(code)))
    return dict(zip(("ms", "MB"), map(float, output.split())))


def side_of(rival, row):
    """The ``Side`` that measures ``row`` for ``rival``; None if it can't."""
    if row.name in LACKS.get(rival.name, ()):
        return None
    if rival.name == "redis-py":
        return row.bare and Side(rival.code, rival.stack, "bare", row.bare, rival.server)
    return Side(rival.code, rival.stack, row.workload, row.options, rival.server)


def measure(row, rivals, servers, measurer, rounds):
    """Return {title of a rival: {figure: the best of ``rounds``}}. The rivals take turns."""
    sides = {rival.title: side_of(rival, row) for rival in rivals}
    best = {}
    for _ in range(rounds):
        for title, side in sides.items():
            if side is None:
                continue
            if row.workload is None:
                found = imported(servers.layer(side.server)["backend"], side.code, side.stack)
            else:
                found = measurer.measure(side)
            known = best.setdefault(title, {})
            for figure in row.figures:
                known[figure] = min(found[figure], known.get(figure, found[figure]))
    measurer.end_row()
    return best


def table(results, rivals):
    """The table in reStructuredText."""
    titles = [rival.title for rival in rivals]
    rows = [
        [result["title"]] + [
            " / ".join(report.figure(value) for value in result["figures"].get(title, {}).values()) or "-"
            for title in titles
        ] for result in results
    ]
    return report.grid([""] + titles, rows)


def arguments(words=None):
    parser = commands.parser(
        COMMAND, "Measures this project, release 1.4.3, channels_redis, asgi_ipc and redis-py in one run."
    )
    commands.add_names(parser, "--rows", [row.name for row in ROWS])
    commands.add_names(parser, "--rivals", [rival.name for rival in RIVALS])
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default 5)")
    parser.add_argument("--seconds", type=float, default=0.05, help="how long a turn measures (default 0.05)")
    options = parser.parse_args(words)
    options.rows = [row for row in ROWS if row.name in options.rows]
    options.rivals = [rival for rival in RIVALS if rival.name in options.rivals]
    return options


def run(options):
    """Return the results, and the versions of everything."""
    server_binary()
    for rival in options.rivals:
        python(rival.stack)
    results = []
    with Servers() as servers:
        measurers = {spread: LayerMeasurer(servers, options, spread) for spread in (False, True)}
        try:
            for row in options.rows:
                progress(row.title)
                figures = measure(row, options.rivals, servers, measurers[row.spread], options.rounds)
                results.append({"name": row.name, "title": row.title, "figures": figures})
            versions = {"server": servers.version()}
            for measurer in measurers.values():
                versions.update({f"{code}, {stack}": found for (code, stack), found in measurer.versions().items()})
        finally:
            for measurer in measurers.values():
                measurer.stop()
    return {"rows": results}, versions


def main(words=None):
    options = arguments(words)
    commands.perform(COMMAND, options, run, lambda results: table(results["rows"], options.rivals))
    return 0


if __name__ == "__main__":
    sys.exit(main())
