"""Whether the processes that receive agree with each other, and with this one."""
from __future__ import unicode_literals

from .verdicts import ok, warning

#: What must be the same in all processes: the name in a record, and how a verdict calls it.
SAME = [
    ("release", "releases"), ("keys", "encryption keys"), ("hosts", "hosts"), ("shards", "numbers of shards"),
    ("layer", "layers"), ("expiry", "expiry"),
]


def compare(layer):
    """Return the verdicts on the processes that receive from ``layer``."""
    found = list(layer.processes().values())
    own = layer.describe()
    if not found:
        return [warning("processes", "No process of this release waits for messages.")]
    verdicts = [ok("processes", "%d: %s" % (len(found), ", ".join(sorted(set(map(name, found))))))]
    for key, title in SAME:
        different = sorted({str(text(record.get(key))) for record in found + [own]})
        if len(different) > 1:
            verdicts.append(warning("processes", "Different %s: %s (here %s), in %s." % (
                title, ", ".join(different), text(own[key]),
                ", ".join(sorted(name(record) for record in found if record.get(key) != own[key])) or "none of them",
            )))
    return verdicts


def name(record):
    return "%s:%s" % (record["host"], record["process"])


def text(value):
    return ",".join(value) or "none" if isinstance(value, list) else value
