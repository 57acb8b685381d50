"""Which of the commands and keys that a layer needs its user may not use."""
from __future__ import unicode_literals

import re

from redis.exceptions import ResponseError

from ..internals import call
from .verdicts import error, ok, warning

#: Commands on a key that holds a text which expires, so that those on other types change nothing. The first sets it.
NEEDED = [
    "SET {} 1 PX 10000", "EVAL 'return 1' 0", "EVALSHA %s 0" % ("0" * 40), "GET {}", "MGET {}", "EXISTS {}",
    "EXPIRE {} 10", "PEXPIRE {} 10000", "PTTL {}", "INCR {}", "DECR {}", "INCRBY {} 1", "RENAME {} {}", "RPUSH {} 1",
    "LPUSH {} 1", "LLEN {}", "LINDEX {} 0", "LRANGE {} 0 0", "LTRIM {} 0 0", "BLPOP {} 1", "LPOP {}", "ZADD {} 1 1",
    "ZRANGE {} 0 -1", "ZREM {} 1", "ZREMRANGEBYSCORE {} 1 1", "SCAN 0 COUNT 1", "TYPE {}", "DEL {}",
]

#: Those that would leave a key if the first is refused.
CREATING = ["INCR", "DECR", "INCRBY", "RPUSH", "LPUSH", "ZADD"]

#: Those that messages and groups do without.
OPTIONAL = {"SCAN", "MGET", "TYPE"}


def permissions(client, prefixes):
    """
    Return the verdict on the user of ``client``, a redis-py client.

    ``prefixes``: the beginnings of all keys, two texts.
    """
    missing, closed = [], []
    for prefix in prefixes:
        for name, refused in refusals(client, prefix + "#check"):
            if is_about_keys(refused):
                closed += [prefix] if prefix not in closed else []
            elif name not in missing:
                missing.append(name)
    named = " ".join("+" + name.lower() for name in missing)
    if closed:
        keys = " ".join("~%s*" % prefix for prefix in closed)
        return error("permissions", "The user lacks the keys %s%s." % (keys, named and " and the commands " + named))
    if missing and OPTIONAL.issuperset(missing):
        return warning("permissions", "The user lacks %s, which only statistics and flush need." % named)
    if missing:
        return error("permissions", "The user lacks %s." % named)
    return ok("permissions", "all that the layer needs")


def refusals(client, key):
    """Yield (command, error) for each of NEEDED that the user may not use on ``key``."""
    is_set = False
    for command in NEEDED:
        words = [word.strip("'").format(key) for word in re.findall(r"'[^']*'|\S+", command)]
        if words[0] in CREATING and not is_set:
            continue
        try:
            call(client, *words)
            is_set = is_set or words[0] == "SET"
        except ResponseError as refused:
            if is_refusal(refused):
                yield words[0], refused


def is_refusal(failed):
    """Return True if an error says that the user may not use a command or a key."""
    # redis-py cuts the first word off if it has an exception of its own for it.
    return type(failed).__name__ == "NoPermissionError" or ("%s" % failed).startswith("NOPERM")


def lacks_command(failed):
    """Return True if the user may not use the command, or the server has none of that name."""
    return is_refusal(failed) or bool(re.search("unknown command", "%s" % failed, re.IGNORECASE))


def is_about_keys(refused):
    return bool(re.search(r"access (a|one of the) key", "%s" % refused))
