"""The layer over servers that Redis Sentinel watches."""
from __future__ import unicode_literals

import redis
import six
from redis.exceptions import ConnectionError, RedisError, TimeoutError
from redis.sentinel import Sentinel, SentinelConnectionPool

from .checks import check_address, check_list, check_positive
from .connections import REDIS_PY, connect_options, is_outage
from .core import BaseRedisChannelLayer
from .waiting import monotonic

#: Seconds that a Sentinel may take to answer, unless ``sentinel_kwargs`` say otherwise, before the next is asked.
SENTINEL_TIMEOUT = 2


#: A master that takes so many seconds to answer may have stood still, and been replaced: for some seconds from then,
#: the Sentinels are asked once a second. It does not know itself until they tell it, up to ten seconds later.
SLOW = 0.5
DOUBT_FOR = 15
DOUBT_INTERVAL = 1


class SentinelPool(SentinelConnectionPool):
    """The connections to one service."""

    def disconnect(self, inuse_connections=False):
        """
        Close the connections that are not in use, for the master has changed.

        redis-py 2 would close those that other threads use, too. They fail when they are used the next time.
        """
        if REDIS_PY >= (3, 0):
            return super(SentinelPool, self).disconnect(inuse_connections)
        for connection in list(self._available_connections):
            connection.disconnect()


class RedisSentinelChannelLayer(BaseRedisChannelLayer):
    """
    A channel layer whose shards are services of one group of Sentinels; each message goes to the service's master.

    ``hosts``: the Sentinels, a list of (host, port) pairs; ``[("localhost", 26379)]``. ``services``: names of the
    services, a list in the same order in all processes; all that the Sentinels know, sorted by name, if None.
    ``sentinel_refresh_interval``: seconds after which the Sentinels are asked again who the masters are; 0: only when
    a connection is made, or fails. ``sentinel_kwargs``: keyword arguments for the connections to the Sentinels, as
    their password; ``connection_kwargs`` are for those to the servers. The others are those of
    ``BaseRedisChannelLayer``.
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
        services=None,
        sentinel_refresh_interval=0,
        sentinel_kwargs=None,
        **options
    ):
        self._services = None if services is None else self._check_services(services)
        if sentinel_refresh_interval:
            check_positive("sentinel_refresh_interval", sentinel_refresh_interval)
        self.sentinel_refresh_interval = sentinel_refresh_interval
        self._sentinel_kwargs = sentinel_kwargs
        self._clients = {}
        self._refreshed = {}
        self._doubted = {}
        super(RedisSentinelChannelLayer, self).__init__(
            expiry, hosts, prefix, group_expiry, capacity, channel_capacity, symmetric_encryption_keys, stats_prefix,
            connection_kwargs, **options
        )

    def _check_services(self, services):
        services = check_list("services", services)
        if not services or not all(isinstance(service, six.string_types) for service in services):
            raise ValueError("services must be a list of names, at least one.")
        return services

    def _setup_hosts(self, hosts):
        hosts = [("localhost", 26379)] if hosts is None else check_list("hosts", hosts)
        if not hosts:
            raise ValueError("hosts must have at least one Sentinel.")
        hosts = [check_address("Sentinel", host) for host in hosts]
        sentinel_kwargs = dict({"socket_timeout": SENTINEL_TIMEOUT}, **(self._sentinel_kwargs or {}))
        self._sentinel = Sentinel(
            hosts, sentinel_kwargs=connect_options(sentinel_kwargs), **connect_options(self.connection_kwargs)
        )
        return hosts

    def _describe_hosts(self):
        return self.hosts

    @property
    def services(self):
        """The names of the services, in the order of the shards. The Sentinels are asked once, if it was not given."""
        if self._services is None:
            self._services = sorted(self._known_services())
        return self._services

    def _known_services(self):
        for sentinel in self._sentinel.sentinels:
            try:
                return list(sentinel.sentinel_masters())
            except RedisError as error:
                if not is_outage(error):  # as a wrong password
                    raise
        raise ConnectionError("No Sentinel answers: %s" % ", ".join("%s:%d" % host for host in self.hosts))

    def _receive_blocking(self, channels, waiter):
        # Without services that are named here, the Sentinels must be asked which shards there are: they may be away.
        while self._services is None and not waiter.stopped:
            try:
                self._services = sorted(self._known_services())
            except RedisError as error:
                self._note_failure("list", error)
                with waiter:
                    waiter.sleep(self._outages.pause("list"))
            else:
                self._outages.end("list")
        return super(RedisSentinelChannelLayer, self)._receive_blocking(channels, waiter)

    @property
    def ring_size(self):
        return len(self.services)

    def connection(self, index):
        index = self._check_index(index)
        if index not in self._clients:
            # Of two threads that come here at once, both get the client of one.
            client = self._sentinel.master_for(
                self.services[index], redis_class=redis.StrictRedis, connection_pool_class=SentinelPool
            )
            self._clients.setdefault(index, client)
        self._refresh(index)
        return self._clients[index]

    def _call(self, index, *command):
        begun = monotonic()
        try:
            return super(RedisSentinelChannelLayer, self)._call(index, *command)
        finally:
            if monotonic() - begun > SLOW:
                self._doubted[index] = monotonic()

    def _refresh_interval(self, index):
        """Seconds between two times that the Sentinels are asked; 0 where they are not."""
        if index in self._doubted:
            if monotonic() - self._doubted[index] < DOUBT_FOR:
                return min(self.sentinel_refresh_interval or DOUBT_INTERVAL, DOUBT_INTERVAL)
            self._doubted.pop(index, None)
        return self.sentinel_refresh_interval

    def _refresh(self, index):
        """Ask the Sentinels who the master is, where that is due; connections to another are closed."""
        interval = self._refresh_interval(index)
        if interval and monotonic() - self._refreshed.get(index, float("-inf")) >= interval:
            self._refreshed[index] = monotonic()
            try:
                self._clients[index].connection_pool.get_master_address()
            except (ConnectionError, TimeoutError):
                pass  # the master that is known may do without its Sentinels
