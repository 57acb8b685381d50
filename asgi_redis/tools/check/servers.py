"""What the server of a shard says of itself, and what it allows."""
from __future__ import unicode_literals

import time

from redis.exceptions import AuthenticationError, RedisError, ResponseError

from ..internals import address_of, monotonic, with_address
from ..records import records
from .messages import Keys, other_layers, others, read_waiting
from .permissions import is_refusal, lacks_command, permissions
from .verdicts import error, note, ok, warning

#: How many round trips are measured, and how long one may take, in milliseconds, before that is a warning.
ROUND_TRIPS = 10
SLOW_MS = 10

#: How far apart the clocks may be, in seconds. Encrypted messages are refused at ``expiry`` + 10 seconds.
CLOCKS_APART = 5

#: How much of the memory may be used before that is a warning.
NEAR_LIMIT = 0.9


class Server(object):
    """
    The server of a shard. ``client``: a redis-py client for it. ``is_available``: False if it does not reply.
    ``index``: the shard's. ``prefix``: the layer's there; ``layers``: those of other layers that have processes there.
    """

    def __init__(self, layer, index, client):
        self._layer = layer
        self.client = client
        self.index = index
        self.address = address_of(client)
        self._prefixes = [prefix + layer.tag(index) for prefix in (layer.prefix, layer.stats_prefix)]
        self._info = None
        self.prefix = self._prefixes[0]
        self.layers = set()
        self.is_available = True

    def verdicts(self):
        """Return what was found, a list of ``Verdict``."""
        found = self._introduction()
        if self.is_available:
            for look in (self._round_trip, self._writes, self._permissions, self._clock):
                found.append(self._attempt(look))
            found += self._messages()
        return found

    def records(self):
        """Return {name: record} of the layer's processes that wait here. redis-py's errors."""
        return records(self.client, self.prefix)

    def origin(self):
        """
        Return what tells the data that the server has now from others, as records have it: "" if it has none, None if
        that is unknown.
        """
        try:
            return (self.client.get(self._prefixes[0] + "#origin") or b"").decode("ascii")[:6]
        except RedisError:
            return None

    def _attempt(self, look):
        """Return the verdict of ``look()``, or that it failed."""
        try:
            return look()
        except RedisError as failed:
            name = look.__name__.strip("_").replace("_", " ")
            if lacks_command(failed):
                return note(name, "Unknown: the server refuses it (%s)." % self._text(failed))
            return error(name, self._text(failed))

    def _text(self, failed):
        return ("%s" % with_address(failed, self.client)).rstrip(".")

    def _introduction(self):
        try:
            self._info = self.client.info()
        except RedisError as failed:
            if lacks_command(failed):
                return [note("server", "Version, role, memory and persistence are unknown: the user lacks +info.")]
            self.is_available = False
            return [self._unavailable(failed)]
        return [self._attempt(look) for look in (self._server, self._role, self._memory, self._persistence)]

    def _unavailable(self, failed):
        failed = with_address(failed, self.client)
        if isinstance(failed, AuthenticationError):
            return error("login", "%s." % failed)
        return unreachable(failed)

    # From INFO.

    def _server(self):
        name = "Valkey" if "valkey_version" in self._info else "Redis"
        return ok("server", "%s %s, up for %s s" % (
            name, self._info.get("valkey_version", self._info.get("redis_version")),
            self._info.get("uptime_in_seconds"),
        ))

    def _role(self):
        if self._info.get("role") in ("slave", "replica"):
            return error("role", "It is a replica of %s:%s, which accepts no writes: use the address of the master." % (
                self._info.get("master_host"), self._info.get("master_port"),
            ))
        return ok("role", "master of %s replicas" % self._info.get("connected_slaves", 0))

    def _memory(self):
        used, limit = self._info.get("used_memory", 0), self._info.get("maxmemory", 0)
        policy = self._info.get("maxmemory_policy") or "unknown"
        text = "%s used, %s" % (size(used), "of %s" % size(limit) if limit else "no limit")
        if limit and policy not in ("noeviction", "unknown"):
            return warning("memory", "%s, and at the limit it evicts messages and groups (maxmemory-policy %s): set "
                           "noeviction." % (text, policy))
        if limit and used > NEAR_LIMIT * limit:
            return warning("memory", "%s: at the limit, sends fail. Raise maxmemory, or lower capacity." % text)
        return ok("memory", "%s, %s" % (text, policy))

    def _persistence(self):
        if self._info.get("aof_enabled"):
            return ok("persistence", "append-only file")
        try:
            saves = self.client.config_get("save").get("save")
        except ResponseError as failed:
            if not lacks_command(failed):
                raise
            return note("persistence", "No append-only file. Snapshots are unknown: the user lacks +config|get.")
        if saves:
            return ok("persistence", "snapshots (save %s)" % saves)
        return warning("persistence", "None: after a restart, groups are gone until clients reconnect.")

    # By trying.

    def _round_trip(self):
        taken = []
        for _ in range(ROUND_TRIPS):
            begun = monotonic()
            try:
                self.client.get(self._prefixes[0] + "#check")
            except ResponseError:
                pass  # a refusal takes as long
            taken.append(1000 * (monotonic() - begun))
        median = sorted(taken)[ROUND_TRIPS // 2]
        text = "%.1f ms, the median of %d" % (median, ROUND_TRIPS)
        if median > SLOW_MS:
            return warning("round trip", text + ": each send and receive takes that long.")
        return ok("round trip", text)

    def _writes(self):
        try:
            self.client.set(self._prefixes[0] + "#check", "1", px=1000)
        except RedisError as failed:
            if is_refusal(failed):
                return note("writes", "Unknown: see permissions.")
            return error("writes", "The server accepts none: %s." % self._text(failed))
        return ok("writes", "taken")

    def _permissions(self):
        return permissions(self.client, self._prefixes)

    def _clock(self):
        begun = time.time()
        try:
            seconds, microseconds = self.client.time()
        except ResponseError as failed:
            if not lacks_command(failed):
                raise
            return note("clock", "Unknown: the user lacks +time.")
        apart = seconds + microseconds / 1e6 - (begun + time.time()) / 2
        text = "%.1f s %s this machine's" % (abs(apart), "behind" if apart < 0 else "ahead of")
        if abs(apart) > CLOCKS_APART:
            return warning("clock", text + ": group members may expire early, and encrypted messages may be refused.")
        return ok("clock", text)

    def _messages(self):
        try:
            keys = Keys(self.client, self._prefixes[0].encode("utf-8"))
            self.layers = others(self._layer, keys)
            return [read_waiting(self._layer, self.client, keys), other_layers(self._layer, keys)]
        except RedisError as failed:
            if lacks_command(failed):
                return [note("messages", "Not checked: the user lacks +scan or +get.")]
            return [error("messages", "They can't be read: %s." % self._text(failed))]


def unreachable(failed):
    return error("reachable", "%s. Is the address right, and does the server run?" % ("%s" % failed).rstrip("."))


def size(count):
    """Return a number of bytes as text."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1024 or unit == "GB":
            return "%.0f %s" % (count, unit)
        count /= 1024.0
