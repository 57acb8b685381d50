"""What every layer does (BaseRedisChannelLayer), and the layer over a list of servers (RedisChannelLayer)."""
from __future__ import unicode_literals

import functools
import itertools
import logging
import random

import six
from asgiref.base_layer import BaseChannelLayer

from . import scripts
from .background import BACKGROUND_EXTENSIONS
from .checks import check_address, check_list, check_positive, check_text
from .codec import BadMessage, Codec, make_fernet
from .connections import client_for_address, client_for_url, url_of, without_password
from .groups import Groups
from .losses import Losses
from .names import Names, random_text
from .receiving import Receiving
from .scripts import UnsupportedRedis  # noqa: F401, other code imports it from here
from .shards import SENDER_MS, Shards
from .statistics import Statistics

logger = logging.getLogger(__name__)

#: Where a message on a process-specific channel carries the full name of the channel.
FULL_NAME = "__asgi_channel__"

#: Bytes of the longest string that Redis takes.
LARGEST_BODY = 512 * 1024 * 1024


class BaseRedisChannelLayer(Names, Shards, Receiving, Groups, Statistics, BaseChannelLayer):
    """
    A channel layer of the ASGI draft specification on Redis. A sibling says where the shards are.

    ``expiry``: seconds that a message waits to be received, 60. ``group_expiry``: seconds that a channel stays a member
    of a group, 86400. ``capacity``: messages that a channel holds, 100. ``channel_capacity``: a dict of other
    capacities, by channel name, glob, or compiled regular expression; the first match counts.
    ``prefix``, ``stats_prefix``: what the keys of messages and of statistics begin with in Redis.
    ``symmetric_encryption_keys``: a list of texts; the first encrypts, all decrypt.
    ``connection_kwargs``: keyword arguments for redis-py's connections. ``reconnect_timeout``: seconds that a blocking
    receive tries to reach a server that is away, 60. ``max_message_size``: bytes that a message may have once it is
    packed, and encrypted; None: 512 MB, which is what Redis can hold.

    ValueError and TypeError say which argument is wrong. Nothing connects before the first call.
    """

    extensions = ["groups", "flush", "statistics"] + BACKGROUND_EXTENSIONS

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
        reconnect_timeout=60,
        max_message_size=None,
    ):
        check_positive("expiry", expiry, least=0.001)
        check_positive("group_expiry", group_expiry)
        check_positive("capacity", capacity)
        check_positive("reconnect_timeout", reconnect_timeout)
        check_positive("max_message_size", LARGEST_BODY if max_message_size is None else max_message_size)
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
        self._sent = itertools.count(1)
        self._losses = Losses()
        self.max_message_size = max_message_size
        self._setup_receiving(reconnect_timeout)

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
        return "%s(hosts=%s)" % (type(self).__name__, self._describe_hosts())

    __repr__ = __str__

    def _describe_hosts(self):
        """``self.hosts`` without what is secret."""
        return [without_password(host) for host in self.hosts]

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

    def _body(self, message, where, names=None):
        """
        The body of ``message``. ``names``: the process-specific channel that it is for, or a list of several of one
        process. TypeError names ``where`` it was to go if it can't be packed.
        """
        if names is not None:
            message = dict(message)
            message[FULL_NAME] = names
        try:
            return self.serialize(message)
        except TypeError as error:
            six.raise_from(TypeError("The message for %s can't be packed: %s." % (where, error)), None)

    def _check_size(self, body, where):
        largest = self.max_message_size or LARGEST_BODY
        if len(body) > largest:
            raise self.MessageTooLarge("A message for %s has %d bytes; %d are the most." % (where, len(body), largest))

    def _open(self, queue, body):
        """
        (channel, message) for a body from ``queue``, or None where it is no message.

        Of a batch, the first; the others wait in memory.
        """
        try:
            message = self.deserialize(body)
            names = message.pop(FULL_NAME, queue)
            names = names if isinstance(names, list) else [names]
            if not names or not all(self._is_for(queue, name) for name in names):
                raise BadMessage("it is for another channel")
        except Exception as error:  # whatever a subclass raises: the reader must go on
            reason = error if isinstance(error, BadMessage) else type(error).__name__
            logger.error("Dropped a message on %s: %s.", queue, reason)
            return None
        if len(names) > 1:
            self._hold(queue, names[1:], self._copier(body))
        return names[0], message

    def _copier(self, body):
        """A function that makes the message in ``body``, each time anew; it is decrypted only once."""
        make = functools.partial(self.deserialize, body)
        if self.crypter and self._is_own("deserialize"):
            make = functools.partial(self.codec.unpack, self.codec.decrypt(body))

        def copy():
            message = make()
            del message[FULL_NAME]
            return message

        return copy

    def _is_own(self, method):
        """Whether no subclass has its own ``method``."""
        return getattr(type(self), method) == getattr(BaseRedisChannelLayer, method)

    def _is_for(self, queue, name):
        return isinstance(name, six.text_type) and self.non_local_name(name) == queue

    # ASGI API.

    def send(self, channel, message):
        """
        Send ``message``, a dict of what msgpack packs, to ``channel``.

        Raises ``ChannelFull`` where the channel holds its capacity, ``MessageTooLarge`` above ``max_message_size``,
        TypeError or ValueError for a bad name or message, redis-py's errors where Redis refuses, or can't be reached
        for a second.
        """
        self.valid_channel_name(channel)
        self._check_message(message)
        body = self._body(message, channel, channel if "!" in channel else None)
        self._check_size(body, channel)
        queue = self.non_local_name(channel)
        places = self._places(queue)
        for place in places:
            if self._send(queue, body, place, 1 if place is places[-1] else 0):
                return
        raise self.ChannelFull("%s holds %s messages, its capacity." % (queue, self.get_capacity(queue)))

    def _send(self, queue, body, place, count_full):
        """Put ``body`` in ``queue`` on one shard: 1, or 0 where that holds its share of the capacity."""
        index, capacity = place
        keys = [self._key(index, queue), self._sender_key(index)] + self._message_keys(index, 1)
        for counter in (self.STAT_MESSAGES_COUNT, self.STAT_CHANNEL_FULL):
            keys += [self._counter_key(index, queue, counter), self._counter_key(index, self.ALL_CHANNELS, counter)]
        keys.append(self._notes_key(index, keys[0]))
        return self._insist(index, scripts.send, keys, [
            body, self._message_ms, self._queue_ms, capacity, count_full,
            self.channel_statistics_expiry, self.global_statistics_expiry, SENDER_MS,
            next(self._sent),
        ])


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
        **options
    ):
        if (host, port, db) != (None, None, None):
            if hosts is not None:
                raise ValueError("host, port and db are short for one server: they can't be given together with hosts.")
            hosts = [(host or "localhost", port or 6379)]
            if db is not None:
                connection_kwargs = dict(connection_kwargs or {}, db=db)
        super(RedisChannelLayer, self).__init__(
            expiry, hosts, prefix, group_expiry, capacity, channel_capacity, symmetric_encryption_keys, stats_prefix,
            connection_kwargs, **options
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
        name, port = check_address("host, if no URL,", host)
        self._clients.append(client_for_address(name, port, self.connection_kwargs))
        return url_of(name, port, self.connection_kwargs.get("db") or 0)

    @property
    def ring_size(self):
        return len(self._clients)

    def connection(self, index):
        return self._clients[self._check_index(index)]
