"""What is compared: code on a stack, at a workload; and the processes that measure it."""
import json
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from .environments import PEERS, code_folder, python, variables
from .errors import CannotMeasure
from .servers import keep_on, processors

MEASURED = Path(__file__).resolve().parent / "measured"


class Side(NamedTuple):
    """
    One side of a comparison.

    ``code``: "1.4.3", "this", a revision, or another project's package. ``stack``: a key of ``environments.STACKS``.
    ``workload``: a key of ``WORKLOADS`` in ``measured``. ``options``: its arguments, a tuple of pairs. ``server``: a
    kind of ``Servers.layer``.
    """

    code: str
    stack: str
    workload: str
    options: tuple = ()
    server: str = "plain"


class MeasuredProcess:
    """A process of ``measured``: imports the package of ``code``, on ``stack``, and checks that it did."""

    def __init__(self, code, stack):
        self.name = f"{code} on the stack '{stack}'"
        interpreter, folder = python(stack), code_folder(code)
        self.process = subprocess.Popen(
            [interpreter, "-W", "ignore", str(MEASURED), code if code in PEERS else "asgi_redis"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=variables(folder), universal_newlines=True,
        )
        self.imported = self._read()
        self._check(folder or Path(interpreter).parents[1])

    def _check(self, folder):
        if not os.path.realpath(self.imported["file"]).startswith(os.path.realpath(str(folder)) + os.sep):
            raise CannotMeasure(f"{self.name}: imported {self.imported['file']}, not from {folder}.")
        if not self.imported["compiled"]:
            environment = Path(self.process.args[0]).parents[1]
            raise CannotMeasure(f"{self.name}: msgpack is not compiled. Install gcc, remove {environment}, try again.")

    def ask(self, **command):
        """The answer to one command."""
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return self._read()

    def _read(self):
        line = self.process.stdout.readline()
        if not line:
            raise CannotMeasure(f"{self.name}: the measured process ended, with status {self.process.wait()}.")
        answer = json.loads(line)
        if "raised" in answer:
            raise CannotMeasure(f"{self.name}:\n{answer['raised']}")
        return answer["answer"]

    def stop(self):
        self.process.kill()
        self.process.communicate()


def versions_of(side):
    """{package: version} of what ``side`` runs on; also checks that its code is what is imported there."""
    process = MeasuredProcess(side.code, side.stack)
    process.stop()
    return process.imported["versions"]


class LayerMeasurer:
    """
    Measures sides through one process for each code and stack, which lives as long as this object.

    All of them, and the servers, share one processor. Otherwise the scheduler has one side's client and server share
    one, and those of the other side on two, which wake each other: that alone makes a call up to 1.7 times as long.

    ``servers``: a ``Servers``. ``options``: those of the command line: ``rounds``, how often each side has its turn,
    and ``seconds``, how long that measures. ``spread``: use all processors instead.
    """

    def __init__(self, servers, options, spread=False):
        self._servers = servers
        self._seconds = options.seconds
        self._one = processors() if spread else set(sorted(processors())[-1:])
        self.rounds = options.rounds
        self._processes = {}

    def _process(self, code, stack):
        if (code, stack) not in self._processes:
            self._processes[code, stack] = MeasuredProcess(code, stack)
            keep_on(self._processes[code, stack].process, self._one)
        return self._processes[code, stack]

    def measure(self, side):
        """One turn: ``{"wall": us, "client": us, "server": us}`` a call."""
        process, server = self._process(side.code, side.stack), self._servers.layer(side.server)
        self._servers.keep_on(self._one)
        return process.ask(
            run=side.workload, options=dict(side.options), server=server, seconds=self._seconds,
        )

    def end_row(self):
        """Drop layers and data, so that a row does not feel those before it."""
        for process in self._processes.values():
            process.ask(forget=True)
        self._servers.empty()

    def versions(self):
        """``{(code, stack): {package: version}}`` of what was measured."""
        return {key: process.imported["versions"] for key, process in self._processes.items()}

    def stop(self):
        for process in self._processes.values():
            process.stop()
