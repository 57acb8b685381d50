"""The page docs/reliability.rst, with the measurements of one run."""
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
What arrives during faults
==========================

These are tests with real servers and processes: {writers} writers and {readers} blocking readers. Each writer sends
numbered messages to a normal channel that both readers read, and to a single-reader channel (``?``) of each reader. In
every {burst}th round it also sends to a group whose members are two process-specific channels (``!``) of each reader,
so that batches are sent. Then a fault is introduced, for {lasts} seconds unless its name says otherwise. Afterwards the
traffic continues until messages arrive on every channel again; then the writers stop, and the readers read the rest.

``tox -e faults`` runs all faults and writes this page. ``pytest tests/faults`` tests a few of them, or all with
``ASGI_REDIS_FAULTS=all`` in the environment. This page was measured with asgi_redis {asgi_redis}, redis-py {redis_py},
Python {python} and {server}.


The columns
-----------

acknowledged
   Messages whose send returned; a message to a group counts once for each member. Sends that raised are not counted:
   their messages may arrive or not, but must not arrive twice.
lost
   Acknowledged messages that did not arrive; in brackets, how many of them the fault explains.
duplicated
   Messages that arrived twice; in brackets, how many of them the fault explains.
out of order
   Messages on ``?`` and ``!`` channels that arrived after a later message from the same writer; in brackets, how many
   of them the fault explains.
longest send
   The longest time, in seconds, until a send returned or raised.
recovery
   Seconds from the end of the fault until a message had been sent and received on every channel.
lines
   Lines that the four processes logged from the beginning of the fault until the recovery.
commands
   Commands that all servers processed in that time, including those run by scripts and those replicated.
CPU
   CPU time, in seconds, that the four processes used in that time.


What a fault explains
---------------------

* A server that lost its data explains the loss of messages that were sent to it before.
* A failover explains the loss of messages that were acknowledged less than {not_replicated} seconds before a replica
  became master, or before the old master was demoted, because it may continue to serve clients until then. It also
  explains that a message received in that time arrives again, and that one sent in that time arrives late: if the old
  master has restarted empty, its replica still has what was sent before. Redis acknowledges a write before it
  replicates it, so sends and receives that did not reach the new master are undone. This also applies to a failover
  that is only a consequence of the fault, for example because the master hung.

Nothing else explains a loss, or messages out of order. Nothing explains a process that dies or hangs. If a proxy drops
one reply in {cut_every}, that explains nothing either. A fault is marked "fails" if more is lost, duplicated or out of
order than it explains.


What a fault may cost
---------------------

Until the recovery, a process may log {lines} lines, plus {lines_a_second} for each second. The servers may process
{commands} commands for each message that is sent or received, and each server {commands_a_second} more a second. A
process may use {cpu} s of CPU time a second, plus {cpu_a_message} s for each message. A fault that costs more is also
marked "fails".

Some faults need a TCP proxy in front of each server: those that cut connections before a reply, delay, hold up or drop
data, or leave connections half open (closed on the server's side, without the client being told). They are not run with
Sentinel or Redis Cluster, where servers tell clients their own addresses, so that clients would bypass a proxy.
"""

COLUMNS = [
    "fault", "acknowledged", "lost", "duplicated", "out of order", "longest send", "recovery", "lines", "commands",
    "CPU",
]


def text(found):
    """Return the page. ``found``: [(topology class, scenario, verdict), ...]."""
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
        with_explained(verdict.late, verdict.disordered),
        "%.2f" % verdict.longest_send,
        "never" if verdict.recovery is None else "%.2f" % verdict.recovery,
        "%d" % verdict.lines,
        "%d" % verdict.costs.commands,
        "%.1f" % verdict.cpu,
    ]


def with_explained(all_, unexplained):
    return "%d (%d)" % (len(all_), len(all_) - len(unexplained)) if all_ else "0"


def table(rows):
    """Return a simple table in reStructuredText."""
    widths = [max(len(cell) for cell in column) for column in zip(COLUMNS, *rows)]
    line = "  ".join("=" * width for width in widths)
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip() for cells in [COLUMNS] + rows]
    return "\n".join([line, lines[0], line] + lines[1:] + [line]) + "\n"


def server_version():
    """Return the server's name and version, for example "Valkey 9.1.2"."""
    words = subprocess.check_output([server_binary(), "--version"]).decode("ascii").split()
    return "%s %s" % (words[0], next(word[2:] for word in words if word.startswith("v=")))
