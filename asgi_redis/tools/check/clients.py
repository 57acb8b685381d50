"""Clients of the servers that wait for messages without a record: processes of release 1.4, or of something else."""
from __future__ import unicode_literals

import collections
import re

from redis.exceptions import RedisError

from ..internals import call
from ..records import records
from .permissions import lacks_command
from .verdicts import note, ok

#: A client in CLIENT LIST that is blocked by BLPOP: its number and its database.
WAITS = re.compile(br"\bid=(\d+) .*\bflags=[a-zA-Z]*b[a-zA-Z]* .*\bdb=(\d+) .*\bcmd=blpop\b")


class Clients(object):
    """
    The clients that wait on the servers of a layer.

    Servers do not tell what a client waits for. So those in the layer's database are only counted, and compared with
    the number of threads that wait by the records: of the layer, and of others on the same servers.
    """

    def __init__(self):
        self._here, self._elsewhere, self._unknown = set(), set(), None
        #: {address: {name: record}} of the layer; {(address, prefix): {name: record}} of others. Shards of a Redis
        #: Cluster may share a server.
        self._own, self._others = {}, {}

    def add(self, server):
        """Look at a ``Server``."""
        client = server.client
        own = int(client.connection_pool.connection_kwargs.get("db") or 0)
        try:
            for number, database in WAITS.findall(call(client, "CLIENT", "LIST")):
                found = self._here if int(database) == own else self._elsewhere
                found.add((server.address, number, int(database)))
            # A process writes its record before it waits.
            self._own.setdefault(server.address, {}).update(server.records())
            for prefix in server.layers:
                self._others[server.address, prefix] = records(client, prefix)
        except RedisError as failed:
            self._unknown = "the user lacks +client|list or +mget" if lacks_command(failed) else "%s" % failed

    def _recorded(self):
        """Return how many threads wait by the records."""
        everywhere = {name: record for found in self._own.values() for name, record in found.items() if roams(record)}
        # A server that has lost its data gets the records again within half a minute.
        found = [dict(everywhere, **local) for local in self._own.values()] + list(self._others.values())
        return sum(record.get("waits", 1) for local in found for record in local.values())

    def shared_counters(self, stats_prefix):
        """Return the verdict, in a list, that other layers have this ``stats_prefix``; or []."""
        found = sorted({prefix for (_, prefix), present in self._others.items() if any(
            record.get("stats_prefix") == stats_prefix for record in present.values()
        )})
        return [note("counters", "The counters are sums, because layers with these prefixes have the same stats_prefix "
                     "(%s): %s. Give each layer its own." % (stats_prefix, ", ".join(found)))] if found else []

    def verdicts(self):
        """Return what was found, a list of ``Verdict``."""
        if self._unknown:
            return [note("clients", "Whether others wait for messages is unknown: %s." % self._unknown)]
        found, without = [], len(self._here) - self._recorded()
        if without > 0:
            found.append(note("clients", "%s in BLPOP without a record, from release 1.4 or from another "
                              "application in this database." % waiting(without)))
        databases = collections.Counter(database for _, _, database in self._elsewhere)
        for database, count in sorted(databases.items()):
            found.append(note("clients", "%s in BLPOP in database %d, from another application or from this site "
                              "with a wrong database." % (waiting(count), database)))
        return found or [ok("clients", "none waits without a record")]


def waiting(count):
    return "1 client waits" if count == 1 else "%d clients wait" % count


def roams(record):
    """Return True if a process waits on all shards: it reads normal channels."""
    return any("!" not in channel and "?" not in channel for channel in record["channels"])
