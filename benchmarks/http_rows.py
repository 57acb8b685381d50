"""Requests through a real Daphne and one worker."""
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from .environments import code_folder, python, variables
from .errors import CannotMeasure
from .servers import PATIENCE, ask, free_port, processors
from .sides import MeasuredProcess

SITE = Path(__file__).resolve().parent / "site"

#: How long, in seconds, a turn lasts; CPU time of processes comes in steps of 10 ms.
TURN = 2

#: Load tools, the best first: their command line, where the result has its counts, and what it says of failures.
TOOLS = {
    "wrk": (
        "-t1 -c{connections} -d{seconds}s {url}",
        r"(?P<count>\d+) requests in (?P<seconds>[\d.]+)s",
        r"Non-2xx|Socket errors",
    ),
    "ab": (
        "-q -c {connections} -t {seconds} -n 10000000 {url}",
        r"tests: +(?P<seconds>[\d.]+) seconds\s+Complete requests: +(?P<count>\d+)",
        r"Non-2xx|Failed requests: +[1-9]",
    ),
}


def load_tool():
    """The first of ``TOOLS`` that is installed."""
    for name in TOOLS:
        if shutil.which(name):
            return name
    raise CannotMeasure("The HTTP rows need a load tool: 'apt-get install wrk' (or apache2-utils, which has ab).")


def load(url, seconds, connections):
    """
    Send requests for ``seconds``, a whole number: how many were answered, and in how many seconds.

    ``connections``: how many requests wait for their reply at a time.
    """
    tool = load_tool()
    options, counts, failures = TOOLS[tool]
    command = [tool] + options.format(url=url, seconds=seconds, connections=connections).split()
    output = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True).stdout
    found = re.search(counts, output)
    if not found or not int(found["count"]) or re.search(failures, output):
        raise CannotMeasure(f"'{' '.join(command)}' did not get its pages:\n{output}")
    return int(found["count"]), float(found["seconds"])


class Process:
    """A process of the site, from ``__init__`` to ``stop``. ``name``: for errors. ``log``: the path of its log."""

    def __init__(self, name, command, environment, log):
        self.name, self._log = name, Path(log)
        with open(log, "wb") as output:
            self._process = subprocess.Popen(command, cwd=str(SITE), env=environment, stdout=output, stderr=output)

    def wait(self, is_ready):
        """Return once ``is_ready()``."""
        deadline = time.monotonic() + PATIENCE
        while not is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise CannotMeasure(f"{self.name} does not start:\n{self.log()}")
            time.sleep(0.05)

    def log(self):
        return self._log.read_text(errors="replace")

    def cpu(self):
        """The seconds of CPU time that it has used, all threads together."""
        # The name, in brackets, may have spaces in it; utime and stime are the fields 14 and 15.
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self._process.kill()
        self._process.wait()


class Site:
    """
    A Daphne and a worker, from ``__init__`` to ``stop``.

    ``side``: whose code they run, on which stack. ``servers``: a ``Servers``. ``prefix``: that of the keys.
    ``folder``: where the logs go.
    """

    def __init__(self, side, servers, prefix, folder):
        interpreter, self.redis_port = python(side.stack), servers.get("plain").port
        server = servers.layer("plain")
        config = dict(server["arguments"], prefix=prefix, stats_prefix="stats-" + prefix)
        layer = {"BACKEND": server["backend"], "CONFIG": config}
        environment = dict(
            variables(code_folder(side.code)), BENCHMARKS_CHANNEL_LAYER=json.dumps(layer),
            DJANGO_SETTINGS_MODULE="settings", PYTHONUNBUFFERED="1", PYTHONWARNINGS="ignore",
        )
        self.port, self.processes = free_port(), {}
        daphne = [str(Path(interpreter).with_name("daphne")), "-b", "127.0.0.1", "-p", str(self.port), "-v", "0"]
        commands = {
            "worker": [interpreter, "-m", "django", "runworker"],
            "daphne": daphne + ["asgi:channel_layer"],
        }
        for name, command in commands.items():
            log = os.path.join(folder, f"{prefix}{name}.log")
            self.processes[name] = Process(f"The {name} of {side.code}", command, environment, log)

    def wait(self):
        """Return once both processes work."""
        self.processes["worker"].wait(lambda: "Listening on channels" in self.processes["worker"].log())
        self.processes["daphne"].wait(self._is_listening)
        self.measure(1, 1)

    def _is_listening(self):
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except OSError:
            return False
        return True

    def _cpu(self):
        times = {name: process.cpu() for name, process in self.processes.items()}
        return dict(times, client=sum(times.values()), server=server_cpu(self.redis_port))

    def measure(self, seconds, connections):
        """One turn, in us a request: wall, CPU of Daphne, worker, both (client) and Redis (server)."""
        before = self._cpu()
        count, wall = load(f"http://127.0.0.1:{self.port}/", seconds, connections)
        used = {name: value - before[name] for name, value in self._cpu().items()}
        return {name: value / count * 1e6 for name, value in dict(used, wall=wall).items()}

    def stop(self):
        for process in self.processes.values():
            process.stop()


def server_cpu(port):
    """The seconds of CPU time that a Redis server has used."""
    info = dict(line.split(":", 1) for line in ask(port, "INFO", "cpu").split() if ":" in line)
    return float(info["used_cpu_sys"]) + float(info["used_cpu_user"])


class HttpMeasurer:
    """
    Measures sites, each of which lives as long as the row.

    ``servers``: a ``Servers``. ``options``: those of the command line: ``rounds``, how often each side has its turn;
    ``connections``, requests at a time.

    Without txredisapi, the fewer at a time, the more release 1.4.3 is held up: its Daphne looks for replies, and pauses
    for 50 ms if it finds none.
    """

    def __init__(self, servers, options):
        self._servers = servers
        self.rounds, self._connections = options.rounds, options.connections
        self._folder = tempfile.mkdtemp(prefix="asgi_redis-benchmarks-")
        self._sites, self._versions = {}, {}

    def measure(self, side):
        """One turn of one side: {name: us a request}."""
        if side not in self._sites:
            checked = MeasuredProcess(side.code, side.stack)
            checked.stop()
            self._versions[side.code, side.stack] = checked.imported["versions"]
            self._sites[side] = Site(side, self._servers, f"site-{len(self._sites)}:", self._folder)
            self._sites[side].wait()
        self._servers.keep_on(processors())
        return self._sites[side].measure(TURN, self._connections)

    def end_row(self):
        """End the sites."""
        for site in self._sites.values():
            site.stop()
        self._sites.clear()
        self._servers.empty()

    def versions(self):
        """As of LayerMeasurer."""
        return self._versions

    def stop(self):
        self.end_row()
        shutil.rmtree(self._folder, ignore_errors=True)
