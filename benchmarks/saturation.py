"""What happens when a site has all the load it can take: ``python -m benchmarks.saturation --help``."""
import resource
import sys

from . import commands, report
from .environments import THIS, progress
from .load import load, load_tool
from .rounds import take_turns
from .servers import Servers, server_binary
from .sides import LayerMeasurer, Side, versions_of
from .sites import Sites

COMMAND = "python -m benchmarks.saturation"

SITE = Side(THIS, "site", "http")

#: Workers of a site, and threads of each.
WORKERS = ((1, 1), (1, 2), (1, 4), (2, 1), (2, 2))

#: How many servers the messages are spread over, and how many processes send and as many receive.
SHARDS = (1, 2, 4)
PROCESSES = 4

#: How many messages may wait, and how long, in seconds, each of two readers works on one.
CAPACITY = 100
SERVICE = 0.01

#: Names, seconds, and messages sent a second: half of what the readers can take, two and a half times that, and half.
STEPS = (
    ("before", 5, 100), ("overload, first half", 5, 500), ("overload, second half", 5, 500), ("after", 5, 100),
)

#: How many times as long as a full channel takes to be read a message may wait.
ROOM = 1.2


def processes(servers, options):
    """Return a row for each of ``WORKERS``: requests a second, and {process: the share of a processor it uses}."""
    rows = []
    for workers, threads in WORKERS:
        progress(f"Workers: {workers}, threads of each: {threads}")
        with Sites(servers) as sites:
            site = sites.start(SITE, workers=workers, threads=threads)
            rows.append(dict(busy(site, options), workers=workers, threads=threads))
    return rows


def busy(site, options):
    """One turn of the load tool, after one that does not count."""
    load(site.url, 1, options.connections)
    before, tool = site.cpu(), children_cpu()
    count, wall = load(site.url, options.seconds, options.connections)
    used = {name: value - before[name] for name, value in site.cpu().items()}
    used["load tool"] = children_cpu() - tool
    return {"requests": count / wall, "cpu": {name: value / wall for name, value in used.items()}}


def children_cpu():
    """The seconds of CPU time of the processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def shards(servers, options):
    """Return a row for each number of shards: the best of several turns, in us a message."""
    sides = [Side(THIS, "newest", "shards", (("processes", PROCESSES),), f"shards-{count}") for count in SHARDS]
    measurer, best = LayerMeasurer(servers, options, spread=True), {}
    progress("Shards")
    try:
        take_turns(sides, measurer.measure, options.rounds, 60, best)
        measurer.end_row()
    finally:
        measurer.stop()
    return [dict(best[side], shards=count) for count, side in zip(SHARDS, sides)]


def overload(servers, options):
    """Return what became of the messages: as of ``judged``."""
    steps = tuple((seconds, rate) for _, seconds, rate in STEPS)
    side = Side(THIS, "newest", "overload", (("steps", steps), ("service", SERVICE), ("capacity", CAPACITY)))
    measurer = LayerMeasurer(servers, options, spread=True)
    progress("Overload")
    try:
        return judged(measurer.measure(side))
    finally:
        measurer.stop()


def judged(found):
    """
    Return ``{"sent", "refused", "received": counts, "bound": ms, "steps": rows, "halves": rows}``.

    ``found``: as of the workload "overload". "bound": what a full channel takes to be read, at the speed that the
    readers had in overload. "halves": a row for each half of a second.
    """
    begin, rows = 0, []
    for name, seconds, _ in STEPS:
        rows.append(dict(between(found, begin, begin + seconds), name=name))
        begin += seconds
    speed = min(row["read"] for row in rows if row["name"].startswith("overload"))
    return {
        "sent": found["sent"], "refused": len(found["refused"]), "received": len(found["received"]), "steps": rows,
        "bound": 1000 * CAPACITY / speed,
        "halves": [between(found, number / 2, (number + 1) / 2) for number in range(2 * begin)],
    }


def between(found, begin, end):
    """Return what became of the messages that were sent from ``begin`` to ``end``, in seconds; "read" in that time."""
    delays = [1000 * delay for at, delay in found["received"] if begin <= at < end]
    refused = sum(begin <= at < end for at in found["refused"])
    read = sum(begin <= at + delay < end for at, delay in found["received"])
    return {
        "begin": begin, "sent": (len(delays) + refused) / (end - begin), "read": read / (end - begin),
        "refused": refused / max(1, len(delays) + refused),
        "p50": report.percentile(delays, 50), "p99": report.percentile(delays, 99),
    }


def missed(results):
    """Return a line for each thing that must not be: none of the other parts has any."""
    if "overload" not in results:
        return []
    found, lines = results["overload"], []
    lost = found["sent"] - found["refused"] - found["received"]
    if lost:
        lines.append(f"Missed: messages neither refused nor received: {lost}.")
    slowest = max(row["p99"] for row in found["steps"])
    if slowest > ROOM * found["bound"]:
        lines.append(f"Missed: a p99 of {slowest:,.0f} ms; a full channel is read in {found['bound']:,.0f} ms.")
    return lines


PARTS = {"processes": processes, "shards": shards, "overload": overload}

#: What the parts run on.
STACKS = {"processes": SITE.stack, "shards": "newest", "overload": "newest"}


def processes_table(rows):
    def share(row, *names):
        return ", ".join(f"{100 * value:.0f} %" for name, value in row["cpu"].items() if name.startswith(names))

    head = ["workers", "threads", "requests a second", "Daphne", "workers' CPU", "Redis", "load tool", "together"]
    return report.grid(head, [[
        str(row["workers"]), str(row["threads"]), report.figure(row["requests"]), share(row, "daphne"),
        share(row, "worker"), share(row, "server"), share(row, "load tool"), f"{100 * sum(row['cpu'].values()):.0f} %",
    ] for row in rows])


def shards_table(rows):
    head = ["servers", "messages a second", "CPU of the busiest, us", "of all, us", "messages a second they could take"]
    return report.grid(head, [[
        str(row["shards"]), report.figure(1e6 / row["wall"]), report.figure(row["busiest"]), report.figure(row["all"]),
        report.figure(1e6 / row["busiest"]),
    ] for row in rows])


def overload_table(found):
    head = ["", "sent a second", "read a second", "refused", "p50, ms", "p99, ms"]
    return report.grid(head, [[
        row["name"], report.figure(row["sent"]), report.figure(row["read"]), f"{100 * row['refused']:.1f} %",
        report.figure(row["p50"]), report.figure(row["p99"]),
    ] for row in found["steps"]])


ABOUT_PROCESSES = """\
Where the limit of a site is: HTTP as fast as it goes, through one Daphne, workers (``runworker --threads``) and one
Redis, on the stack of release 1.4.3's sites. 100 % is one processor. A process that uses nearly that is the limit. If
no single process does, but together they use all processors, the limit is the machine. Threads of a worker share one
processor, so they only help views that wait."""

ABOUT_SHARDS = """\
What adding servers gains: {processes} processes send to one channel as fast as they can, and {processes} receive, on
the newest stack. The servers share the processors with these processes, so their CPU time says more than the speed:
microseconds per message, of the busiest server, and of all of them together. The last column is what the busiest
server's time would allow if each server had a processor of its own. Readers wait on all servers. So a second server
does not take half of the work from the first, and all together work more for a message than one alone: add a server
only if Redis is the limit."""

ABOUT_OVERLOAD = """\
Overload: two processes send to a channel with a capacity of {capacity}, and two receive, which work {service:g} ms on
each message. Times are from the send to the receive. Of {sent:,} messages, {refused:,} were refused (``ChannelFull``)
and {received:,} received; {lost:,} were lost. At the readers' speed, a full channel is read in {bound:,.0f} ms. No
message that is admitted waits much longer than that, however many are sent; the others are refused at once, and their
senders know. A smaller capacity makes the wait shorter."""


def text(results):
    """The tables, each with what it shows."""
    parts = []
    if "processes" in results:
        parts += [ABOUT_PROCESSES, processes_table(results["processes"])]
    if "shards" in results:
        parts += [ABOUT_SHARDS.format(processes=PROCESSES), shards_table(results["shards"])]
    if "overload" in results:
        found = results["overload"]
        lost = found["sent"] - found["refused"] - found["received"]
        about = ABOUT_OVERLOAD.format(capacity=CAPACITY, service=1000 * SERVICE, lost=lost, **found)
        parts += [about, overload_table(found)]
    return "\n\n".join(parts)


def arguments(words=None):
    parser = commands.parser(
        COMMAND,
        "Measures which process limits a site, what more servers bring, and what becomes of messages if readers are "
        "too slow. Takes three minutes. Makes the environments it needs below .tox. The exit status is 1 if a message "
        "was lost or waited too long in overload, 2 if something to measure with is missing.",
    )
    commands.add_names(parser, "--parts", PARTS)
    parser.add_argument("--seconds", type=int, default=8, help="how long HTTP is measured (default 8)")
    parser.add_argument("--connections", type=int, default=16, help="HTTP requests at a time (default 16)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each number of servers (default 3)")
    return parser.parse_args(words)


def run(options):
    """Return the results of all chosen parts, and the versions of everything."""
    server_binary()
    if "processes" in options.parts:
        load_tool()
    stacks = [STACKS[name] for name in options.parts]
    versions = {f"{THIS}, {stack}": versions_of(SITE._replace(stack=stack)) for stack in dict.fromkeys(stacks)}
    with Servers() as servers:
        versions["server"] = servers.version()
        return {name: PARTS[name](servers, options) for name in options.parts}, versions


def main(words=None):
    lines = missed(commands.perform(COMMAND, arguments(words), run, text))
    print("", *(lines or ["All targets are reached."]), sep="\n")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
