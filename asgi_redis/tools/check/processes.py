"""Whether the processes that receive agree with each other, and with this one."""
from __future__ import unicode_literals

import time

from ..internals import EVERY
from .verdicts import note, ok, warning

#: What must be the same in all processes: the name in a record, and how a verdict calls it.
SAME = [
    ("release", "releases"), ("keys", "encryption keys"), ("hosts", "hosts"), ("shards", "numbers of shards"),
    ("layer", "layers"), ("expiry", "expiry"),
]

#: What options tell of a layer. Of one in a project's settings, all is told.
BY_OPTIONS = ["keys", "hosts", "shards"]

#: After how many seconds without a renewed record a process is late. It renews it between two waits.
LATE = EVERY + 15

#: How many processes a verdict names.
MOST_NAMES = 10


def compare(layer, found, is_configured):
    """
    Return the verdicts on the processes that receive from ``layer``.

    ``found``: their records. ``is_configured``: True if all arguments of ``layer`` are those of the site.
    """
    if not found:
        return [warning("processes", "No process of this release is waiting. Those of release 1.4 leave no record.")]
    own = {key: value for key, value in layer.describe().items() if is_configured or key in BY_OPTIONS}
    late = [record for record in found if time.time() - record["seen"] > LATE]
    about_late = [note("processes", "No sign of life for %d s or more from %s: busy with one message, hanging, or "
                       "ended." % (LATE, names(late)))] if late else []
    return [ok("processes", "%d: %s" % (len(found), names(found)))] + about_late + [
        difference(found, own, key, title) for key, title in SAME if is_different(found, own, key)
    ]


def lost_groups(layer, servers, found):
    """Return the verdict, in a list, that servers lost their data while interface servers were running; or []."""
    hosts, hurt, emptied = layer.describe()["hosts"], [], []
    found = [record for record in found if serves(record) and record.get("hosts") == hosts and "origins" in record]
    for server in servers:
        current = server.origin()
        late = [] if current is None else [
            record for record in found if record["origins"][server.index] not in ("", current)
        ]
        hurt += late
        emptied += [server.address] if late else []
    return [warning("groups", "Lost on %s, with all data, while these were running: %s. Restart interface servers, so "
                    "that their clients reconnect." % (", ".join(emptied), names(hurt)))] if hurt else []


def serves(record):
    """Return True if a process has channels of its own, as an interface server does."""
    return any("!" in channel for channel in record["channels"])


def is_different(found, own, key):
    values = [text(record.get(key)) for record in found] + ([text(own[key])] if key in own else [])
    return len(set(values)) > 1


def difference(found, own, key, title):
    """Return the verdict on ``key``, which not all processes in ``found`` have in common, or have as this one has."""
    by_value = {}
    for record in found:
        by_value.setdefault(text(record.get(key)), []).append(record)
    parts = ["%s in %s" % (value, names(records)) for value, records in sorted(by_value.items())]
    if key in own:
        parts.append("%s here" % text(own[key]))
    return warning("processes", "Different %s: %s.%s" % (title, "; ".join(parts), HINTS.get(key, "")))


HINTS = {
    "hosts": " Names may differ if the servers are the same, in the same order.",
    "keys": " These are their fingerprints.",
}


def names(records):
    """Return the hosts and numbers of processes, as text."""
    found = sorted({"%s:%s" % (record["host"], record["process"]) for record in records})
    more = len(found) - MOST_NAMES
    return ", ".join(found[:MOST_NAMES]) + (" and %d more" % more if more > 0 else "")


def text(value):
    return ",".join(value) or "none" if isinstance(value, list) else "%s" % value
