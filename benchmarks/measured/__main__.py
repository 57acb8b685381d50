"""
The measured process: one code on one stack, with its imports and connections warm. Runs on Python 3.6 and newer.

Its argument is the package that is measured: asgi_redis, or that of another project.

A line of JSON in: ``{"run": workload, "options": dict, "server": dict, "seconds": float}`` measures one round;
``{"forget": true}`` drops all workloads. A line out: ``{"answer": ...}`` or ``{"raised": text}``; for a round, the
answer is ``{"wall": us, "client": us, "server": us}`` a call. The first line out has the versions of everything.
"""
import importlib
import json
import platform
import signal
import sys
import time
import traceback

from clocks import Stopwatch

#: What a run is described by, beside Python and msgpack.
PACKAGES = [
    "asgi_redis", "asgi_ipc", "asgiref", "channels", "channels_redis", "cryptography", "daphne", "django", "hiredis",
    "redis", "twisted",
]

#: How long, in seconds, one command may take; then the process ends, and its caller sees that.
PATIENCE = 120

#: A round ends after this many times its seconds, even if most of them went into preparation.
PREPARATION = 6


def is_compiled():
    """Return True if msgpack's C extension is in use."""
    for name in ("msgpack._cmsgpack", "msgpack._packer"):
        try:
            __import__(name)
            return True
        except ImportError:
            continue
    return False


def version_of(name):
    """The version of a package; None if it is not there."""
    try:
        module = __import__(name)
    except ImportError:
        return None
    return getattr(module, "__version__", None)


def imported(package):
    import msgpack

    found = [(name, version_of(name)) for name in PACKAGES]
    return {
        "file": importlib.import_module(package).__file__,
        "compiled": is_compiled(),
        "versions": dict(
            [("Python", platform.python_version()), ("msgpack", ".".join(map(str, msgpack.version)))]
            + [(name, version) for name, version in found if version]
        ),
    }


class Measurer(object):
    """Keeps a workload and its layer from round to round. ``kinds``: {name: class}."""

    def __init__(self, kinds):
        self.kinds = kinds
        self.workloads = {}

    def run(self, command):
        key = json.dumps([command["run"], command["options"], command["server"]], sort_keys=True)
        if key not in self.workloads:
            workload = self.kinds[command["run"]](command["server"], **command["options"])
            self.workloads[key] = workload, Stopwatch(command["server"]["port"])
            if not hasattr(workload, "measure"):
                self._round(workload, self.workloads[key][1], 0.01)  # warm
        workload = self.workloads[key][0]
        if hasattr(workload, "measure"):
            return workload.measure(command["seconds"])
        return self._round(*self.workloads[key], seconds=command["seconds"])

    def _round(self, workload, stopwatch, seconds):
        workload.begin()
        stopwatch.reset()
        calls, deadline = 0, time.perf_counter() + PREPARATION * seconds
        while not calls or stopwatch.wall < seconds and time.perf_counter() < deadline:
            workload.prepare(workload.chunk)
            with stopwatch:
                workload.work(workload.chunk)
            calls += workload.chunk
        return {name: getattr(stopwatch, name) / calls * 1e6 for name in ("wall", "client", "server")}


def main():
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    package = sys.argv[1]
    answer = {"answer": imported(package)}
    kinds = importlib.import_module("async_workloads" if package == "channels_redis" else "workloads").WORKLOADS
    measurer = Measurer(kinds)
    while True:
        print(json.dumps(answer), file=answers, flush=True)
        signal.alarm(0)
        line = sys.stdin.readline()
        if not line:
            return
        signal.alarm(PATIENCE)
        command = json.loads(line)
        try:
            if "forget" in command:
                measurer = Measurer(kinds)
                answer = {"answer": None}
            else:
                answer = {"answer": measurer.run(command)}
        except Exception:
            answer = {"raised": traceback.format_exc()}


if __name__ == "__main__":
    main()
