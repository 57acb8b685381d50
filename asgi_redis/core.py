"""What every layer does (BaseRedisChannelLayer), and the layer over a list of servers (RedisChannelLayer)."""
from __future__ import unicode_literals

import itertools
import logging
import random
import time

import six
from asgiref.base_layer import BaseChannelLayer

from . import scripts
from .checks import check_list, check_positive, check_text
from .codec import BadMessage, Codec, make_fernet
from .connections import client_for_address, client_for_url, url_of, without_password
from .groups import Groups
from .names import Names, random_text
from .scripts import UnsupportedRedis  # noqa: F401, other code imports it from here
from .shards import Shards
from .statistics import Statistics
from .waiting import Sweep, first_message, monotonic


logger = logging.getLogger(__name__)

#: Where a message on a process-specific channel carries the full name of the channel.
FULL_NAME = "__asgi_channel__"

#: How many expired messages one run of a script drops at the most: about a millisecond's work.
DROPPED_AT_ONCE = 1000

#: Seconds between two looks at several shards, where a server before Redis 5 makes it impossible to wait on all.
SWEEP_PAUSE = 0.02


class BaseRedisChannelLayer(Names, Shards, Groups, Statistics, BaseChannelLayer):
    """
    A channel layer of the ASGI draft specification on Redis. A sibling says where the shards are.

    ``expiry``: seconds that a message waits to be received, 60. ``group_expiry``: seconds that a channel stays a member
    of a group, 86400. ``capacity``: messages that a channel holds, 100. ``channel_capacity``: a dict of other
    capacities, by channel name, glob, or compiled regular expression; the first match counts.
    ``prefix``, ``stats_prefix``: what the keys of messages and of statistics begin with in Redis.
    ``symmetric_encryption_keys``: a list of texts; the first encrypts, all decrypt.
    ``connection_kwargs``: keyword arguments for redis-py's connections.

    ValueError and TypeError say which argument is wrong. Nothing connects before the first call.
    """

    extensions = ["groups", "flush", "statistics"]

    #: Seconds that a blocking ``receive`` waits before it returns nothing.
    blpop_timeout = 5

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
    ):
        check_positive("expiry", expiry, least=0.001)
        check_positive("group_expiry", group_expiry)
        check_positive("capacity", capacity)
        super(BaseRedisChannelLayer, self).__init__(expiry, group_expiry, capacity, channel_capacity)
        check_text("prefix", prefix)
        check_text("stats_prefix", stats_prefix)
        self.prefix = prefix
        self.stats_prefix = stats_prefix
        self.client_prefix = random_text(8)
        self.connection_kwargs = self._check_connection_kwargs(connection_kwargs)
        self.codec = Codec(self._check_keys(symmetric_encryption_keys), expiry + 10)
        self.hosts = self._setup_hosts(hosts)
        self._turn = itertools.count(random.randrange(4096))

    def _check_connection_kwargs(self, connection_kwargs):
        options = dict(connection_kwargs or {})
        timeout = options.get("socket_timeout")
        if timeout is not None and timeout < self.blpop_timeout:
            raise ValueError(
                "socket_timeout must be at least %s seconds, the longest wait of a blocking receive, not %r."
                % (self.blpop_timeout, timeout)
            )
        if options.get("decode_responses"):
            raise ValueError("decode_responses must be off: messages are bytes.")
        return options

    def _check_keys(self, keys):
        return keys if keys is None else check_list("symmetric_encryption_keys", keys)

    def __str__(self):
        return "%s(hosts=%s)" % (type(self).__name__, [without_password(host) for host in self.hosts])

    __repr__ = __str__

    # Bodies.

    @property
    def crypter(self):
        """The ``MultiFernet`` that encrypts and decrypts, or None."""
        return self.codec.crypter

    def make_fernet(self, key):
        """The Fernet for one of ``symmetric_encryption_keys``."""
        return make_fernet(key)

    def serialize(self, message):
        """The body of a message: bytes. A subclass may override it, with ``deserialize``."""
        return self.codec.encode(message)

    def deserialize(self, message):
        """The dict in a body. What is raised here drops the message, with an ERROR in the log."""
        return self.codec.decode(message)

    def _check_message(self, message):
        if not isinstance(message, dict):
            raise TypeError("A message must be a dict, not %s." % type(message).__name__)
        if FULL_NAME in message:
            raise ValueError("A message must not have the key %s: the layer uses it." % FULL_NAME)

    def _body(self, channel, message):
        """The body of ``message`` for ``channel``. TypeError names the channel where it can't be packed."""
        if "!" in channel:
            message = dict(message)
            message[FULL_NAME] = channel
        try:
            return self.serialize(message)
        except TypeError as error:
            six.raise_from(TypeError("The message for %s can't be packed: %s." % (channel, error)), None)

    def _open(self, queue, body):
        """(channel, message) for a body from ``queue``, or None where it is no message."""
        try:
            message = self.deserialize(body)
            channel = message.pop(FULL_NAME, queue)
            if not isinstance(channel, six.text_type) or self.non_local_name(channel) != queue:
                raise BadMessage("it is for another channel")
        except Exception as error:  # whatever a subclass raises: the reader must go on
            reason = error if isinstance(error, BadMessage) else type(error).__name__
            logger.error("Dropped a message on %s: %s.", queue, reason)
            return None
        return channel, message

    # ASGI API.

    def send(self, channel, message):
        """
        Send ``message``, a dict of what msgpack packs, to ``channel``.

        Raises ``ChannelFull`` where the channel holds its capacity, TypeError or ValueError for a bad name or message,
        redis-py's errors where Redis can't be reached or refuses.
        """
        self.valid_channel_name(channel)
        self._check_message(message)
        body = self._body(channel, message)
        queue = self.non_local_name(channel)
        shards = self._shards(queue)
        for index in shards:
            if self._send(index, queue, body, 1 if index == shards[-1] else 0):
                return
        raise self.ChannelFull("%s holds %s messages, its capacity." % (queue, self.get_capacity(queue)))

    def _send(self, index, queue, body, count_full):
        """Put ``body`` in ``queue`` on one shard: 1, or 0 where its share is full."""
        keys = [self._key(index, queue)] + self._message_keys(index, 1)
        for counter in (self.STAT_MESSAGES_COUNT, self.STAT_CHANNEL_FULL):
            keys += [self._counter_key(index, queue, counter), self._counter_key(index, self.ALL_CHANNELS, counter)]
        return self._run(index, scripts.send, keys, [
            body, self._message_ms, self._queue_ms, self._share(queue, index), count_full,
            self.channel_statistics_expiry, self.global_statistics_expiry,
        ])

    def receive(self, channels, block=False):
        """
        Take one message from any of ``channels``, a list of names; of a process-specific channel, the name up to ``!``.

        Looks at all shards. ``block``: waits for a message, up to ``blpop_timeout`` seconds.

        Returns (channel, message), or (None, None).
        """
        queues = self._queues_by_shard(self._receivable(channels))
        deadline = monotonic() + self.blpop_timeout
        found = self._take(queues)
        while block and not found and monotonic() < deadline:
            found = self._wait(queues, deadline - monotonic())
        return found or (None, None)

    def _queues_by_shard(self, channels):
        """{shard: [queue, ...]} of all queues that may hold messages for ``channels``."""
        queues = {}
        for channel in channels:
            for index in self._shards(channel):
                queues.setdefault(index, []).append(channel)
        return queues

    def _take(self, queues):
        """(channel, message) from one of ``queues``, or None. Shuffled: a busy one must never starve a quiet one."""
        shards = list(queues)
        random.shuffle(shards)
        for index in shards:
            found = self._take_from_shard(index, random.sample(queues[index], len(queues[index])))
            if found:
                return found
        return None

    def _take_from_shard(self, index, queues):
        keys = [self._key(index, queue) for queue in queues]
        while True:
            answer = self._run(index, scripts.receive, keys, [DROPPED_AT_ONCE])
            if answer is None:
                return None
            if len(answer) == 2:
                found = self._open(queues[answer[0] - 1], answer[1])
                if found:
                    return found

    def _wait(self, queues, seconds):
        """Wait until one of ``queues`` has a message. (channel, message), or None for nothing, or nothing usable."""
        shards = list(queues)
        names = {self._key(index, name).encode("utf-8"): name for index in shards for name in queues[index]}
        waits = [(self.connection(index), [self._key(index, name) for name in queues[index]]) for index in shards]
        try:
            popped = first_message(waits, seconds, lambda place, *keys: self._restore(shards[place], *keys))
        except Sweep:
            time.sleep(SWEEP_PAUSE)
            return self._take(queues)
        if popped is None:
            return None
        place, queue_key, message_key = popped
        body = self._run(shards[place], scripts.read, [message_key], [])
        return None if body is None else self._open(names[queue_key], body)

    def _restore(self, index, queue_key, message_key):
        """Put a message key back to the head of its queue."""
        self._run(index, scripts.restore, [queue_key, message_key], [self._queue_ms])


class RedisChannelLayer(BaseRedisChannelLayer):
    """
    A channel layer over one Redis server, or several that share the messages (shards).

    ``hosts``: a list of ``redis://``, ``rediss://`` and ``unix://`` URLs, with user, password and database in them, or
    of (host, port) pairs; ``[("localhost", 6379)]``. The order matters: all processes must have the same.
    ``host``, ``port``, ``db``: short for one server. The other arguments are those of ``BaseRedisChannelLayer``.
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
        host=None,
        port=None,
        db=None,
    ):
        if (host, port, db) != (None, None, None):
            if hosts is not None:
                raise ValueError("host, port and db are short for one server: they can't be given together with hosts.")
            hosts = [(host or "localhost", port or 6379)]
            connection_kwargs = dict(connection_kwargs or {}, db=db or 0)
        super(RedisChannelLayer, self).__init__(
            expiry, hosts, prefix, group_expiry, capacity, channel_capacity, symmetric_encryption_keys, stats_prefix,
            connection_kwargs,
        )

    def _setup_hosts(self, hosts):
        hosts = [("localhost", 6379)] if hosts is None else check_list("hosts", hosts)
        if not hosts:
            raise ValueError("hosts must have at least one server.")
        self._clients = []
        return [self._setup_host(host) for host in hosts]

    def _setup_host(self, host):
        """The URL of one of ``hosts``, after its client is made."""
        if isinstance(host, six.string_types):
            self._clients.append(client_for_url(host, self.connection_kwargs))
            return host
        if not isinstance(host, (list, tuple)) or len(host) != 2:
            raise ValueError("A host must be a URL or a (host, port) pair, not %s." % type(host).__name__)
        name, port = host[0], int(host[1])
        self._clients.append(client_for_address(name, port, self.connection_kwargs))
        return url_of(name, port, self.connection_kwargs.get("db") or 0)

    @property
    def ring_size(self):
        return len(self._clients)

    def connection(self, index):
        return self._clients[self._check_index(index)]
