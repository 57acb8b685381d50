"""The rows of the table: what is compared with what, and what is wanted (docs/design.rst)."""
from typing import NamedTuple

from .environments import RELEASE, THIS
from .sides import Side

#: The commit whose CPU time a request of HTTP is compared with: the last before the second design.
BEFORE = "ad3bcca"

#: "None" for growth, with some room for noise.
NO_GROWTH = 1.15


class Target(NamedTuple):
    """
    What is wanted of a ratio. ``limit``: None if it is only shown.

    ``at_least``: the ratio is how many times faster this side is, and ``limit`` the least; else it is how many times
    as much this side takes, and ``limit`` the most.
    """

    at_least: bool
    limit: float = None

    def ratio(self, reference, measured):
        return reference / measured if self.at_least else measured / reference

    def verdict(self, ratio):
        """The word "reached" or "missed", or "-" without a limit. Judged as printed: 2.497 reads 2.50, and is 2.5."""
        if self.limit is None:
            return "-"
        printed = round(ratio, 2)
        return "reached" if (printed >= self.limit if self.at_least else printed <= self.limit) else "missed"

    def __str__(self):
        return "-" if self.limit is None else f"{'>=' if self.at_least else '<='} {self.limit:g}"


class Row(NamedTuple):
    """
    A comparison.

    ``name``: what ``--rows`` calls it; rows of one name are measured together, in turn. ``title``, ``against``: as
    printed. ``measure``: of which figure the ratio is, "wall", "client" or "server"; of HTTP also "daphne", "worker".
    """

    name: str
    title: str
    against: str
    reference: Side
    measured: Side
    measure: str = "wall"
    target: Target = Target(True)


def at_least(limit):
    return Target(True, limit)


def at_most(limit):
    return Target(False, limit)


def _against_release(name, title, target, workload, measure="wall", **options):
    pairs = tuple(sorted(options.items()))
    sides = [Side(code, "old", workload, pairs) for code in (RELEASE, THIS)]
    return Row(name, title + ", old stack", RELEASE, *sides, measure, target)


def _against_bare(name, call, stack, limit):
    bare = Side(THIS, stack, "bare", (("call", call),))
    return Row(name, f"{name}, {stack} stack", call.upper(), bare, Side(THIS, stack, name), "wall", at_least(limit))


def quick_rows():
    """What can be measured in a minute."""
    return [
        _against_release("send", "send", at_least(2.5), "send"),
        _against_bare("send", "rpush", "old", 0.75),
        _against_bare("send", "rpush", "newest", 0.9),
        _against_release("receive", "receive", at_least(2.5), "receive"),
        _against_bare("receive", "lpop", "old", 0.75),
        _against_bare("receive", "lpop", "newest", 0.9),
        _against_release("receive-process", "receive on proc!", at_least(2.5), "receive", process=True),
        _against_release("receive-blocking", "blocking receive", at_least(2.3), "receive", block=True),
        _against_release("receive-nothing", "receive, nothing there", at_least(0.8), "receive_nothing"),
        _against_release("round-trip", "send and receive", at_most(0.6), "round_trip", "server"),
        _against_release("encrypted", "send and receive, encrypted", at_least(1.5), "round_trip", encrypted=True),
        _against_release("megabyte", "send and receive, 1 MB", at_least(1.0), "round_trip", size=1000000),
    ] + _group_rows()


def _group_rows():
    return [
        _against_release("group-1", "group of 1", at_least(1.8), "group_send", members=1, processes=1),
        _against_release("group-1000", "group of 1,000 in 1", at_least(150), "group_send", members=1000, processes=1),
        _against_release(
            "group-1000-in-10", "group of 1,000 in 10", at_least(150), "group_send", members=1000, processes=10
        ),
        _against_release(
            "group-normal", "group of 1,000 normal", at_least(25), "group_send", members=1000, processes=0
        ),
    ]


def topology_rows():
    """Sentinel, and a cluster of one node, against a plain server."""
    rows = []
    for kind, title in [("sentinel", "Sentinel"), ("cluster", "Cluster")]:
        for call in ("send", "receive"):
            plain = Side(THIS, "newest", call)
            other = plain._replace(server=kind)
            rows.append(Row(kind, f"{call}, {title}, newest stack", "plain", plain, other, "wall", at_most(1.1)))
    return rows


def _growth(name, title, workload, measure, small, large, target):
    """A row that compares a workload with options ``large`` with the same with options ``small``."""
    sides = [Side(THIS, "newest", workload, tuple(sorted(options.items()))) for options in (small, large)]
    against = " in ".join(f"{value:,}" for value in small.values() if isinstance(value, int))
    return Row(name, title, against, *sides, measure, target)


def growth_rows():
    """What must not cost more if there is more of something."""
    rows = [
        _growth(
            "growth-" + call, f"{call}, 100,000 waiting", workload, "wall",
            {"waiting": 10}, {"waiting": 100000}, at_most(NO_GROWTH),
        )
        for call, workload in [("send", "send_to_backlog"), ("receive", "receive_from_backlog")]
    ]
    rows += [
        _growth(
            "handing-out", f"handing out to {members:,}, a member", "hand_out", "client",
            {"members": 100}, {"members": members}, at_most(NO_GROWTH),
        )
        for members in (1000, 8000)
    ]
    # "Slowly with names, and with processes": shown, no figure is wanted.
    one = {"members": 1, "processes": 1}
    for processes in (1, 10):
        many = {"members": 1000, "processes": processes}
        title = f"group of 1,000 in {processes}"
        rows.append(_growth("growth-group", title, "group_send", "wall", one, many, at_most(None)))
    return rows


def http_rows(baseline=None):
    """Daphne and one worker. The client's CPU time is that of both."""
    this = Side(THIS, "site", "http")
    release, before = this._replace(code=RELEASE), this._replace(code=BEFORE)
    rows = [
        Row("http", "HTTP, a request", RELEASE, release, this, "wall", at_least(10)),
        Row("http", "HTTP, 1.4.3 polling", RELEASE, release._replace(stack="polling"), this),
        Row("http", "HTTP, CPU a request", BEFORE, before, this, "client", at_most(0.75)),
        Row("http", "HTTP, CPU of Daphne", BEFORE, before, this, "daphne", at_most(None)),
        Row("http", "HTTP, CPU of the worker", BEFORE, before, this, "worker", at_most(None)),
    ]
    if baseline:
        rows.append(Row("http", "HTTP, a request", baseline, this._replace(code=baseline), this))
    return rows


def baseline_rows(rows, baseline):
    """For each of ``rows`` against the release, the same against the commit ``baseline``, on both stacks."""
    return [
        Row(
            row.name, row.title.replace("old", stack), baseline,
            *(row.measured._replace(code=code, stack=stack) for code in (baseline, THIS)), row.measure,
        )
        for row in rows if row.against == RELEASE
        for stack in ("old", "newest")
    ]
