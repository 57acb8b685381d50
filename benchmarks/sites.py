"""A Channels site: a Daphne and workers."""
import itertools
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from .environments import code_folder, python, variables
from .errors import CannotMeasure
from .servers import ask, free_port

SITE = Path(__file__).resolve().parent / "site"

#: How long, in seconds, a process may take to start, and a page to come, on a busy machine.
PATIENCE = 60


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

    def wait_for(self, text):
        """Return once ``text`` is in the log."""
        self.wait(lambda: text in self.log())

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
    A Daphne and workers, from ``__init__`` to ``stop``.

    ``side``: whose code they run, on which stack. ``servers``: a ``Servers``. ``prefix``: that of the keys.
    ``workers``: how many processes; ``threads``: how many in each of them. ``environ``: more environment variables.
    """

    #: How many pages are fetched before anything is measured.
    WARMING = 50

    def __init__(self, side, servers, prefix, workers=1, threads=1, **environ):
        interpreter, self._redis_port = python(side.stack), servers.get("plain").port
        environment = dict(self._variables(side, servers.layer("plain"), prefix), **environ)
        self._folder = tempfile.mkdtemp(prefix="asgi_redis-benchmarks-")
        self.port, self.processes = free_port(), {}
        self.url = f"http://127.0.0.1:{self.port}/"
        daphne = [str(Path(interpreter).with_name("daphne")), "-b", "127.0.0.1", "-p", str(self.port), "-v", "0"]
        commands = {"daphne": daphne + ["asgi:channel_layer"]}
        for number in range(1, workers + 1):
            name = f"worker {number}" if workers > 1 else "worker"
            commands[name] = [interpreter, "-m", "django", "runworker", "--threads", str(threads)]
        for name, command in commands.items():
            log = os.path.join(self._folder, name + ".log")
            self.processes[name] = Process(f"The {name} of {side.code}", command, environment, log)

    def _variables(self, side, server, prefix):
        config = dict(server["arguments"], prefix=prefix, stats_prefix="stats-" + prefix)
        layer = {"BACKEND": server["backend"], "CONFIG": config}
        return dict(
            variables(code_folder(side.code)), BENCHMARKS_CHANNEL_LAYER=json.dumps(layer),
            DJANGO_SETTINGS_MODULE="settings", PYTHONUNBUFFERED="1", PYTHONWARNINGS="ignore",
        )

    def wait(self):
        """Return once all processes work."""
        for name, process in self.processes.items():
            if name != "daphne":
                process.wait_for("Listening on channels")
        self.processes["daphne"].wait(self._is_listening)
        for _ in range(self.WARMING):
            with urllib.request.urlopen(self.url, timeout=PATIENCE) as page:
                page.read()

    def _is_listening(self):
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except OSError:
            return False
        return True

    def cpu(self):
        """The seconds of CPU time that each process, and the Redis server, has used: {name: seconds}."""
        times = {name: process.cpu() for name, process in self.processes.items()}
        return dict(times, server=server_cpu(self._redis_port))

    def stop(self):
        for process in self.processes.values():
            process.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


class Sites:
    """Starts sites, on ``servers``, a ``Servers``; all stop at the end of a ``with`` block."""

    def __init__(self, servers):
        self._servers = servers
        self._running, self._prefixes = [], (f"site-{number}:" for number in itertools.count())

    def start(self, side, **options):
        """Return a ``Site`` that works. ``options``: its ``workers`` and ``threads``."""
        site = Site(side, self._servers, next(self._prefixes), **options)
        self._running.append(site)
        site.wait()
        return site

    def stop(self):
        """End the sites, and delete the data."""
        while self._running:
            self._running.pop().stop()
        self._servers.empty()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()


def server_cpu(port):
    """The seconds of CPU time that a Redis server has used."""
    info = dict(line.split(":", 1) for line in ask(port, "INFO", "cpu").split() if ":" in line)
    return float(info["used_cpu_sys"]) + float(info["used_cpu_user"])
