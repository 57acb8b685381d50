"""The command line: ``python -m benchmarks --help``."""
import argparse
import contextlib
import itertools
import signal
import sys
import time
from pathlib import Path

from . import report, rows
from .environments import code_folder, progress, python
from .errors import CannotMeasure
from .http_rows import HttpMeasurer
from .load import load_tool
from .rounds import sides_of, take_turns
from .servers import Servers, server_binary
from .sides import LayerMeasurer

#: The rows of --quick are measured in several passes over all of them: another process that is busy for some seconds
#: then spoils one pass only.
PASSES = 3

#: How long, in seconds for each side, the rounds of a name may go on in a pass, with --quick and without.
QUICK, LONG = 0.6, 20


def arguments(words=None):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures this checkout against release 1.4.3 and redis-py. Makes the environments it needs below "
        ".tox. The exit status is 1 if a target is missed, 2 if something to measure with is missing.",
    )
    parser.add_argument("--quick", action="store_true", help="the layer's rows only, in a minute")
    parser.add_argument("--http", action="store_true", help="the HTTP rows only; with --quick, these too")
    parser.add_argument("--rows", metavar="NAME,NAME", help="these rows only; 'list' shows the names")
    parser.add_argument("--baseline", metavar="REV", help="compare with this commit of the project, too")
    parser.add_argument("--rounds", type=int, default=8, help="turns of each side in a pass (default 8)")
    parser.add_argument("--seconds", type=float, help="how long a turn measures (default 0.05, with --quick 0.02)")
    parser.add_argument("--connections", type=int, default=4, help="HTTP requests at a time (default 4)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the results here, for benchmarks.page")
    parser.add_argument("--no-fail", action="store_true", help="exit with 0 even if a target is missed")
    options = parser.parse_args(words)
    options.seconds = options.seconds or (0.02 if options.quick else 0.05)
    return options


def all_rows(options):
    """All rows, with those against the baseline."""
    quick = rows.quick_rows()
    if options.baseline:
        quick += rows.baseline_rows(quick, options.baseline)
    return quick + rows.topology_rows() + rows.growth_rows() + rows.http_rows(options.baseline)


def chosen_rows(options):
    """The rows that ``options`` ask for."""
    known = all_rows(options)
    names = list(dict.fromkeys(row.name for row in known))
    wanted = names
    if options.rows:
        wanted = options.rows.split(",")
    elif options.quick or options.http:
        quick = [row.name for row in rows.quick_rows()]
        wanted = (quick if options.quick else []) + (["http"] if options.http else [])
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise CannotMeasure(f"There is no row {', '.join(unknown)}. The rows are: {', '.join(names)}.")
    return [row for row in known if row.name in wanted]


def by_name(chosen):
    """The rows of each name, together, in the order in which the names first come."""
    order = list(dict.fromkeys(row.name for row in chosen))
    ordered = sorted(chosen, key=lambda row: order.index(row.name))
    return [(name, list(group)) for name, group in itertools.groupby(ordered, key=lambda row: row.name)]


class Measurers:
    """A measurer of each kind, made when it is first needed; all stop at the end of a ``with`` block."""

    def __init__(self, options):
        self._stack = contextlib.ExitStack()
        self.servers = self._stack.enter_context(Servers())
        self._options = options
        self._made = {}

    def get(self, name):
        """The measurer for the rows of ``name``."""
        kind = HttpMeasurer if name == "http" else LayerMeasurer
        if kind not in self._made:
            self._made[kind] = kind(self.servers, self._options)
            self._stack.callback(self._made[kind].stop)
        return self._made[kind]

    def versions(self):
        """What was measured with: {"server": text, "code, stack": text}."""
        described = {"server": self.servers.version()}
        for measurer in self._made.values():
            for (code, stack), packages in measurer.versions().items():
                text = ", ".join(f"{name} {version}" for name, version in sorted(packages.items()))
                described[f"{code}, stack {stack}"] = text
        return described

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._stack.close()


def prepare(chosen):
    """Make what ``chosen`` need, or raise CannotMeasure, before anything is measured."""
    server_binary()
    for side in sides_of(chosen):
        python(side.stack)
        code_folder(side.code)
    if any(row.name == "http" for row in chosen):
        load_tool()


def measure(chosen, options):
    """Measure all rows: a list of results, and the versions of everything."""
    prepare(chosen)
    groups, figures = by_name(chosen), {}
    repeated = [group for group in groups if group[0] in {row.name for row in rows.quick_rows()}]
    with Measurers(options) as measurers:
        for number in range(1, (PASSES if repeated else 1) + 1):
            progress(f"Pass {number}")
            for name, group in groups if number == 1 else repeated:
                begun = time.monotonic()
                measure_group(measurers.get(name), group, options, figures.setdefault(name, {}))
                progress(f"  {name}: {time.monotonic() - begun:.1f} s")
        versions = measurers.versions()
    results = [
        report.Result(row, figures[name][row.reference], figures[name][row.measured])
        for name, group in groups for row in group
    ]
    return results, versions


def measure_group(measurer, group, options, best):
    """One pass over the rows of one name; ``best``: as of ``take_turns``."""
    sides = sides_of(group)
    limit = (QUICK if options.quick else LONG) * len(sides)
    take_turns(sides, measurer.measure, measurer.rounds, limit, best)
    measurer.end_row()


def show(results, command, versions, options):
    """Print the table, and write the file that was asked for."""
    print(report.text(results))
    if options.json:
        report.save(options.json, command, versions, report.text(results), rows=report.rows_as_data(results))
    print("", *(report.missed(results) or ["All targets are reached."]), sep="\n")


def main(words=None):
    options = arguments(words)
    signal.signal(signal.SIGTERM, lambda *received: sys.exit("Terminated."))  # so that servers are stopped
    try:
        if options.rows == "list":
            print(*dict.fromkeys(row.name for row in all_rows(options)), sep="\n")
            return 0
        results, versions = measure(chosen_rows(options), options)
    except CannotMeasure as error:
        print(error, file=sys.stderr)
        return 2
    command = " ".join(["python -m benchmarks"] + (sys.argv[1:] if words is None else words))
    show(results, command, versions, options)
    return 1 if report.missed(results) and not options.no_fail else 0


if __name__ == "__main__":
    sys.exit(main())
