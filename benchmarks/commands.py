"""What the commands have in common: lists in their arguments, and how a run ends."""
import argparse
import signal
import sys
from pathlib import Path

from . import report
from .errors import CannotMeasure


def parser(command, description):
    """An argument parser for ``command`` with what each of them has."""
    made = argparse.ArgumentParser(prog=command, description=description)
    made.add_argument("--json", metavar="FILE", type=Path, help="write the results here, for benchmarks.page")
    return made


def add_names(parser, option, known):
    """Let ``option`` choose from ``known``, a list of names; the default is all of them."""
    def chosen(text):
        unknown = [name for name in text.split(",") if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)} among: {', '.join(known)}")
        return [name for name in known if name in text.split(",")]

    shown = ", ".join(known)
    parser.add_argument(option, metavar="NAME,NAME", type=chosen, default=list(known), help=f"these only: {shown}")


def numbers(text):
    """The type of an argument that is a list of positive whole numbers."""
    found = [int(word) for word in text.split(",")]
    if min(found) < 1:
        raise ValueError(text)
    return found


def perform(command, options, run, text):
    """
    Measure, print, and write the file that was asked for. Return the results; exit with 2 if something is missing.

    ``run(options)``: the results, a dict of what JSON can hold, and the versions of everything. ``text(results)``: the
    tables in reStructuredText.
    """
    signal.signal(signal.SIGTERM, lambda *received: sys.exit("Terminated."))  # so that servers are stopped
    try:
        results, versions = run(options)
    except CannotMeasure as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    shown = text(results)
    print(shown)
    if options.json:
        report.save(options.json, " ".join([command] + sys.argv[1:]), versions, shown, **results)
    return results
