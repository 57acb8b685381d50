"""Which of the commands that a layer needs its user may not use."""
from __future__ import unicode_literals

import re

from redis.exceptions import ResponseError

from .verdicts import error, ok, warning

#: Commands, on keys of their own that expire at once. SCAN is only for flush, stats, and the search for messages here.
NEEDED = [
    "EVAL 'return 1' 0", "SET {a} 1 PX 1000", "GET {a}", "MGET {a}", "EXISTS {a}", "EXPIRE {a} 1", "PEXPIRE {a} 1000",
    "PTTL {a}", "INCR {a}", "DECR {a}", "INCRBY {a} 1", "RENAME {a} {b}", "DEL {a} {b}", "RPUSH {b} 1", "LPUSH {b} 1",
    "LLEN {b}", "LINDEX {b} 0", "LRANGE {b} 0 0", "LTRIM {b} 0 0", "BLPOP {b} 1", "LPOP {b}", "ZADD {b} 1 1",
    "ZRANGE {b} 0 -1", "ZREM {b} 2", "ZREMRANGEBYSCORE {b} 2 2", "DEL {b}", "SCAN 0 COUNT 1",
]


def permissions(client, prefixes):
    """
    Return the verdict on the user of ``client``, a redis-py client.

    ``prefixes``: the beginnings of all keys, two bytes or texts.
    """
    missing, closed = [], []
    for prefix in prefixes:
        keys = {name: "%s#check#%s" % (prefix, name) for name in "ab"}
        for command in NEEDED:
            words = re.findall(r"'[^']*'|\S+", command)
            refused = refusal(client, [word.strip("'").format(**keys) for word in words])
            if "key" in refused and prefix not in closed:
                closed.append(prefix)
            elif refused and "key" not in refused and words[0] not in missing:
                missing.append(words[0])
    if closed:
        return error("permissions", "The user may not use the keys %s." % ", ".join(text + "*" for text in closed))
    if missing == ["SCAN"]:
        return warning("permissions", "The user lacks +scan, which flush and stats need.")
    if missing:
        return error("permissions", "The user lacks %s." % " ".join("+" + name.lower() for name in missing))
    return ok("permissions", "all that are needed")


def refusal(client, words):
    """Return the text with which the server refuses the command for lack of permission, or an empty one."""
    try:
        client.execute_command(*words)
    except ResponseError as refused:
        text = str(refused)
        # redis-py cuts the first word off if it has an exception of its own for it.
        if type(refused).__name__ == "NoPermissionError" or text.startswith("NOPERM"):
            return text
    return ""
