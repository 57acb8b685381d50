"""The layer over a Redis Cluster."""
from __future__ import unicode_literals

import itertools
import os
import time

import six
from redis.exceptions import ConnectionError, ResponseError, TimeoutError

from .checks import check_address, check_list
from .connections import call_all, client_for_address, connect_options, url_of, url_options
from .core import BaseRedisChannelLayer
from .waiting import monotonic

try:
    from redis.cluster import ClusterNode, RedisCluster
    from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
    from redis.exceptions import AskError, ClusterDownError, MovedError, RedisClusterException, TryAgainError
except ImportError:  # redis-py before 4.1
    RedisCluster = None

#: Seconds that a command follows slots that move and masters that change, before its error is raised; and how long it
#: waits between two tries.
FOLLOW_FOR = 10
FOLLOW_PAUSE = 0.02

#: More would need a connection each of every waiting worker, to no use.
MOST_SHARDS = 128


def slot_tags(shards):
    """
    Hash tags, the smallest numbers whose slots lie in each of ``shards`` equal parts of all slots.

    A cluster gives each of its masters one stretch of slots, so these are spread evenly over the masters.
    """
    tags = {}
    for number in itertools.count():
        tag = "%d" % number
        tags.setdefault(key_slot(tag.encode("ascii")) * shards // REDIS_CLUSTER_HASH_SLOTS, tag)
        if len(tags) == shards:
            return [tags[part] for part in range(shards)]


class RedisClusterChannelLayer(BaseRedisChannelLayer):
    """
    A channel layer on a Redis Cluster. Its shards are hash tags: all keys of one lie in one slot.

    ``hosts``: nodes to ask for the others, a list of ``redis://`` and ``rediss://`` URLs or (host, port) pairs;
    ``[("localhost", 6379)]``. User and password of the first URL that has them are for all nodes.
    ``shards``: how many, 3; the same in all processes, and for good. As many as the cluster has masters uses all of
    them; a waiting worker holds a connection for each. The others are those of ``BaseRedisChannelLayer``.

    Needs redis-py 4.1: RuntimeError below that.
    """

    def __init__(
        self,
        expiry=60,
        hosts=None,
        prefix="asgi:",
        group_expiry=86400,
        capacity=100,
        channel_capacity=None,
        symmetric_encryption_keys=None,
        stats_prefix="asgi-meta:",
        connection_kwargs=None,
        shards=3,
        **options
    ):
        if RedisCluster is None:
            raise RuntimeError("RedisClusterChannelLayer needs redis-py 4.1 or newer.")
        if isinstance(shards, bool) or not isinstance(shards, six.integer_types) or not 1 <= shards <= MOST_SHARDS:
            raise ValueError("shards must be a whole number from 1 to %d, not %r." % (MOST_SHARDS, shards))
        if "db" in (connection_kwargs or {}):
            raise ValueError("connection_kwargs must have no db: a Redis Cluster has but one database.")
        self._tags = slot_tags(shards)
        self._newcomers = {}
        self._made = None
        super(RedisClusterChannelLayer, self).__init__(
            expiry, hosts, prefix, group_expiry, capacity, channel_capacity, symmetric_encryption_keys, stats_prefix,
            connection_kwargs, **options
        )

    def _setup_hosts(self, hosts):
        hosts = [("localhost", 6379)] if hosts is None else check_list("hosts", hosts)
        if not hosts:
            raise ValueError("hosts must have at least one node.")
        self._start_nodes = []
        self._options = connect_options(self.connection_kwargs)
        return [self._setup_host(host) for host in hosts]

    def _setup_host(self, host):
        """The URL of one of ``hosts``; the address and what else is in it are noted."""
        if isinstance(host, six.string_types):
            options = url_options(host)
            self._start_nodes.append((options.pop("host", "localhost"), options.pop("port", 6379)))
            for name, value in options.items():
                self._options.setdefault(name, value)
            return host
        self._start_nodes.append(check_address("host, if no URL,", host))
        return url_of(*self._start_nodes[-1])

    @property
    def ring_size(self):
        return len(self._tags)

    def _key(self, index, name):
        return "%s{%s}%s" % (self.prefix, self._tags[index], name)

    def _stats_key(self, index, name):
        return "%s{%s}%s" % (self.stats_prefix, self._tags[index], name)

    @property
    def _cluster(self):
        """redis-py's client of the cluster; to make it is to ask the start nodes."""
        if self._made is None or self._made[0] != os.getpid():
            nodes = [ClusterNode(host, port) for host, port in self._start_nodes]
            self._made = os.getpid(), RedisCluster(startup_nodes=nodes, **self._options)
        return self._made[1]

    def connection(self, index):
        """
        A redis-py client for the node that has shard ``index`` now, or one picked at random where it is None.

        ValueError where there is no such shard.
        """
        key = self._key(self._check_index(index), "")
        try:
            return self._cluster.get_redis_connection(self._cluster.get_node_from_key(key))
        except RedisClusterException as error:
            # No node answers, or none has the slot: to the caller, an outage as any other.
            raise ConnectionError("%s (start nodes: %s)" % (error, ", ".join("%s:%s" % n for n in self._start_nodes)))

    # Following what moves.

    def _refresh(self):
        """Ask the nodes who has which slots."""
        try:
            self._cluster.nodes_manager.initialize()
        except (RedisClusterException, ConnectionError, TimeoutError):
            pass  # the command that is tried next will tell

    def _call(self, index, *command):
        """As in ``Shards``. Follows the shard to the node where it has gone, for ``FOLLOW_FOR`` seconds."""
        deadline = monotonic() + FOLLOW_FOR
        client, commands = self.connection(index), [command]
        while True:
            try:
                return call_all(client, commands)
            except ResponseError as error:
                if not is_moving(error) or monotonic() > deadline:
                    raise
                if isinstance(error, AskError) and not isinstance(error, MovedError):
                    client, commands = self._asked(error), [("ASKING",), command]
                    continue
            except (ConnectionError, TimeoutError):
                self._refresh()
                raise
            time.sleep(FOLLOW_PAUSE)
            self._refresh()
            client, commands = self.connection(index), [command]

    def _asked(self, error):
        """The client for the node that an AskError names: this once, it answers for a slot that is on its way there."""
        node = self._cluster.get_node(error.host, error.port)
        if node is None:
            self._refresh()
            node = self._cluster.get_node(error.host, error.port)
        if node is None:  # it has no slot yet, so the others do not tell of it; or redis-py 4 forgets it for a while
            address = error.host, error.port
            if (os.getpid(), address) not in self._newcomers:
                self._newcomers[os.getpid(), address] = client_for_address(*address + (self._options,))
            return self._newcomers[os.getpid(), address]
        return self._cluster.get_redis_connection(node)

    def _note_failure(self, index, error):
        time.sleep(FOLLOW_PAUSE)
        self._refresh()
        if not is_moving(error):
            super(RedisClusterChannelLayer, self)._note_failure(index, error)


def is_moving(error):
    """Whether ``error`` says that a slot, or a master, is being moved: who tries again will succeed."""
    if isinstance(error, (AskError, TryAgainError, ClusterDownError)):
        return True
    # A blocked client of a master that became a replica; a script that met a message key on its way.
    return str(error).startswith("UNBLOCKED") or "non local key" in str(error)
