"""What the server of a shard says of itself."""
from __future__ import unicode_literals

import time

from redis.exceptions import RedisError, ResponseError

from ..internals import monotonic
from .messages import read_waiting
from .permissions import permissions
from .verdicts import error, ok, warning

#: How many round trips are measured, and how long one may take, in milliseconds, before that is a warning.
ROUND_TRIPS = 10
SLOW_MS = 10

#: How far apart the clocks may be, in seconds. Encrypted messages are refused at ``expiry`` + 10 seconds.
CLOCKS_APART = 5


def look_at(layer, index):
    """Return the verdicts on the server of shard ``index``."""
    try:
        client = layer.connection(index)
        info = client.info()
    except ResponseError as refused:
        return [warning("server", "It does not say what it is (%s): the user lacks +info." % refused)] + [
            permissions(layer.connection(index), prefixes(layer, index))
        ]
    except RedisError as failed:
        return [unreachable(failed)]
    looks = [version, role, round_trip, memory, persistence, clock]
    found = [look(client, info) for look in looks]
    found = [verdict for verdict in found if verdict]
    return found + [permissions(client, prefixes(layer, index)), read_waiting(layer, index)]


def unreachable(failed):
    return error("reachable", "%s Is the address right, and does the server run?" % sentence(failed))


def sentence(failed):
    return ("%s" % failed).rstrip(".") + "."


def prefixes(layer, index):
    return [prefix + layer.tag(index) for prefix in (layer.prefix, layer.stats_prefix)]


def version(client, info):
    name = "Valkey" if "valkey_version" in info else "Redis"
    return ok("server", "%s %s, up for %s s" % (
        name, info.get("valkey_version", info.get("redis_version")), info.get("uptime_in_seconds"),
    ))


def role(client, info):
    if info.get("role") in ("slave", "replica"):
        return error("role", "It is a replica of %s:%s, which takes no writes: name the master." % (
            info.get("master_host"), info.get("master_port"),
        ))
    return ok("role", "%s with %s replicas" % (info.get("role", "master"), info.get("connected_slaves", 0)))


def round_trip(client, info):
    taken = []
    for _ in range(ROUND_TRIPS):
        begun = monotonic()
        client.ping()
        taken.append(1000 * (monotonic() - begun))
    median = sorted(taken)[ROUND_TRIPS // 2]
    text = "%.1f ms, the median of %d" % (median, ROUND_TRIPS)
    return warning("round trip", text + ": each send and receive takes that long.") if median > SLOW_MS else ok(
        "round trip", text
    )


def memory(client, info):
    used, limit = info.get("used_memory", 0), info.get("maxmemory", 0)
    policy = info.get("maxmemory_policy") or "unknown"
    text = "%s used, %s" % (size(used), "of %s" % size(limit) if limit else "no limit")
    if limit and policy not in ("noeviction", "unknown"):
        return warning("memory", "%s, and at the limit it evicts messages and groups (maxmemory-policy %s): set "
                       "noeviction." % (text, policy))
    if limit and used > 0.9 * limit:
        return warning("memory", text + ": at the limit, sends fail.")
    return ok("memory", "%s, %s" % (text, policy))


def size(count):
    """Return a number of bytes as text."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1024 or unit == "GB":
            return "%.0f %s" % (count, unit)
        count /= 1024.0


def persistence(client, info):
    if info.get("aof_enabled"):
        return ok("persistence", "append-only file")
    try:
        saves = client.config_get("save").get("save")
    except ResponseError:
        return ok("persistence", "no append-only file; whether snapshots are made, the user may not ask")
    if saves:
        return ok("persistence", "snapshots (save %s)" % saves)
    return warning("persistence", "None: after a restart, groups are gone until clients connect anew.")


def clock(client, info):
    begun = time.time()
    try:
        seconds, microseconds = client.time()
    except ResponseError:
        return None  # the user may not ask
    apart = seconds + microseconds / 1e6 - (begun + time.time()) / 2
    text = "%.1f s %s this machine's" % (abs(apart), "before" if apart < 0 else "after")
    if abs(apart) > CLOCKS_APART:
        return warning("clock", text + ": members of groups may expire early, and encrypted messages be refused.")
    return ok("clock", text)
