"""The text about a run."""
from __future__ import unicode_literals

from .traffic import REQUESTS

#: How far paragraphs are indented.
INDENT = 2

ABOUT_ROUND_TRIPS = (
    "  A round trip lasts from the send to the reply, under full load: the front sends requests as fast as it can, "
    "without waiting for replies, so time in queues is included. Group messages are sent one broadcast at a time."
)


class Report(object):
    """
    Prints the result of a run.

    - ``screen``: where to.
    - ``front``: the ``Front`` after the run.
    """

    def __init__(self, screen, front):
        self.screen = screen
        self.front = front
        self.tallies = [front.requests, front.group]

    def show(self):
        """Print it. Return the exit status: 1 if a message was lost, duplicated or not sent."""
        self.screen.line()
        self._show_table()
        self.screen.line()
        self.screen.paragraph(ABOUT_ROUND_TRIPS, INDENT)
        self._show_workers()
        if self.front.full:
            self.screen.paragraph("  {} was full {:,} times: the front received replies until there was room.".format(
                REQUESTS, self.front.full
            ), INDENT)
        self.screen.line()
        return self._show_verdict()

    def _show_table(self):
        rows = [
            ("", [tally.name for tally in self.tallies]),
            ("sent", ["{:,}".format(len(tally.sent)) for tally in self.tallies]),
            ("returned", ["{:,}".format(len(tally.arrivals)) for tally in self.tallies]),
            ("lost", ["{:,}".format(tally.lost) for tally in self.tallies]),
            ("duplicated", ["{:,}".format(tally.duplicated) for tally in self.tallies]),
            ("per second", ["-" if tally.rate is None else "{:,.0f}".format(tally.rate) for tally in self.tallies]),
            ("round trip p50", [milliseconds(tally.percentile(50)) for tally in self.tallies]),
            ("round trip p99", [milliseconds(tally.percentile(99)) for tally in self.tallies]),
        ]
        for name, cells in rows:
            self.screen.line("  {:<14}{:>9}{:>15}".format(name, *cells))

    def _show_workers(self):
        workers = self.front.workers.values()
        shares = ["?" if worker.answered is None else "{:,}".format(worker.answered) for worker in workers]
        self.screen.paragraph("  The workers answered %s requests." % " + ".join(shares), INDENT)
        for worker in workers:
            if worker.answered is None:
                state = "it ended with status %d" % worker.process.returncode if worker.has_ended else "it hangs"
                self.screen.line("  Worker %d did not finish: %s." % (worker.process.pid, state))

    def _show_verdict(self):
        faulty = [tally for tally in self.tallies if faults(tally)]
        for tally in faulty:
            self.screen.line("%s: %s." % (tally.name.capitalize(), faults(tally)))
        if not faulty:
            self.screen.line("Nothing was lost or duplicated.")
        return 1 if faulty else 0


def faults(tally):
    """Return what went wrong, as text; empty if nothing did."""
    counts = [(tally.lost, "lost"), (tally.duplicated, "duplicated"), (tally.unsent, "not sent")]
    return ", ".join("{:,} {}".format(count, what) for count, what in counts if count)


def milliseconds(seconds):
    return "-" if seconds is None else "%.1f ms" % (1000 * seconds)
