"""Whether waiting messages can be read with the keys that this process has."""
from __future__ import unicode_literals

import collections
import re

from redis.exceptions import RedisError

from .verdicts import error, ok, warning

#: How many steps of SCAN look for messages on a shard, at 1,000 keys each, and how many messages are read.
STEPS = 20
MOST = 200

MESSAGE = re.compile(br"[0-9a-f]{32}\Z")


def read_waiting(layer, index):
    """Return the verdict on the messages that wait on shard ``index``."""
    prefix = (layer.prefix + layer.tag(index)).encode("utf-8")
    try:
        bodies = sample(layer.connection(index), prefix)
    except RedisError as failed:
        return warning("messages", "They can't be looked at: %s" % failed)
    reasons = collections.Counter()
    for body in bodies:
        try:
            layer.deserialize(body)
        except Exception as failed:
            reasons[str(failed) or type(failed).__name__] += 1
    if reasons:
        return error("messages", "; ".join("%d of %d: %s" % (count, len(bodies), reason) for reason, count in sorted(
            reasons.items()
        )) + ".")
    return ok("messages", "%d looked at, all can be read" % len(bodies) if bodies else "none wait")


def sample(client, prefix):
    """Return the bodies of some of the messages that wait."""
    pattern = re.sub(br"([*?\[\]\\])", br"\\\1", prefix) + b"*"
    cursor, bodies = 0, []
    for _ in range(STEPS):
        cursor, keys = client.execute_command("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
        keys = [key for key in keys if MESSAGE.match(key[len(prefix):])][:MOST - len(bodies)]
        bodies += [body for body in client.mget(keys) if body] if keys else []
        if int(cursor) == 0 or len(bodies) >= MOST:
            break
    return bodies
