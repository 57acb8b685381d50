"""This project beside release 1.4.3, seen by the clients of a site: ``python -m benchmarks.endtoend --help``."""
import sys

from . import commands, report
from .environments import RELEASE, THIS, progress, python
from .load import allow_sockets, client
from .servers import Servers, server_binary
from .sides import Side, versions_of
from .sites import Sites

COMMAND = "python -m benchmarks.endtoend"

#: The sides, by the titles of their rows. Without txredisapi, the release's Daphne polls.
SIDES = {
    "1.4.3": Side(RELEASE, "polling", "http"),
    "1.4.3-txredisapi": Side(RELEASE, "site", "http"),
    "this": Side(THIS, "site", "http"),
}

#: A side without broadcasts: its Daphne needs 13 ms for each message, so it takes a minute to open 4,000 sockets.
HTTP_ONLY = "1.4.3-txredisapi"

#: How long, in seconds, requests are sent before they count.
WARM = 2

#: A side that twice answers less than this share of the requests is not asked for more.
ANSWERED = 0.95

#: The pause between two broadcasts, in seconds.
INTERVAL = 2


def http(servers, options):
    """Return the rows of HTTP: as of ``climb``."""
    def turn(title, rate):
        progress(f"{rate} requests a second, {title}")
        return steady(running[title], rate, options.seconds)

    with Sites(servers) as sites:
        running = {title: sites.start(side) for title, side in options.sides.items()}
        return climb(options.rates, list(running), turn)


def climb(rates, sides, turn):
    """
    Return a row for each rate and side, until a side can't answer a rate: perhaps another process was busy, so it may
    try twice. ``turn(side, rate)``: one turn, as of ``steady``.
    """
    rows, left = [], list(sides)
    for rate in rates:
        for side in list(left):
            row = turn(side, rate)
            if row["answered"] < ANSWERED * rate:
                row = max(row, turn(side, rate), key=lambda each: each["answered"])
            if row["answered"] < ANSWERED * rate:
                left.remove(side)
            rows.append(dict(row, side=side, rate=rate))
    return rows


def steady(site, rate, seconds):
    """One turn: {"answered": requests a second, "p50": ms, "p99": ms, "failed": how many}."""
    found = client("visitors.py", url=site.url, rate=rate, seconds=seconds, warm=WARM)
    return {
        "answered": len(found["delays"]) / seconds, "failed": found["failed"],
        "p50": report.percentile(found["delays"], 50), "p99": report.percentile(found["delays"], 99),
    }


def broadcasts(servers, options):
    """Return the rows of broadcasts: for each number of sockets, a turn for each side."""
    rows = []
    for sockets in options.sockets:
        allow_sockets(sockets)
        for title, side in options.sides.items():
            if title == HTTP_ONLY:
                continue
            progress(f"{sockets:,} WebSockets, {title}")
            with Sites(servers) as sites:
                row = broadcast(sites.start(side), sockets, options.broadcasts)
                rows.append(dict(row, side=title, sockets=sockets))
    return rows


def broadcast(site, sockets, count):
    """One turn: as of ``summary``."""
    address = f"127.0.0.1:{site.port}"
    found = client("crowd.py", addresses=[address], size=sockets, broadcasts=count, interval=INTERVAL)
    return summary(found, sockets * count)


def summary(found, messages):
    """
    Return {"arrived": share of ``messages``, "p50", "p99": ms, "last": median of the times of the last one, in ms}.

    ``found``: what ``crowd.py`` prints.
    """
    return {
        "arrived": len(found["each"]) / messages, "last": report.percentile(found["last"], 50),
        "p50": report.percentile(found["each"], 50), "p99": report.percentile(found["each"], 99),
    }


PARTS = {"http": http, "broadcasts": broadcasts}


def http_table(rows):
    head = ["requests a second", "side", "answered", "p50, ms", "p99, ms", "failed"]
    return report.grid(head, [[
        str(row["rate"]), row["side"], report.figure(row["answered"]), report.figure(row["p50"]),
        report.figure(row["p99"]), str(row["failed"]),
    ] for row in rows])


def broadcasts_table(rows):
    head = ["WebSockets", "side", "arrived", "p50, ms", "p99, ms", "last, ms"]
    return report.grid(head, [[
        f"{row['sockets']:,}", row["side"], f"{100 * row['arrived']:.1f} %", report.figure(row["p50"]),
        report.figure(row["p99"]), report.figure(row["last"]),
    ] for row in rows])


ABOUT_HTTP = """\
HTTP at a steady rate, through one Daphne and one worker, to a view that returns a line. A side that twice answers fewer
than 95 % of the requests is not measured at higher rates. Locust sends the requests, evenly spaced, over as many
connections as there are requests in a second. A time begins when its request was due, even if an earlier reply was slow
and it was sent later (no "coordinated omission"), so above what a side can answer, times grow for as long as the turn
lasts. Failed are requests that did not get the page, such as those that Daphne refuses because a channel is full.

Daphne with release 1.4.3 looks for replies, and pauses for 50 ms if it finds none: that is most of the time of a page.
With txredisapi it does not pause, but needs 13 ms or more for each reply, and so can't answer 100 requests a second."""

ABOUT_BROADCASTS = """\
Broadcasts to WebSockets that are all on one Daphne, one every two seconds. A time begins when a POST to a view asks for
the broadcast, and ends when a client has read the message. So it includes the work of Daphne, the worker and the
client, which reads all sockets in one process. p50 and p99 are those of all messages that arrived; last is the median,
over the broadcasts, of the time of the last message that arrived.

Release 1.4.3 drops messages of a large broadcast once 100 are waiting for Daphne. This project drops none. How soon the
last socket has its message depends mostly on the time that Daphne and the client need for each."""


def text(results):
    """The tables, each with what it shows."""
    parts = []
    if "http" in results:
        parts += [ABOUT_HTTP, http_table(results["http"])]
    if "broadcasts" in results:
        parts += [ABOUT_BROADCASTS, broadcasts_table(results["broadcasts"])]
    return "\n\n".join(parts)


def arguments(words=None):
    parser = commands.parser(
        COMMAND,
        "Measures HTTP at steady rates, and broadcasts to WebSockets, through a Daphne and a worker, beside release "
        "1.4.3. Takes about six minutes. Makes the environments it needs below .tox. The exit status is 2 if something "
        "to measure with is missing.",
    )
    commands.add_names(parser, "--parts", PARTS)
    commands.add_names(parser, "--sides", SIDES)
    parser.add_argument("--rates", type=commands.numbers, default=[20, 50, 100, 200, 400], help="requests a second")
    parser.add_argument("--seconds", type=int, default=8, help="how long a turn of HTTP measures (default 8)")
    parser.add_argument("--sockets", type=commands.numbers, default=[100, 1000, 4000], help="how many WebSockets")
    parser.add_argument("--broadcasts", type=int, default=8, help="how many a turn sends (default 8)")
    options = parser.parse_args(words)
    options.sides = {title: SIDES[title] for title in options.sides}
    return options


def run(options):
    """Return the results of all chosen parts, {name: rows}, and the versions of everything."""
    server_binary()
    python("clients")
    versions = {title: versions_of(side) for title, side in options.sides.items()}
    with Servers() as servers:
        versions["server"] = servers.version()
        return {name: PARTS[name](servers, options) for name in options.parts}, versions


def main(words=None):
    commands.perform(COMMAND, arguments(words), run, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
