"""
Makes docs/benchmarks.rst, and its charts in docs/pictures, from the results of runs: ``python -m benchmarks.page``.

Results are in benchmarks/results: ``compare.json``, as ``--json`` of ``python -m benchmarks`` writes it, and
``growth.json``, ``rivals.json``, ``endtoend.json`` and ``saturation.json``, of ``benchmarks.growth`` and so on.
"""
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({
    "svg.hashsalt": "asgi_redis", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10,
    "axes.spines.top": False, "axes.spines.right": False,
})

from matplotlib import pyplot  # noqa: E402

RESULTS = Path(__file__).resolve().parent / "results"
DOCS = Path(__file__).resolve().parents[1] / "docs"

#: Colours that people who see colours differently can tell apart (Okabe and Ito).
THIS, OTHER, THIRD = "#0072b2", "#999999", "#e69f00"

#: Rivals in the chart, and their colours: the newest stack of each.
SHOWN = {"1.4.3, old stack": OTHER, "channels_redis core": THIRD, "this": THIS}


def save(figure, name):
    figure.savefig(DOCS / "pictures" / name, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)


def draw_speed(data):
    """How many times faster than release 1.4.3: a bar a row."""
    rows = [row for row in data["rows"] if row["against"] == "1.4.3" and row["measure"] == "wall"]
    figure, axes = pyplot.subplots(figsize=(8, 0.32 * len(rows) + 0.8))
    titles = [row["title"].replace(", old stack", "") for row in rows]
    ratios = [row["ratio"] for row in rows]
    axes.bar_label(axes.barh(titles, ratios, color=THIS), [f"{ratio:,.3g}" for ratio in ratios], padding=4)
    axes.set_xscale("log")
    axes.set_xlim(left=min(1, *ratios))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("times faster than release 1.4.3")
    axes.invert_yaxis()
    save(figure, "speed.svg")


def draw_growth(data):
    """The cost of a call by size: a line a curve, both axes logarithmic."""
    figure, axes = pyplot.subplots(figsize=(8, 5))
    for curve in data["curves"]:
        sizes, costs = zip(*curve["points"])
        axes.plot(sizes, costs, marker="o", markersize=3, label=f"{curve['title']}, by {curve['size']}")
    axes.set(xscale="log", yscale="log", xlabel="size", ylabel="microseconds a call")
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    save(figure, "growth.svg")


def draw_rivals(data):
    """Some rows of the comparison with other layers, as bars."""
    names = ["send", "receive-blocking", "100", "1k", "encrypted", "woken"]
    rows = [row for row in data["rows"] if row["name"] in names]
    figure, axes = pyplot.subplots(figsize=(8, 4))
    width = 0.8 / len(SHOWN)
    for place, (title, colour) in enumerate(SHOWN.items()):
        costs = [next(iter(row["figures"].get(title, {"none": 0}).values())) for row in rows]
        axes.barh([number + place * width for number in range(len(rows))], costs, width, label=title, color=colour)
    axes.set_yticks([number + width for number in range(len(rows))], [row["title"].split(", us")[0] for row in rows])
    axes.set_xlabel("microseconds: less is better")
    axes.invert_yaxis()
    axes.legend()
    save(figure, "rivals.svg")


def draw_endtoend(data):
    """The times of pages, by rate: two lines a side, both axes logarithmic."""
    figure, axes = pyplot.subplots(figsize=(8, 4))
    for side, colour in (("1.4.3", OTHER), ("1.4.3-txredisapi", THIRD), ("this", THIS)):
        rows = [row for row in data["http"] if row["side"] == side]
        for name, style in (("p50", "-"), ("p99", "--")):
            times = [row[name] for row in rows]
            axes.plot([row["rate"] for row in rows], times, style, marker="o", color=colour, label=f"{side}, {name}")
    axes.set(xscale="log", yscale="log", xlabel="requests a second", ylabel="milliseconds")
    rates = sorted({row["rate"] for row in data["http"]})
    axes.set_xticks(rates, [str(rate) for rate in rates], minor=False)
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend()
    save(figure, "endtoend.svg")


def draw_saturation(data):
    """How long messages wait in overload, by the time at which they were sent."""
    found = data["overload"]
    figure, axes = pyplot.subplots(figsize=(8, 4))
    loaded = [step["begin"] for step in found["steps"]]
    axes.axvspan(loaded[1], loaded[3], color=THIRD, alpha=0.15, label="overload")
    axes.axhline(found["bound"], color=OTHER, linestyle=":", label="time to read a full channel")
    for name, style in (("p50", "-"), ("p99", "--")):
        times = [half[name] for half in found["halves"]]
        axes.plot([half["begin"] for half in found["halves"]], times, style, color=THIS, label=name)
    axes.set(xlabel="seconds", ylabel="milliseconds from send to receive", ylim=(0, None))
    axes.legend()
    save(figure, "saturation.svg")


SECTIONS = [
    ("compare", "Compared with release 1.4.3 and redis-py", draw_speed, "speed.svg", (
        "How many times faster a call is than in release 1.4.3, on the stack that its sites have."
    )),
    ("growth", "How costs grow", draw_growth, "growth.svg", (
        "The exponent is that of the best fit over the upper half of the sizes: 0 is no growth, 1 is in proportion."
    )),
    ("rivals", "Compared with other layers", draw_rivals, "rivals.svg", (
        "Microseconds per call, or what the row says. A dash means that a layer does not have this.\n\n"
        "channels_redis is for asyncio and Channels 4; its figures are those of coroutines in one event loop. With "
        "several readers its core layer delivers some messages twice: more than 100 % arrive. The receives of its "
        "pub/sub layer have no cost of their own, because the messages have already arrived.\n\n"
        "asgi_ipc is for processes of one machine, and asks no server: it takes less time than this project for small "
        "messages, one at a time, and more for large ones, for groups, and for many messages at once."
    )),
    ("endtoend", "A site, as its clients see it", draw_endtoend, "endtoend.svg", (
        "How long a page takes: the median as a solid line, the 99th percentile as a dashed one."
    )),
    ("saturation", "A site with all the load it can take", draw_saturation, "saturation.svg", (
        "How long messages wait before, during and after an overload, by the time at which they were sent."
    )),
]


def section(name, title, draw, picture, about):
    """The part of the page for one run; empty if there are no results of it."""
    path = RESULTS / (name + ".json")
    if not path.exists():
        return ""
    data = json.loads(path.read_text())
    draw(data)
    versions = "\n".join(f"* {key}: {described(value)}" for key, value in data["about"]["versions"].items())
    return f"""
{title}
{"-" * len(title)}

Generated by ``{data["about"]["command"]}``, from commit {data["about"]["revision"]}.

.. image:: pictures/{picture}
   :alt: {title}

{about}

{data["text"]}

The machine: {data["about"]["machine"]}. Versions:

{versions}
"""


def described(versions):
    if isinstance(versions, str):
        return versions
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))


def main():
    parts = [section(*each) for each in SECTIONS]
    if not any(parts):
        print(f"There are no results in {RESULTS}: see python -m benchmarks --help.", file=sys.stderr)
        return 2
    (DOCS / "benchmarks.rst").write_text("Benchmarks\n==========\n" + "\n".join(part for part in parts if part))
    return 0


if __name__ == "__main__":
    sys.exit(main())
