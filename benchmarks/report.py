"""The result of a run: as a table, as JSON. ``page`` makes docs/benchmarks.rst of it."""
import json
import math
import os
import platform
from typing import NamedTuple

from .environments import revision
from .rows import Row

HEAD = ["row", "against", "wall", "client CPU", "server CPU", "ratio of", "ratio", "wanted", "verdict"]


class Result(NamedTuple):
    """A row with its figures, {"wall": us, "client": us, "server": us} a call for each side."""

    row: Row
    reference: dict
    measured: dict

    @property
    def ratio(self):
        return self.row.target.ratio(self.reference[self.row.measure], self.measured[self.row.measure])

    @property
    def verdict(self):
        return self.row.target.verdict(self.ratio)


def figure(value):
    """A number to three digits; a dash for NaN."""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def percentile(values, percent):
    """The value that ``percent`` of ``values`` do not exceed; NaN of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else math.nan


def _cells(result):
    row = result.row
    client = "client" if row.measure in ("wall", "server") else row.measure  # Daphne's or the worker's part of it
    names = ("wall", client, "server")
    pairs = [f"{figure(result.reference[name])} / {figure(result.measured[name])}" for name in names]
    return [row.title, row.against] + pairs + [row.measure, f"{result.ratio:.2f}", str(row.target), result.verdict]


def table(results):
    return grid(HEAD, [_cells(result) for result in results])


def grid(head, rows):
    """A table as text; it is reStructuredText, too."""
    lines = [head] + rows
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    rule = "  ".join("=" * width for width in widths)
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
    return "\n".join([rule, texts[0], rule] + texts[1:] + [rule])


LEGEND = """\
Microseconds per call: the side it is compared with / this project. Sides take turns; each figure is the best of all
rounds. Except for HTTP, client and server share one processor. "wanted": >= 2 means at least twice as fast, <= 2 at
most twice the cost. For HTTP, client CPU is that of Daphne and the worker together, or of one of them, and the 1.4.3
site has txredisapi; without it, its Daphne polls. ad3bcca is an earlier commit of this project."""


def requests_a_second(results):
    """A line with the speed of each side of the HTTP rows; empty if there are none."""
    sides = {}
    for result in results:
        if result.row.name == "http":
            sides.update({result.row.reference: result.reference, result.row.measured: result.measured})
    texts = [f"{side.code} ({side.stack}) {1e6 / figures['wall']:,.0f}" for side, figures in sides.items()]
    return "HTTP requests a second: " + ", ".join(texts) + "." if texts else ""


def text(results):
    """The table, and what must be said about it."""
    return "\n\n".join(part for part in (table(results), requests_a_second(results), LEGEND) if part)


def missed(results):
    """A line for each target that was missed."""
    return [
        f"Missed: {result.row.title}, against {result.row.against}: {result.ratio:.2f}, wanted {result.row.target}."
        for result in results if result.verdict == "missed"
    ]


def machine():
    """The machine, in a few words."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def save(path, command, versions, shown, **figures):
    """Write the results of a run for ``page``. ``shown``: the table as text; ``figures``: for the chart."""
    about = {"command": command, "revision": revision(), "machine": machine(), "versions": versions}
    path.write_text(json.dumps(dict(figures, about=about, text=shown), indent=1) + "\n")


def rows_as_data(results):
    """The rows for ``save``."""
    return [
        dict(
            name=result.row.name, title=result.row.title, against=result.row.against, measure=result.row.measure,
            reference=dict(result.row.reference._asdict(), us=result.reference),
            measured=dict(result.row.measured._asdict(), us=result.measured),
            ratio=result.ratio, wanted=str(result.row.target), verdict=result.verdict,
        )
        for result in results
    ]
