"""Whether ``asgi-redis size`` is right: ``python -m benchmarks.sizing --help``."""
import collections
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from . import commands, report
from .browsers import Browsers
from .environments import ROOT, THIS, progress, python, variables
from .errors import CannotMeasure
from .servers import Cluster, Servers, Several, ask, server_binary
from .sides import MEASURED, Side, versions_of
from .sites import Process, Site

try:
    import asgi_redis
    from asgi_redis.tools.size import costs as size_costs
    from asgi_redis.tools.size.plan import Load, Plan, most_together
except ImportError as error:
    raise SystemExit(f"{error}. Run this in an environment in which asgi_redis is installed.")

COMMAND = "python -m benchmarks.sizing"

#: How far a measured figure may be from its prediction.
TOLERANCE = 0.25

#: How long a set-up runs before it is measured, in seconds: until http.disconnect is full.
WARM = 5

#: The set-ups. Workers do nothing but reply.
SITE_LOAD = Load(
    rate=100.0, sockets=300, group_size=300, broadcasts=5.0, message_size=1000, view=0, capacity=100, daphnes=1,
    workers=2,
)
SHARDS = 4
SHARDS_LOAD = Load(
    rate=200.0, sockets=600, group_size=600, broadcasts=10.0, message_size=10000, view=0, capacity=100, daphnes=3,
    workers=4,
)
CLUSTER_LOAD = Load(
    rate=0.0, sockets=0, group_size=0, broadcasts=0.0, message_size=1000, view=0, capacity=100, daphnes=2, workers=4,
)

#: The masters of the cluster; and on how many shards of it the workers wait, with how many requests a second there
#: are. On fifty shards, that is what two processors do besides.
MASTERS = 50
CLUSTER_RATES = {1: 100.0, 2: 100.0, 4: 60.0, 10: 30.0, 50: 5.0}

#: How long idle workers are measured, in seconds: a whole wait.
IDLE = 5

PREFIX = "sizing:"


class Reading(NamedTuple):
    """A server: seconds of CPU time, bytes in and out and commands until now; connections and bytes of memory now."""

    cpu: float
    received: int
    sent: int
    commands: int
    connections: int
    memory: int


def read(server):
    info = dict(line.split(":", 1) for line in ask(server.port, "INFO").split("\r\n") if ":" in line)
    return Reading(
        float(info["used_cpu_user"]) + float(info["used_cpu_sys"]), int(info["total_net_input_bytes"]),
        int(info["total_net_output_bytes"]), int(info["total_commands_processed"]),
        int(info["connected_clients"]) - 1, int(info["used_memory"]),
    )


class Period(NamedTuple):
    """
    What happened in ``seconds``. ``counts``: what was counted. ``client``: seconds of CPU time of each process.
    ``readings``: for each server, the one before and the one after.
    """

    seconds: float
    counts: dict
    client: dict
    readings: list

    def rates(self, field):
        """How much more it became in a second, on each server."""
        place = Reading._fields.index(field)
        return [(after[place] - before[place]) / self.seconds for before, after in self.readings]

    def most(self, field):
        """The largest of all servers at the end."""
        return max(getattr(after, field) for before, after in self.readings)


def watch(setup, seconds):
    """Return the ``Period`` of the next ``seconds`` of a set-up."""
    def look():
        return time.monotonic(), setup.counts(), setup.cpu(), [read(server) for server in setup.servers]

    before = look()
    time.sleep(seconds)
    after = look()
    counts, client = [
        {name: value - old[name] for name, value in new.items()} for old, new in zip(before[1:3], after[1:3])
    ]
    return Period(after[0] - before[0], counts, client, list(zip(before[3], after[3])))


class Figure(NamedTuple):
    """A figure of a set-up, as measured, and as predicted; ``predicted`` is None for what is only shown."""

    name: str
    measured: float
    predicted: float = None

    @property
    def ratio(self):
        return None if self.predicted is None else self.measured / self.predicted

    @property
    def verdict(self):
        if self.predicted is None:
            return "-"
        return "right" if abs(self.ratio - 1) <= TOLERANCE else "wrong"


def layer_of(server, **arguments):
    """A layer in this process. ``server``: as from ``Servers.layer``."""
    return getattr(asgi_redis, server["backend"].rpartition(".")[2])(**dict(server["arguments"], **arguments))


def names_of(daphnes, server):
    """
    Return names of so many Daphnes whose queues are spread over the shards as a plan has it: as many on one shard as
    there usually are on the fullest, and that is the shard of the group.
    """
    layer = layer_of(server)
    most = most_together(daphnes, layer.ring_size)
    names, found = [], collections.Counter()
    wanted = {True: most, False: daphnes - most}
    for number in itertools.count():
        shard = layer.consistent_hash(f"daphne{number}!")
        with_group = shard == layer.consistent_hash("room")
        if wanted[with_group] and found[shard] < most:
            names.append(f"daphne{number}")
            found[shard] += 1
            wanted[with_group] -= 1
        if len(names) == daphnes:
            return names


class RealSite:
    """A site on one server: a Daphne, two workers, requests, and WebSockets that get broadcasts."""

    def __init__(self, load):
        self._load = load
        self._plain = Servers()
        self.servers = [self._plain.get("plain")]
        self.layer = self._plain.layer("plain")
        self._site = Site(
            Side(THIS, "site", "http"), self._plain, PREFIX, load.workers,
            DJANGO_SETTINGS_MODULE="room_settings", BENCHMARKS_PAGE_SIZE=str(load.message_size),
        )

    def start(self):
        load = self._load
        self._site.wait()
        self._browsers = Browsers(self._site.port, load.rate, load.broadcasts, load.sockets, load.message_size)

    def counts(self):
        counts = self._browsers.counts
        # Each frame has a head of four bytes.
        return {"requests": counts["replies"], "frames": counts["bytes"] / (self._load.message_size + 4)}

    def cpu(self):
        return {name: process.cpu() for name, process in self._site.processes.items()}

    def stop(self):
        if hasattr(self, "_browsers"):
            self._browsers.stop()
        self._site.stop()
        self._plain.__exit__()


class Simulated:
    """
    Processes that do to their layer what those of a site do.

    ``servers``: theirs. ``layer``: as of ``Servers.layer``. ``load``: a ``Load``; if its rate is 0, there are only
    workers.
    """

    def __init__(self, servers, layer, load, folder):
        self.servers, self.layer, self._load, self._folder = servers, layer, load, Path(folder)
        self._processes = {}

    def start(self):
        load, self._python = self._load, python("newest")
        common = {"server": self.layer, "prefix": PREFIX, "size": load.message_size}
        for number in range(load.workers):
            self._start(f"worker{number}", dict(common, role="worker"))
        names = names_of(load.daphnes, self.layer) if load.rate else []
        for name in names:
            self._start(name, dict(
                common, role="daphne", name=name, rate=load.rate / len(names),
                broadcasts=load.broadcasts / len(names), members=load.group_size // len(names),
            ))
        for process in self._processes.values():
            process.wait_for("ready")

    def _start(self, name, options):
        command = [self._python, str(MEASURED / "roles.py"), json.dumps(options)]
        log = self._folder / f"{name}-{len(self.servers)}.log"
        self._processes[name] = Process(f"The process {name}", command, variables(ROOT), log)

    def counts(self):
        total = {"requests": 0, "frames": 0}
        for process in self._processes.values():
            lines = [line for line in process.log().splitlines() if line[:1] + line[-1:] == "{}"]
            for kind, number in json.loads(lines[-1]).items() if lines else ():
                total[kind] += number
        return total

    def cpu(self):
        return {name: process.cpu() for name, process in self._processes.items()}

    def stop(self):
        for process in self._processes.values():
            process.stop()


# What is compared.


def as_counted(wanted, period):
    """Return the ``Load`` that there was: on a busy machine, requests may have been fewer than ``wanted``."""
    rate = period.counts["requests"] / period.seconds
    if not rate:
        raise CannotMeasure("No request was answered.")
    return wanted._replace(rate=rate, broadcasts=wanted.broadcasts * rate / wanted.rate)


def check_broadcasts(load, period):
    arrived, expected = period.counts["frames"] / period.seconds, load.broadcasts * load.group_size
    if abs(arrived - expected) > 0.2 * expected:
        raise CannotMeasure(f"{arrived:.0f} messages of broadcasts arrived a second, and not {expected:.0f}.")


def measured_site(setup, wanted, costs, seconds):
    """Run a set-up for ``seconds``, and return its figures."""
    setup.start()
    time.sleep(WARM)
    period = watch(setup, seconds)
    load, shards = as_counted(wanted, period), len(setup.servers)
    check_broadcasts(load, period)
    use = Plan(load, costs, shards=shards).use
    fill(setup.layer, load)
    memory = max(read(server).memory for server in setup.servers)
    network = max(period.rates("received") + period.rates("sent"))
    return [
        Figure("requests a second", load.rate),
        Figure("CPU of Redis, % of a processor", max(period.rates("cpu")) * 100, use.cpu * 100),
        Figure("connections", period.most("connections"), use.connections),
        Figure("network, kB/s", network / 1e3, use.network / 1e3),
        Figure("memory with full queues, kB", memory / 1e3, use.memory / 1e3),
    ]


def fill(server, load):
    """Fill as many queues as a plan counts, with messages that nothing reads."""
    layer = layer_of(server, prefix="full:", capacity=load.capacity, expiry=3600)
    for queue in ["normal1", "normal2", "normal3"] + names_of(load.daphnes, server):
        name = queue if queue.startswith("normal") else queue + "!full"
        for _ in range(load.capacity):
            layer.send(name, {"text": "x" * (load.message_size - 8)})


class Grid:
    """
    A cluster of many masters, of which a layer uses some or all, from ``__init__`` to ``stop``.

    ``folder``: where the logs of processes go.
    """

    def __init__(self, folder):
        self._folder = folder
        self._cluster = Cluster(MASTERS)
        period = watch(self, IDLE)
        #: The CPU time that a node needs for the others, in seconds a second.
        self.nothing = sum(period.rates("cpu")) / MASTERS

    @property
    def servers(self):
        return self._cluster.servers

    def counts(self):
        return {}

    cpu = counts

    def watch(self, shards, load, seconds):
        """Return the ``Period`` of processes on so many shards, and of the servers where these are."""
        server = self._cluster.layer(shards)
        layer = layer_of(server)
        ports = {layer.connection(shard).connection_pool.connection_kwargs["port"] for shard in range(shards)}
        setup = Simulated([each for each in self.servers if each.port in ports], server, load, self._folder)
        try:
            setup.start()
            time.sleep(WARM)
            return watch(setup, seconds)
        finally:
            setup.stop()
            for each in self.servers:
                ask(each.port, "FLUSHALL")

    def stop(self):
        self._cluster.stop()


def measured_cluster(grid, shards, costs, seconds):
    """Let workers and Daphnes use some shards of a cluster: return the figures."""
    wanted = CLUSTER_LOAD._replace(rate=CLUSTER_RATES[shards])
    waiting, busy = grid.watch(shards, CLUSTER_LOAD, IDLE), grid.watch(shards, wanted, seconds)
    load = as_counted(wanted, busy)
    plan = Plan(load, costs, shards=shards)
    used = sum(busy.rates("cpu")) - grid.nothing * shards
    predicted = plan.cpu_of(shards, 1.0 / shards) * shards
    # One node has more: all ask it which slots there are.
    connections = sorted(after.connections for before, after in busy.readings)[-2:][0]

    def processes(period, kind, each):
        times = [seconds for name, seconds in period.client.items() if name.startswith(kind)]
        return sum(times) / period.seconds / each * 1e6

    return [
        Figure("requests a second", load.rate),
        Figure("CPU of all servers, us a request", used / load.rate * 1e6, predicted / load.rate * 1e6),
        Figure("CPU of the workers, us a request", processes(busy, "worker", load.rate)),
        Figure("CPU of the Daphnes, us a request", processes(busy, "daphne", load.rate)),
        Figure("connections to a server", connections, plan.use.connections),
        Figure("idle worker: CPU of its own, us a second", processes(waiting, "worker", load.workers)),
        Figure("idle worker: commands a second on each server", sum(waiting.rates("commands")) / shards / load.workers),
    ]


# The command.


ROWS = ["site", "shards"] + [f"cluster-{shards}" for shards in CLUSTER_RATES]

TITLES = {
    "site": "a Daphne, 2 workers, 300 WebSockets, 1 Redis",
    "shards": "3 Daphnes, 4 workers, messages of 10 kB, 4 shards",
}


def title(row):
    shards = row.partition("-")[2]
    return TITLES.get(row) or f"Cluster of {MASTERS} masters, {shards} {'shard' if shards == '1' else 'shards'}"


def arguments(words=None):
    parser = commands.parser(
        COMMAND,
        "Compares what asgi-redis size predicts with what set-ups on this machine use, in eight minutes. The exit "
        f"status is 1 if a prediction is off by more than {TOLERANCE:.0%}, 2 if something to measure with is missing.",
    )
    commands.add_names(parser, "--rows", ROWS)
    parser.add_argument("--seconds", type=float, default=20, help="how long a set-up is measured (default 20)")
    return parser.parse_args(words)


def measure_site(costs, options, folder):
    setup = RealSite(SITE_LOAD)
    try:
        return measured_site(setup, SITE_LOAD, costs, options.seconds)
    finally:
        setup.stop()


def measure_shards(costs, options, folder):
    several = Several(SHARDS)
    try:
        setup = Simulated(several.servers, several.layer, SHARDS_LOAD, folder)
        try:
            return measured_site(setup, SHARDS_LOAD, costs, options.seconds)
        finally:
            setup.stop()
    finally:
        several.stop()


def measured_costs():
    """What calls cost now: other processes on the machine make them dearer, and come and go."""
    progress("What calls cost on this machine")
    return size_costs.measure()


def shown(figures):
    for figure in figures:
        progress(f"  {figure.name}: {report.figure(figure.measured)}, {figure.verdict}")
    return figures


def measured(options, folder):
    """Return the results, [{"row": name, "title": text, "figures": [Figure, ...]}, ...], and the costs of each kind."""
    costs, figures = {}, {}
    for row, measure in (("site", measure_site), ("shards", measure_shards)):
        if row in options.rows:
            costs[row] = measured_costs()
            progress(title(row))
            figures[row] = shown(measure(costs[row], options, folder))
    chosen = [shards for shards in CLUSTER_RATES if f"cluster-{shards}" in options.rows]
    if chosen:
        costs["cluster"] = measured_costs()
        grid = Grid(folder)
        try:
            for shards in chosen:
                progress(title(f"cluster-{shards}"))
                figures[f"cluster-{shards}"] = shown(
                    measured_cluster(grid, shards, costs["cluster"], options.seconds / 2)
                )
        finally:
            grid.stop()
    return [{"row": row, "title": title(row), "figures": found} for row, found in figures.items()], costs


def table(results):
    """The figures as a table in reStructuredText. ``results``: as of ``as_data``."""
    rows = []
    for result in results:
        for number, figure in enumerate(result["figures"]):
            predicted, ratio = ("-", "-") if figure["predicted"] is None else (
                report.figure(figure["predicted"]), f"{figure['ratio']:.2f}",
            )
            rows.append([
                "\\" if number else result["title"], figure["name"], predicted, report.figure(figure["measured"]),
                ratio, figure["verdict"],
            ])
    return report.grid(["set-up", "figure", "predicted", "measured", "ratio", "verdict"], rows)


def as_data(results):
    return [
        dict(result, figures=[
            dict(figure._asdict(), ratio=figure.ratio, verdict=figure.verdict) for figure in result["figures"]
        ]) for result in results
    ]


def run(options):
    """Return the results and costs of all chosen rows, and the versions of everything."""
    server_binary()
    stacks = (["site"] if "site" in options.rows else []) + (["newest"] if options.rows != ["site"] else [])
    versions = {stack: versions_of(Side(THIS, stack, "send")) for stack in stacks}
    with Servers() as servers:
        versions["server"] = servers.version()
    with tempfile.TemporaryDirectory(prefix="asgi_redis-benchmarks-") as folder:
        results, costs = measured(options, folder)
    return {"rows": as_data(results), "costs": {row: found._asdict() for row, found in costs.items()}}, versions


def main(words=None):
    found = commands.perform(COMMAND, arguments(words), run, lambda results: table(results["rows"]))
    return 1 if any(figure["verdict"] == "wrong" for result in found["rows"] for figure in result["figures"]) else 0


if __name__ == "__main__":
    sys.exit(main())
