"""The servers behind a layer: one, three, Sentinel services, a Redis Cluster."""
from __future__ import unicode_literals

import functools
import itertools
import re

import redis
from redis.exceptions import RedisError

from asgi_redis import RedisChannelLayer, RedisClusterChannelLayer, RedisSentinelChannelLayer, cluster
from asgi_redis.tools.embedded import Server

from .. import servers
from . import traffic
from .proxy import Proxy

#: So much that no group message is lost because a queue is full.
CAPACITY = 100000

_prefixes = itertools.count()


def client(server, timeout=None):
    """A redis-py client of one server, for what the fault needs, and for looking."""
    return redis.StrictRedis(port=server.port, decode_responses=True, socket_timeout=timeout)


class Topology(object):
    """
    Runs from the entry of a ``with`` block to its end.

    ``name``, as in the report. ``layer``: a layer on it, past any proxy. ``make()``: makes the layers of the traffic,
    and can be pickled. ``proxies``: one before each server where it was made ``proxied``.
    """

    layer_class = RedisChannelLayer

    def __init__(self, proxied=False):
        self.proxied = proxied
        self.proxies = []

    def prepare(self):
        """Have new, empty prefixes for the next scenario."""
        number = next(_prefixes)
        make = functools.partial(
            self.layer_class, capacity=CAPACITY, prefix="faults-%d:" % number, stats_prefix="faults-meta-%d:" % number
        )
        self.make = functools.partial(make, hosts=self.hosts(proxied=self.proxied))
        self.layer = make(hosts=self.hosts(proxied=False))
        self.before = self.masters()
        for server in self.data_servers():
            hurry(server)

    @property
    def victim(self):
        """The shard that has the first reader's channel."""
        return self.layer.consistent_hash(traffic.SINGLE[0])

    def masters(self):
        """The servers that have the shards now."""
        return [self.master(index) for index in range(self.layer.ring_size)]

    def is_as_before(self):
        """Whether the next scenario can have it."""
        return all(server.process for server in self.data_servers()) and self.masters() == self.before

    def pending(self):
        """How many messages the queues hold, 1 where that can't be known."""
        queues = {traffic.queue_of(channel) for channel in traffic.CHANNELS}
        try:
            return sum(self.layer.channel_statistics(queue)["messages_pending"] for queue in queues)
        except RedisError:
            return 1

    def left_behind(self):
        """How many message bodies are in Redis: once the queues are empty, those that were popped and never read."""
        keys = {key for server in self.masters() for key in client(server).scan_iter(self.layer.prefix + "*", 1000)}
        return sum(bool(re.search("[0-9a-f]{32}$", key)) for key in keys)

    def settle(self):
        """Wait until every replica that runs has its master's data."""


class One(Topology):
    """One server."""

    name = "One server"
    count = 1

    def __enter__(self):
        self._servers = []
        try:
            for _ in range(self.count):
                self._servers.append(Server().start())
                if self.proxied:
                    self.proxies.append(Proxy(self._servers[-1].port).start())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        for part in self.proxies + self._servers:
            part.stop()

    def hosts(self, proxied):
        return ["redis://127.0.0.1:%d" % part.port for part in (self.proxies if proxied else self._servers)]

    def data_servers(self):
        return self._servers

    def master(self, index):
        return self._servers[index]


class Three(One):
    """Three shards."""

    name = "Three servers that share the messages"
    count = 3


class OnSentinel(Topology):
    """Two services of Redis Sentinel, and three Sentinels."""

    name = "Sentinel: two services, each a master and a replica"
    layer_class = RedisSentinelChannelLayer

    def __enter__(self):
        self.sentinels = servers.Sentinels().__enter__()
        return self

    def __exit__(self, *error):
        self.sentinels.__exit__()

    def hosts(self, proxied):
        return self.sentinels.hosts

    def data_servers(self):
        return [server for pair in self.sentinels.servers.values() for server in pair]

    def is_as_before(self):
        return all(each.process for each in self.sentinels.sentinels) and super(OnSentinel, self).is_as_before()

    def service(self, index):
        return self.sentinels.services[index]

    def master(self, index):
        return self.sentinels.master(self.service(index))

    def settle(self):
        for index in range(self.layer.ring_size):
            servers.eventually(functools.partial(self._is_settled, index), "the replica follows the master")

    def _is_settled(self, index):
        master = self.master(index)
        others = [server for server in self.sentinels.servers[self.service(index)] if server is not master]
        return role(master) == "master" and all(
            role(server) == "slave" and servers.is_in_sync(server) for server in others if server.process
        )


class OnCluster(Topology):
    """A Redis Cluster."""

    name = "Cluster: three masters and a replica of each"
    layer_class = RedisClusterChannelLayer

    def __enter__(self):
        self.cluster = servers.Cluster().__enter__()
        return self

    def __exit__(self, *error):
        self.cluster.__exit__()

    def hosts(self, proxied):
        return self.cluster.hosts

    def data_servers(self):
        return self.cluster.servers

    def master(self, index):
        slot = cluster.key_slot(self.layer.tag(index).encode())
        return servers.eventually(lambda: self.cluster.master_of_slot(slot), "a master has the slot")

    def settle(self):
        servers.eventually(self._is_settled, "the cluster is whole")

    def _is_settled(self):
        masters = self.cluster.masters()
        return len(masters) == self.cluster.MASTERS and all(
            server in masters or servers.is_in_sync(server) for server in self.cluster.running()
        )


def hurry(server):
    """Let replicas have the data at once, not after the five seconds in which others might want it too."""
    client(server).config_set("repl-diskless-sync-delay", 0)


def role(server):
    return client(server).info("replication")["role"]
