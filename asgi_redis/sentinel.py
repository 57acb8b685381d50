"""The layer over servers that Redis Sentinel watches."""
from __future__ import unicode_literals

import contextlib
import itertools

import redis
import six
from redis.exceptions import ConnectionError, RedisError, TimeoutError
from redis.sentinel import Sentinel, SentinelConnectionPool

from .checks import check_address, check_list, check_positive
from .core import BaseRedisChannelLayer
from .server.clients import REDIS_PY, client_for_address, connect_options, is_outage
from .server.options import check_options
from .server.shard import Place
from .server.times import monotonic

#: How long a Sentinel may take to reply before the next one is asked, in seconds, unless ``sentinel_kwargs`` say
#: otherwise.
SENTINEL_TIMEOUT = 2

#: How long one may take, in seconds, and only one is asked, if none named a master the last time: a call that waits for
#: it may hold up a reactor.
IMPATIENT_TIMEOUT = 1

#: Options that redis-py's ``Sentinel`` has for itself and its pools.
MANAGER_OPTIONS = ("min_other_sentinels", "force_master_ip", "check_connection")

#: A master that replied late may have been hanging, and been replaced. It does not learn of that until the Sentinels
#: tell it, up to ten seconds later. So the Sentinels are asked for DOUBT_FOR seconds, once every DOUBT_INTERVAL.
DOUBT_FOR = 15
DOUBT_INTERVAL = 1


class Sentinels(Sentinel):
    """
    redis-py's ``Sentinel``. But after a question that none of them could answer, only one is asked, each time the next
    one, until one answers.

    ``hosts``: their (host, port) pairs. ``sentinel_kwargs``, ``connection_kwargs``: as in redis-py.
    """

    def __init__(self, hosts, sentinel_kwargs, **connection_kwargs):
        super(Sentinels, self).__init__(hosts, sentinel_kwargs=sentinel_kwargs, **connection_kwargs)
        self._hosts = hosts
        sentinel_kwargs = dict(sentinel_kwargs)
        for name in ("socket_timeout", "socket_connect_timeout"):
            sentinel_kwargs[name] = min(sentinel_kwargs[name] or IMPATIENT_TIMEOUT, IMPATIENT_TIMEOUT)
        self._in_turn = itertools.cycle([
            Sentinel([host], sentinel_kwargs=sentinel_kwargs, **connection_kwargs) for host in hosts
        ])
        #: True if the last question was answered.
        self._answered = True

    @contextlib.contextmanager
    def _asking(self):
        """Yield the manager of those that are asked in this context: ``self`` for all of them."""
        try:
            yield self if self._answered else next(self._in_turn)
        except (ConnectionError, TimeoutError):
            self._answered = False
            raise
        self._answered = True

    def discover_master(self, service_name):
        with self._asking() as manager:
            return (super(Sentinels, self) if manager is self else manager).discover_master(service_name)

    def services(self):
        """Return the names of all services that the Sentinels know. redis-py's errors."""
        with self._asking() as manager:
            for sentinel in manager.sentinels:
                try:
                    return list(sentinel.sentinel_masters())
                except RedisError as error:
                    if not is_outage(error):  # for example a wrong password
                        raise
            raise ConnectionError("No Sentinel replies: %s" % ", ".join("%s:%d" % host for host in self._hosts))


class Pool(SentinelConnectionPool):
    """redis-py's, which asks the Sentinels where the master is."""

    #: (host, port) of the master, as the Sentinels said last. redis-py 2 keeps what they said first.
    last_master = None

    def get_master_address(self):
        self.last_master = super(Pool, self).get_master_address()
        return self.last_master


class Service(Place):
    """A service of the Sentinels: the server that is its master now."""

    def __init__(self, client, interval):
        super(Service, self).__init__(client)
        self._interval = interval
        self._doubt_until = 0
        self._schedule()

    def options(self, client):
        # Since redis-py 4.6, connections would ask a proxy of the pool, and last_master would stay as it was.
        pool = client.connection_pool
        return dict(pool.connection_kwargs, connection_pool=pool)

    def _schedule(self):
        now = monotonic()
        interval = self._interval or float("inf")
        if now < self._doubt_until:
            interval = min(interval, DOUBT_INTERVAL)
        self.check_at = now + interval

    def was_slow(self):
        self._doubt_until = monotonic() + DOUBT_FOR
        self.check_at = 0  # at once

    def check(self, connection):
        if monotonic() >= self.check_at:
            self._schedule()
            try:
                self._client.connection_pool.get_master_address()
            except (ConnectionError, TimeoutError):
                self._schedule()  # that took long; and the known master may work without its Sentinels
        master = self._client.connection_pool.last_master
        return master is None or (connection.host, connection.port) == master


class RedisSentinelChannelLayer(BaseRedisChannelLayer):
    """
    A channel layer whose shards are services of one Sentinel cluster; commands go to the master of a service.

    :param hosts: the Sentinels, a list of (host, port) pairs (default ``[("localhost", 26379)]``).
    :param services: the names of the services, a list in the same order in all processes (default, or if it is empty:
        all services that the Sentinels know, sorted by name).
    :param sentinel_refresh_interval: how often, in seconds, the Sentinels are asked which servers are the masters
        (default 0: only when a connection is made, or fails).
    :param sentinel_kwargs: keyword arguments for connections to the Sentinels, for example their password;
        ``connection_kwargs`` are for connections to the servers.

    The other arguments are those of ``BaseRedisChannelLayer``.
    """

    own_arguments = ("services", "sentinel_refresh_interval", "sentinel_kwargs")

    def setup_hosts(self, hosts, services=None, sentinel_refresh_interval=0, sentinel_kwargs=None):
        self._services = self._check_services(services)
        if sentinel_refresh_interval:
            check_positive("sentinel_refresh_interval", sentinel_refresh_interval)
        self.sentinel_refresh_interval = sentinel_refresh_interval
        hosts = [("localhost", 26379)] if hosts is None else check_list("hosts", hosts)
        if not hosts:
            raise ValueError("hosts must have at least one Sentinel.")
        if self.connection_kwargs.get("ssl") and REDIS_PY < (4, 1):
            raise ValueError("TLS to servers that Sentinels name needs redis-py 4.1 or newer.")
        hosts = [check_address("Sentinel", host) for host in hosts]
        sentinel_kwargs = check_options("sentinel_kwargs", sentinel_kwargs or {})
        sentinel_kwargs = dict({"socket_timeout": SENTINEL_TIMEOUT}, **sentinel_kwargs)
        for where, options in (("sentinel_kwargs", sentinel_kwargs), ("connection_kwargs", self.connection_kwargs)):
            of_connections = {name: value for name, value in options.items() if name not in MANAGER_OPTIONS}
            client_for_address("localhost", 26379, of_connections, where)  # ValueError if redis-py does not have one
        self._sentinel = Sentinels(hosts, connect_options(sentinel_kwargs), **connect_options(self.connection_kwargs))
        return hosts

    def _check_services(self, services):
        services = None if services is None else check_list("services", services)
        if services and not all(isinstance(service, six.string_types) for service in services):
            raise ValueError("services must be a list of names.")
        return services or None

    def _describe_hosts(self):
        return self.hosts

    @property
    def services(self):
        """The names of the services, in the order of the shards. If none were given, the Sentinels are asked once."""
        if self._services is None:
            self._services = sorted(self._sentinel.services())
        return self._services

    @property
    def ring_size(self):
        return len(self.services)

    def names_of_shards(self):
        return self.services

    def place(self, index):
        client = self._sentinel.master_for(
            self.services[index], redis_class=redis.StrictRedis, connection_pool_class=Pool
        )
        return Service(client, self.sentinel_refresh_interval)
