"""The command line: ``python -m benchmarks --help``."""
import argparse
import contextlib
import itertools
import json
import sys
import time
from pathlib import Path

from . import report, rows
from .environments import progress, revision
from .errors import CannotMeasure
from .http_rows import HttpMeasurer
from .rounds import best_of, sides_of
from .servers import Servers
from .sides import LayerMeasurer


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
    parser.add_argument("--rounds", type=int, default=10, help="how often each side has its turn (default 10)")
    parser.add_argument("--seconds", type=float, help="how long a turn measures (default 0.1, with --quick 0.03)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the results here, for programs")
    parser.add_argument("--rst", metavar="FILE", type=Path, help="write the page docs/benchmarks.rst here")
    parser.add_argument("--no-fail", action="store_true", help="exit with 0 even if a target is missed")
    options = parser.parse_args(words)
    options.seconds = options.seconds or (0.03 if options.quick else 0.1)
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
            self._made[kind] = kind(self.servers, self._options.seconds)
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


def measure(chosen, options):
    """Measure all rows: a list of results, and the versions of everything."""
    results = []
    groups = by_name(chosen)
    with Measurers(options) as measurers:
        for number, (name, group) in enumerate(groups, 1):
            measurer, begun = measurers.get(name), time.monotonic()
            figures = best_of(sides_of(group), measurer.measure, options.rounds)
            measurer.end_row()
            progress(f"[{number}/{len(groups)}] {name}: {time.monotonic() - begun:.1f} s")
            results += [report.Result(row, figures[row.reference], figures[row.measured]) for row in group]
        return results, measurers.versions()


def show(results, about, options):
    """Print the table, and write the files that were asked for."""
    print(report.table(results), report.LEGEND, sep="\n\n")
    if options.json:
        options.json.write_text(json.dumps(report.as_data(results, about), indent=1) + "\n")
    if options.rst:
        options.rst.write_text(report.as_rst(results, about))
    print("", *(report.missed(results) or ["All targets are reached."]), sep="\n")


def main(words=None):
    options = arguments(words)
    try:
        if options.rows == "list":
            print(*dict.fromkeys(row.name for row in all_rows(options)), sep="\n")
            return 0
        results, versions = measure(chosen_rows(options), options)
    except CannotMeasure as error:
        print(error, file=sys.stderr)
        return 2
    command = " ".join(["python -m benchmarks"] + (sys.argv[1:] if words is None else words))
    about = {"command": command, "revision": revision(), "machine": report.machine(), "versions": versions}
    show(results, about, options)
    return 1 if report.missed(results) and not options.no_fail else 0


if __name__ == "__main__":
    sys.exit(main())
