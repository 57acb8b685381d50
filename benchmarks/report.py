"""The result of a run: as a table, as JSON, as docs/benchmarks.rst."""
import os
import platform
from typing import NamedTuple

from .rows import Row

HEAD = ["row", "against", "wall", "client CPU", "server CPU", "ratio of", "ratio", "wanted", ""]


class Result(NamedTuple):
    """A row with its figures, {"wall": us, "client": us, "server": us} a call for each side."""

    row: Row
    reference: dict
    measured: dict

    @property
    def ratio(self):
        return self.row.ratio(self.reference[self.row.measure], self.measured[self.row.measure])

    @property
    def verdict(self):
        """ "reached", "missed", or "" if nothing is wanted."""
        if self.row.target is None:
            return ""
        return "reached" if self.row.target.is_reached(self.ratio) else "missed"


def figure(value):
    """Microseconds to three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _cells(result):
    row = result.row
    pairs = [f"{figure(result.reference[name])} / {figure(result.measured[name])}" for name in ("wall", "client", "server")]
    wanted = str(row.target) if row.target else "-"
    return [row.title, row.against] + pairs + [row.measure, f"{result.ratio:.2f}", wanted, result.verdict or "-"]


def table(results):
    """A table as text; it is reStructuredText, too."""
    lines = [HEAD[:-1] + ["verdict"]] + [_cells(result) for result in results]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    rule = "  ".join("=" * width for width in widths)
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
    return "\n".join([rule, texts[0], rule] + texts[1:] + [rule])


LEGEND = (
    "Microseconds a call: of what the row is compared with / of this project. Sides take turns; each figure is the\n"
    "best of all rounds. A ratio with >= says how many times faster this project is, one with <= how many times as\n"
    "much it uses."
)


def missed(results):
    """A line for each target that was missed."""
    return [
        f"Missed: {result.row.title}, against {result.row.against}: {result.ratio:.2f}, wanted {result.row.target}."
        for result in results if result.verdict == "missed"
    ]


def machine():
    """The machine, in a few words."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def as_data(results, about):
    """What ``--json`` writes. ``about``: a dict of what the run was made with."""
    return {
        "about": about,
        "rows": [
            dict(
                name=result.row.name, title=result.row.title, against=result.row.against, measure=result.row.measure,
                reference=dict(result.row.reference._asdict(), us=result.reference),
                measured=dict(result.row.measured._asdict(), us=result.measured),
                ratio=result.ratio, wanted=str(result.row.target or ""), verdict=result.verdict,
            )
            for result in results
        ],
    }


def as_rst(results, about):
    """The page docs/benchmarks.rst."""
    versions = "\n".join(f"* {name}: {text}" for name, text in about["versions"].items())
    return f"""\
Benchmarks
==========

Made by ``{about["command"]}``, of commit {about["revision"]}.

{table(results)}

{LEGEND}

The machine: {about["machine"]}. Versions:

{versions}
"""
