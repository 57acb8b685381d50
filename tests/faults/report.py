"""docs/reliability.rst, of what one run has measured."""
from __future__ import unicode_literals

import platform
import subprocess

import redis

import asgi_redis
from asgi_redis.tools.embedded import server_binary

from . import costs
from .scenarios import CUT_EVERY, LASTS
from .traffic import BURST, READERS, WRITERS
from .verdict import NOT_REPLICATED

HEAD = """\
What arrives while things fail
==============================

Real servers and processes: {writers} writers, and {readers} readers that block. Each writer sends numbered messages to
a normal channel that both readers read and to a single-reader channel (``?``) of each reader, and with every {burst}th
to a group of two channels (``!``) of each reader's process, which makes batches. Meanwhile something fails, for
{lasts} seconds where nothing else is said. Afterwards the traffic goes on until messages arrive on every channel again,
the writers stop, and the readers read what is there.

``tox -e faults`` measures all this, and writes this page. ``pytest tests/faults`` tests a few of the faults, with
``ASGI_REDIS_FAULTS=all`` in the environment all of them. This page was measured with asgi_redis {asgi_redis},
redis-py {redis_py}, Python {python} and {server}.


What the columns say
--------------------

acknowledged
   Messages whose send returned; one to a group counts once for each member. Sends that raised are not counted: their
   messages may arrive or not, but not twice.
lost
   Acknowledged messages that did not arrive; in brackets how many of them the fault explains.
twice
   Messages that arrived twice; in brackets how many of them the fault explains.
disordered
   Messages on ``?`` and ``!`` channels that arrived after a later one of the same writer.
longest send
   Seconds until a send returned or raised.
whole again
   Seconds from the end of the fault until a message had been sent and received on every channel.
lines
   Lines that the four processes logged, from the beginning of the fault until the traffic was whole again.
commands
   Commands that all servers processed in that time, with those that scripts run and those that replicas are sent.
CPU
   Seconds of CPU time that the four processes took in that time.


What a fault explains
---------------------

* A server that lost its memory: the loss of messages that were sent to it before.
* A failover, also where a fault only led to one, as a master that stands still does: the loss of messages that were
  acknowledged less than {not_replicated} seconds before a replica took over, or before the old master, which may go on
  meanwhile, was demoted; and that a message comes again which was received then. Redis answers first and replicates
  then: what the new master has not heard of, sends as well as receives, did not happen.

Nothing else explains a loss, and nothing explains disorder, or a process that ends or does not return; nor do answers
that a proxy swallows, every {cut_every}th, explain anything. A fault that did more than it explains is marked "fails".

What a fault may cost
---------------------

Until the traffic is whole again, a process may log {lines} lines, and {lines_a_second} more each second. Servers may
process {commands} commands for each message that is sent or received, and {commands_a_second} each second on each
server. A process may take {cpu} s of CPU time each second, and {cpu_a_message} s for each message. A fault that costs
more is marked "fails" too.

Where answers are cut, delayed, held up or dropped, and where connections are left half open (their servers' ends are
gone, and the clients are not told), a TCP proxy stands before each server. Servers of Sentinel and Cluster tell clients
their own addresses, past any proxy, so these faults are not tried there.
"""

COLUMNS = [
    "fault", "acknowledged", "lost", "twice", "disordered", "longest send", "whole again", "lines", "commands", "CPU",
]


def text(found):
    """The page. ``found``: [(topology class, scenario, verdict), ...]."""
    parts = [HEAD.format(
        writers=WRITERS, readers=READERS, burst=BURST, lasts=LASTS, not_replicated=NOT_REPLICATED,
        cut_every=CUT_EVERY, asgi_redis=asgi_redis.__version__, redis_py=redis.__version__,
        python=platform.python_version(), server=server_version(), lines=costs.LINES,
        lines_a_second=costs.LINES_A_SECOND, commands=costs.COMMANDS_A_MESSAGE,
        commands_a_second=costs.COMMANDS_A_SECOND, cpu=costs.CPU_A_SECOND, cpu_a_message=costs.CPU_A_MESSAGE,
    )]
    kinds = []
    for kind, _, _ in found:
        if kind not in kinds:
            kinds.append(kind)
    for kind in kinds:
        rows = [row(scenario, verdict) for other, scenario, verdict in found if other is kind]
        parts.append("\n\n%s\n%s\n\n%s" % (kind.name, "-" * len(kind.name), table(rows)))
    return "".join(parts)


def row(scenario, verdict):
    return [
        scenario.name + (" (fails)" if verdict.problems else ""),
        "%d" % verdict.acknowledged,
        with_explained(verdict.lost, verdict.unexplained),
        with_explained(verdict.repeated, verdict.duplicated),
        "%d" % len(verdict.disordered),
        "%.2f" % verdict.longest_send,
        "never" if verdict.recovery is None else "%.2f" % verdict.recovery,
        "%d" % verdict.lines,
        "%d" % verdict.costs.commands,
        "%.1f" % verdict.cpu,
    ]


def with_explained(all_, unexplained):
    return "%d (%d)" % (len(all_), len(all_) - len(unexplained)) if all_ else "0"


def table(rows):
    """A simple table of reStructuredText."""
    widths = [max(len(cell) for cell in column) for column in zip(COLUMNS, *rows)]
    line = "  ".join("=" * width for width in widths)
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip() for cells in [COLUMNS] + rows]
    return "\n".join([line, lines[0], line] + lines[1:] + [line]) + "\n"


def server_version():
    """As "Valkey 9.1.2"."""
    words = subprocess.check_output([server_binary(), "--version"]).decode("ascii").split()
    return "%s %s" % (words[0], next(word[2:] for word in words if word.startswith("v=")))
