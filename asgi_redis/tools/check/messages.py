"""Whether waiting messages can be read with the keys that this process has, and who else has keys on the server."""
from __future__ import unicode_literals

import collections
import re

from ..internals import BadMessage
from .verdicts import error, note, ok

#: How many keys a step of SCAN looks at, which takes the server some 0.3 ms, and how many steps there are.
KEYS_AT_ONCE = 1000
STEPS = 100

#: How many messages are read, and after how many bytes no more are.
MOST = 200
MOST_BYTES = 4 * 1024 * 1024

MESSAGE = re.compile(br"[0-9a-f]{32}\Z")


class Keys(object):
    """
    Keys on a server. ``waiting``: of messages below ``prefix``, at most MOST. ``prefixes``: of all layers that have
    processes on the server; ``now``: how many each has now. ``is_whole``: False if the server has so many keys that not
    all were looked at.
    """

    def __init__(self, client, prefix):
        found, cursor = set(), 0  # SCAN may return a key twice
        for _ in range(STEPS):
            cursor, keys = client.scan(cursor, count=KEYS_AT_ONCE)
            found.update(key for key in keys if b"#presence" in key or is_message(key, prefix))
            if int(cursor) == 0:
                break
        self.is_whole = int(cursor) == 0
        self.waiting = sorted(key for key in found if is_message(key, prefix))[:MOST]
        present = [key.decode("utf-8", "replace").rpartition("#presence") for key in found if b"#presence" in key]
        self.prefixes = {before for before, _, after in present if not after}
        self.now = collections.Counter(before for before, _, after in present if after)


def is_message(key, prefix):
    return key.startswith(prefix) and MESSAGE.match(key[len(prefix):])


def read_waiting(layer, client, keys):
    """Return the verdict on the messages that wait on the server of ``client``, among ``keys``."""
    reasons, looked_at, size = collections.Counter(), 0, 0
    for key in keys.waiting:
        body = client.get(key)
        if body is None:
            continue  # received just now
        looked_at += 1
        size += len(body)
        try:
            layer.deserialize(body)
        except Exception as failed:
            # The text of another exception, from a subclass, may quote the message.
            reasons["%s" % failed if isinstance(failed, BadMessage) else type(failed).__name__] += 1
        if size > MOST_BYTES:
            break
    if reasons:
        return error("messages", "; ".join(
            "%d of %d: %s" % (count, looked_at, reason) for reason, count in sorted(reasons.items())
        ) + ".")
    return ok("messages", "%s, all can be read" % looked_at if looked_at else (
        "none wait" if keys.is_whole else "none among the keys that were looked at"
    ))


def others(layer, keys):
    """Return the prefixes of other layers that have processes on the server."""
    return keys.prefixes - {layer.prefix + layer.tag(index) for index in range(layer.ring_size)}


def other_layers(layer, keys):
    """Return the verdict on layers of other prefixes on the server, as far as ``keys`` show."""
    found = ", ".join(prefix + (" (%d now)" % keys.now[prefix] if keys.now[prefix] else "") for prefix in sorted(
        others(layer, keys)
    ))
    if found:
        return note("other layers", "Processes with other prefixes have used this server in the last day: %s" % found)
    return ok("other layers", "none" if keys.is_whole else "none among the keys that were looked at")
