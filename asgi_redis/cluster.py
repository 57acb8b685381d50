"""The layer over a Redis Cluster."""
from __future__ import unicode_literals

import inspect
import itertools
import threading

import six
from redis.exceptions import ConnectionError, ResponseError, TimeoutError

from .checks import check_address, check_list
from .core import BaseRedisChannelLayer
from .server import times
from .server.clients import check_client_options, client_for_address, connect_options, is_client, site_options
from .server.forks import PerProcess
from .server.options import check_tls
from .server.shard import Place
from .server.urls import parse_url, url_of, without_password

try:
    from redis.cluster import ClusterNode, RedisCluster
    from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
    from redis.exceptions import AskError, ClusterDownError, MovedError, RedisClusterException, TryAgainError
except ImportError:  # redis-py before 4.1
    RedisCluster = None

#: A waiting worker holds a connection for each shard, so more would cost much and gain nothing.
MOST_SHARDS = 128


def slot_tags(shards):
    """
    Return hash tags: for each of ``shards`` equal parts of all slots, the smallest number whose slot lies in it.

    A cluster gives each master one range of slots, so the hash tags are spread evenly over the masters.
    """
    tags = {}
    for number in itertools.count():
        tag = "%d" % number
        tags.setdefault(key_slot(tag.encode("ascii")) * shards // REDIS_CLUSTER_HASH_SLOTS, tag)
        if len(tags) == shards:
            return [tags[part] for part in range(shards)]


class Nodes(object):
    """
    The nodes of a cluster, as redis-py's client knows them.

    redis-py asks the nodes one after another which slots they have, and waits for each until its socket timeout. So it
    does that in a thread, for which calls wait as long as for a reply at first, and then ``times.SLOTS_TIMEOUT``.

    ``addresses``: (host, port) of those that are asked first. ``make()``: makes redis-py's client, which asks them.
    ``options``: see ``Place.options``.
    """

    def __init__(self, addresses, make, options):
        self._addresses = addresses
        self._make = make
        #: redis-py's client, once a node has replied; until then, why none has.
        self._cluster = None
        self._problem = "No node of the Redis Cluster replies."
        #: The thread that asks the nodes, or did so last, and until when calls wait for it.
        self._thread = None
        self._wait_until = 0
        self.options = options

    def client_for(self, key):
        """Return a redis-py client for the node that has ``key`` now."""
        if self._cluster is None:
            self._ask()
        return self.known_client_for(key)

    def known_client_for(self, key):
        """``client_for``, but without asking the nodes: ConnectionError if none has replied yet."""
        if self._cluster is None:
            raise self._unavailable(self._problem)
        try:
            return self._cluster.get_redis_connection(self._cluster.get_node_from_key(key))
        except RedisClusterException as error:
            raise self._unavailable(error)  # no node has the slot

    def _unavailable(self, problem):
        """Return an error that the caller treats as any other outage."""
        return ConnectionError("%s (start nodes: %s)" % (problem, ", ".join("%s:%s" % n for n in self._addresses)))

    def refresh(self):
        """Ask the nodes again which slots they have."""
        if self._cluster is not None:
            self._ask()

    def _ask(self):
        """Ask the nodes which slots they have, unless that is being done. It may go on for longer than this takes."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            timeout = times.SLOTS_TIMEOUT if thread else times.REPLY_TIMEOUT  # redis-py needs longer at first
            thread = threading.Thread(target=self._ask_now, name="asgi_redis slots")
            thread.daemon = True
            try:
                thread.start()
            except RuntimeError:  # the process is ending, or has too many threads
                return self._ask_now()
            self._thread, self._wait_until = thread, times.monotonic() + timeout
        thread.join(max(self._wait_until - times.monotonic(), 0))

    def _ask_now(self):
        try:
            if self._cluster is None:
                self._cluster = self._make()
            else:
                self._cluster.nodes_manager.initialize()
        except Exception as error:  # also what redis-py lets through, such as an ssl.CertificateError of Python 3.6
            self._problem = str(error)  # the next try will show whether that lasts

    def client_at(self, host, port):
        # The node may have no slots yet, so that redis-py's client does not know it.
        manager = self._cluster.nodes_manager
        return manager.create_redis_node(host, port, **manager.connection_kwargs)


class Slot(Place):
    """A hash slot of a cluster. ``nodes``: a ``PerProcess`` of ``Nodes``. ``key``: any key in the slot."""

    may_move = True

    def __init__(self, nodes, key):
        self._nodes = nodes
        self._key = key

    def client(self):
        return self._nodes.get().client_for(self._key)

    def known_client(self):
        return self._nodes.get().known_client_for(self._key)

    def options(self, client):
        return self._nodes.get().options(super(Slot, self).options(client))

    def follow(self, error):
        if isinstance(error, AskError) and not isinstance(error, MovedError):
            return self._nodes.get().client_at(error.host, error.port)
        if isinstance(error, (ConnectionError, TimeoutError)) or is_moving(error):
            self._nodes.get().refresh()
        return is_moving(error)


def is_moving(error):
    """Return True if ``error`` says that a slot or a master is moving, so that a repeated call will succeed."""
    if isinstance(error, (AskError, MovedError, TryAgainError, ClusterDownError)):
        return True
    # UNBLOCKED: the master of a blocked client became a replica. The other: a script used a key that is being moved.
    return isinstance(error, ResponseError) and (str(error).startswith("UNBLOCKED") or "non local key" in str(error))


class RedisClusterChannelLayer(BaseRedisChannelLayer):
    """
    A channel layer on a Redis Cluster. Its shards are hash tags: all keys of a shard lie in one slot.

    :param hosts: some of the nodes, from which it learns the others: a list of ``redis://`` and ``rediss://`` URLs or
        (host, port) pairs (default ``[("localhost", 6379)]``). The user and password of the first URL that has them are
        used for all nodes. Or a list with one ``RedisCluster`` of redis-py, and nothing else.
    :param shards: how many shards there are (default 3). It must be the same in all processes, and never change. With
        fewer shards than masters, some masters are not used; but a waiting worker holds a connection for each shard.

    The other arguments are those of ``BaseRedisChannelLayer``. RuntimeError with a redis-py before 4.1.
    """

    own_arguments = ("shards",)

    def setup_hosts(self, hosts, shards=3):
        if RedisCluster is None:
            raise RuntimeError("RedisClusterChannelLayer needs redis-py 4.1 or newer.")
        if isinstance(shards, bool) or not isinstance(shards, six.integer_types) or not 1 <= shards <= MOST_SHARDS:
            raise ValueError("shards must be a whole number from 1 to %d, not %r." % (MOST_SHARDS, shards))
        if "db" in self.connection_kwargs:
            raise ValueError("connection_kwargs must have no db: a Redis Cluster has only one database.")
        for name in ("prefix", "stats_prefix"):
            if set("{}") & set(getattr(self, name)):
                raise ValueError("%s must have no { or } on a Redis Cluster, where they mark the hash tag." % name)
        self._tags = slot_tags(shards)
        hosts = [("localhost", 6379)] if hosts is None else check_list("hosts", hosts)
        if not hosts:
            raise ValueError("hosts must have at least one node.")
        if isinstance(hosts[0], RedisCluster) and len(hosts) == 1:
            return self._setup_client(hosts[0])
        addresses, options = [], dict(self.connection_kwargs)
        described = [self._setup_host(host, addresses, options) for host in hosts]
        self._check_options(options)
        self._setup_nodes(addresses, lambda: RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in addresses], **connect_options(options)
        ))
        return described

    def _check_options(self, options):
        of_cluster = inspect.signature(RedisCluster.__init__).parameters  # novm: Python 2 has no RedisCluster
        of_connections = {name: value for name, value in options.items() if name not in of_cluster}
        client_for_address("localhost", 6379, of_connections)  # ValueError if redis-py does not have one
        self.check_timeout(options)

    def _setup_nodes(self, addresses, make, options=dict):
        self._nodes = PerProcess(lambda: Nodes(addresses, make, options), lambda nodes: None)

    def _setup_client(self, cluster):
        """Use a site's own client, and return the URLs of its nodes."""
        options = cluster.get_connection_kwargs()
        check_client_options(options)
        self.check_timeout(options)
        addresses = [(node.host, node.port) for node in cluster.nodes_manager.startup_nodes.values()]
        self._setup_nodes(addresses, lambda: cluster, site_options)
        return [url_of(*address) for address in addresses]

    def _setup_host(self, host, addresses, options):
        """Return the URL of one of ``hosts``. Add its address to ``addresses``, and the rest of it to ``options``."""
        if isinstance(host, six.string_types):
            found = self._parse_url(host)
            addresses.append((found.pop("host"), found.pop("port")))
            for name, value in found.items():
                options.setdefault(name, value)
            return host
        if is_client(host) or isinstance(host, RedisCluster):
            raise ValueError("A redis-py client in hosts must be a RedisCluster, and the only item.")
        addresses.append(check_address("host that is not a URL", host))
        return url_of(*addresses[-1])

    def _parse_url(self, url):
        """Return the options in ``url``."""
        scheme, options = parse_url(url)
        shown = without_password(url)
        if scheme == "unix" or options.pop("db", 0):
            raise ValueError("%s must be a redis:// or rediss:// URL without a database, as a cluster has one." % shown)
        check_tls(shown, options, scheme == "rediss", "write rediss://")
        return dict(options, ssl=True) if scheme == "rediss" else options

    @property
    def ring_size(self):
        return len(self._tags)

    def tag(self, index):
        return "{%s}" % self._tags[index]

    def names_of_shards(self):
        return self._tags  # any of the nodes may be named in hosts

    def place(self, index):
        return Slot(self._nodes, self.prefix + self.tag(index))
