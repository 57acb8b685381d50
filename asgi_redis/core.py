"""What every layer does (BaseRedisChannelLayer), and the layer over a list of servers (RedisChannelLayer)."""
from __future__ import unicode_literals

import hashlib
import logging
import re

import six
from redis.exceptions import RedisError

from .base_layer import BaseChannelLayer
from .checks import check_address, check_capacities, check_list, check_positive, check_text
from .codec import Codec, make_fernet
from .delivery import statistics
from .delivery.background import BACKGROUND_EXTENSIONS, Background
from .delivery.envelope import LARGEST_BODY, Envelope
from .delivery.groups import Groups
from .delivery.inbox import Inbox
from .delivery.losses import Losses, refused_messages
from .delivery.pops import OpenPops
from .delivery.presence import Presence
from .delivery.receiver import Receiver
from .delivery.sender import Sender
from .names import Names, random_text
from .server.breaker import copied
from .server.clients import (
    check_client_options,
    client_for_address,
    client_for_url,
    is_client,
    is_outage,
    url_of_client,
)
from .server.forks import PerProcess
from .server.keys import DEFAULT_PREFIX, DEFAULT_STATS_PREFIX, Keys
from .server.options import check_options
from .server.shard import OwnClient, Place, Shard, UnsupportedRedis  # noqa: F401, other code imports the last
from .server.shards import Shards
from .server.times import SOCKET_TIMEOUT
from .server.urls import without_password
from .server.waiting import abandon_waits

logger = logging.getLogger(__name__)


class Parts(object):
    """
    The objects that a layer consists of in one process; a forked child has its own.

    ``layer``: the layer. The parts do not use it themselves: they get what they need in their constructors.
    """

    def __init__(self, layer):
        counter_lives = layer.channel_statistics_expiry, layer.global_statistics_expiry
        self.shards = Shards(lambda: layer.ring_size, layer.make_shard)
        self.inbox = Inbox()
        self.pops = OpenPops()
        self.losses = Losses(counter_lives)
        envelope = self.envelope = Envelope(
            layer.codec, layer.serialize, layer.deserialize,
            layer.has_own("serialize") and layer.has_own("deserialize"), layer.max_message_size, layer.MessageTooLarge,
        )
        #: The layer's ``on_send`` if a subclass overrides it, else None.
        self.on_send = None if layer.has_own("on_send") else layer.on_send
        self.sender = Sender(self.shards, counter_lives)
        self.receiver = Receiver(
            self.shards, self.inbox, self.pops, envelope, self.losses, Presence(layer.describe), layer.non_local_name,
            lambda: layer.blpop_timeout, layer.reconnect_timeout,
        )
        self.groups = Groups(
            self.shards, self.sender, envelope, self.losses, lambda: layer.group_expiry, counter_lives,
            layer.get_capacity, self.on_send,
        )
        self.statistics = statistics.Statistics(self.shards)
        self.background = Background(self.receiver, self.inbox, layer.receive_blocking, layer.return_message)

    def leave(self):
        """In a forked child: leave all connections to the parent."""
        for shard in self.shards.made():
            shard.abandon()
        abandon_waits()


class BaseRedisChannelLayer(Names, BaseChannelLayer):
    """
    A channel layer of the ASGI draft specification, on Redis. Subclasses define where the shards are.

    :param expiry: how long a message waits to be received, in seconds (default 60).
    :param hosts: the servers; see the subclass.
    :param prefix: the beginning of the keys of messages and groups in Redis (default ``"asgi:"``).
    :param group_expiry: how long a channel stays a member of a group, in seconds (default 86400).
    :param capacity: how many messages a channel holds (default 100).
    :param channel_capacity: capacities of certain channels: a dict whose keys are channel names, globs, or compiled
        regular expressions. The first match counts.
    :param symmetric_encryption_keys: a list of texts; the first encrypts, all decrypt (default: no encryption).
    :param stats_prefix: the beginning of the keys of statistics (default ``"asgi-meta:"``).
    :param connection_kwargs: keyword arguments for redis-py's connections.
    :param reconnect_timeout: how long a shard may be unavailable before a blocking receive raises redis-py's error, in
        seconds (default None: it never does).
    :param max_message_size: how many bytes a message may have after packing and encryption (default 512 MB, the most
        that Redis can store in a key).

    A wrong argument raises a ValueError or TypeError that names it. No connection is made before the first call.
    """

    extensions = ["groups", "flush", "statistics"] + BACKGROUND_EXTENSIONS

    STAT_MESSAGES_COUNT = "messages_count"
    STAT_MESSAGES_PENDING = "messages_pending"
    STAT_MESSAGES_MAX_AGE = "messages_max_age"
    STAT_CHANNEL_FULL = "channel_full_count"

    #: How long a counter lives after its last change, in seconds, to the minute.
    channel_statistics_expiry = 3600
    global_statistics_expiry = 86400

    #: How long a blocking ``receive`` waits before it returns nothing, in seconds.
    blpop_timeout = 5

    #: The arguments that a subclass has after those of ``__init__``, in order. They are passed to ``setup_hosts``.
    own_arguments = ()

    def __init__(
        self,
        expiry=60,
        hosts=None,
        prefix=DEFAULT_PREFIX,
        group_expiry=86400,
        capacity=100,
        channel_capacity=None,
        symmetric_encryption_keys=None,
        stats_prefix=DEFAULT_STATS_PREFIX,
        connection_kwargs=None,
        *own,
        **options
    ):
        if len(own) > len(self.own_arguments):
            raise TypeError("%s takes at most %d arguments." % (type(self).__name__, 9 + len(self.own_arguments)))
        own = dict(zip(self.own_arguments, own))
        reconnect_timeout = options.pop("reconnect_timeout", None)
        max_message_size = options.pop("max_message_size", None)
        for name in options:
            if name in own or name not in self.own_arguments:
                raise TypeError("%s got an unexpected argument %r." % (type(self).__name__, str(name)))
        own.update(options)
        check_positive("expiry", expiry, least=0.001)
        check_positive("group_expiry", group_expiry)
        check_positive("capacity", capacity)
        check_capacities("channel_capacity", channel_capacity or {})
        if reconnect_timeout is not None:
            check_positive("reconnect_timeout", reconnect_timeout)
        check_positive("max_message_size", LARGEST_BODY if max_message_size is None else max_message_size)
        super(BaseRedisChannelLayer, self).__init__(expiry, group_expiry, capacity, channel_capacity)
        check_text("prefix", prefix)
        check_text("stats_prefix", stats_prefix)
        self.prefix = prefix
        self.stats_prefix = stats_prefix
        statistics.log_if_shared(prefix, stats_prefix)
        self.client_prefix = random_text(8)
        self.connection_kwargs = self._check_connection_kwargs(connection_kwargs)
        self.codec = Codec(self._check_keys(symmetric_encryption_keys), expiry + 10)
        self.reconnect_timeout = reconnect_timeout
        self.max_message_size = max_message_size
        #: {redis-py's class of an error: the class that is also ChannelFull}.
        self._refusals = {}
        self._parts_of_process = PerProcess(lambda: Parts(self), Parts.leave)
        self.hosts = self.setup_hosts(hosts, **own)

    def _check_connection_kwargs(self, connection_kwargs):
        options = check_options("connection_kwargs", connection_kwargs or {})
        self.check_timeout(options)
        return options

    def check_timeout(self, options):
        """Raise ValueError if connections with these keyword arguments can't wait as long as a blocking receive."""
        timeout = options.get("socket_timeout")
        # The default suits longer waits too: a blocking receive does not depend on it.
        if timeout not in (None, SOCKET_TIMEOUT) and timeout < self.blpop_timeout:
            raise ValueError(
                "socket_timeout must be at least %s seconds, the longest wait of a blocking receive, not %r."
                % (self.blpop_timeout, timeout)
            )

    def _check_keys(self, keys):
        return keys if keys is None else check_list("symmetric_encryption_keys", keys)

    @property
    def _parts(self):
        return self._parts_of_process.get()

    def has_own(self, method):
        """Return True if no subclass overrides ``method``."""
        return getattr(type(self), method) == getattr(BaseRedisChannelLayer, method)

    def __str__(self):
        return "%s(hosts=%s)" % (type(self).__name__, self._describe_hosts())

    __repr__ = __str__

    def _describe_hosts(self):
        """Return ``self.hosts`` without passwords. What is no URL describes a client."""
        return [without_password(host) if "://" in host else host for host in self.hosts]

    def describe(self):
        """Return what other processes may know of this layer, a dict of texts and numbers."""
        from . import __version__  # which imports this module

        hosts = hashlib.sha256("\n".join(self.names_of_shards()).encode("utf-8")).hexdigest()
        return {
            "release": __version__, "layer": type(self).__name__, "shards": len(self._parts.shards), "hosts": hosts[:6],
            "origins": [shard.first_origin.decode("ascii")[:6] for shard in self._parts.shards.all()],
            "stats_prefix": self.stats_prefix, "keys": self.codec.fingerprints, "capacity": self.capacity,
            "expiry": self.expiry,
        }

    # Where the shards are: subclasses say that.

    def setup_hosts(self, hosts):
        """Check ``hosts`` and the subclass's own arguments, and return the value of ``self.hosts``."""
        raise NotImplementedError()

    @property
    def ring_size(self):
        """The number of shards."""
        raise NotImplementedError()

    def place(self, index):
        """Return the ``Place`` of shard ``index``."""
        raise NotImplementedError()

    def tag(self, index):
        """Return the text that follows the prefixes in the keys of shard ``index``."""
        return ""

    def names_of_shards(self):
        """Return what tells these shards from those of another layer, a list of texts without users and passwords."""
        return [re.sub("//.*@", "//", "%s" % host) for host in self._describe_hosts()]

    def make_shard(self, index, count):
        keys = Keys(self.prefix, self.stats_prefix, self.expiry, self.tag(index))
        return Shard(index, count, keys, self.place(index))

    def connection(self, index):
        """
        Return a redis-py client for shard ``index``, or for a random one if ``index`` is None.

        ValueError if there is no such shard.
        """
        shards = self._parts.shards
        if index is None:
            index = self.random_index()
        if not isinstance(index, six.integer_types) or not 0 <= index < len(shards):
            raise ValueError("There is no shard %r: there are %d, counted from 0." % (index, len(shards)))
        return shards[index].place.client()

    def random_index(self):
        """Return the index of a random shard."""
        return self._parts.shards.random_number()

    def consistent_hash(self, value):
        """Return the index of the shard for ``value``, a channel or group name. It is the same in all processes."""
        return self._parts.shards.number_for(six.ensure_binary(value))

    # Bodies.

    @property
    def crypter(self):
        """The ``MultiFernet`` that encrypts and decrypts, or None."""
        return self.codec.crypter

    def make_fernet(self, key):
        """Return the Fernet for one of ``symmetric_encryption_keys``."""
        return make_fernet(key)

    def serialize(self, message):
        """Return the body of a message, as bytes. A subclass may override this, along with ``deserialize``."""
        return self.codec.encode(message)

    def deserialize(self, message):
        """Return the message in a body. An exception raised here drops the message, with an ERROR in the log."""
        return self.codec.decode(message)

    # The specification's methods.

    def send(self, channel, message):
        """
        Send a message to a channel.

        ``message``: a dict of values that msgpack can pack.

        Raises ``ChannelFull`` if the channel already holds its capacity, ``MessageTooLarge`` if the message is larger
        than ``max_message_size``, TypeError or ValueError for a bad name or message, and redis-py's error if Redis
        refuses the message or is unavailable. If Redis is unavailable, and the message certainly was not sent, that
        error is also a ``ChannelFull``.
        """
        parts = self._parts
        self.valid_channel_name(channel)
        parts.envelope.check(message)
        body = parts.envelope.seal(message, channel, channel if "!" in channel else None)
        if parts.on_send is not None:
            parts.on_send(channel, message)
        queue = self.non_local_name(channel)
        capacity = self.get_capacity(queue)
        try:
            is_sent = parts.sender.send(queue, body, capacity)
        except RedisError as error:
            six.raise_from(self._refusal(error), None)
        if not is_sent:
            parts.losses.add({refused_messages(queue, capacity): 1})
            raise self.ChannelFull("%s holds %s messages, its capacity." % (queue, capacity))

    def on_send(self, channel, message):
        """
        Do nothing; a subclass may override this to observe messages. It must not change them.

        It is called before a message is sent: once by ``send``, and by ``send_group`` once for each member of the
        group. If it raises an exception, the caller of ``send`` or ``send_group`` gets that exception, and nothing is
        sent, not even to other members of the group. Messages are observed even if their channels then turn out to be
        full.
        """

    def _refusal(self, error):
        """
        Return the error to raise for redis-py's ``error``.

        If Redis is unavailable, and the message certainly was not sent, that is a copy which is also this layer's
        ``ChannelFull``: interface servers reply to that with 503, and workers retry.
        """
        if not is_outage(error) or getattr(error, "was_sent", True):
            return error
        kind = type(error)
        if kind not in self._refusals:
            self._refusals[kind] = type(kind.__name__, (kind, self.ChannelFull), {})
        return copied(error, kind=self._refusals[kind])

    def receive(self, channels, block=False):
        """
        Take one message from any of several channels.

        ``channels``: a list of names; for a process-specific channel, its name up to and including the ``!``.
        ``block``: wait for a message, for up to ``blpop_timeout`` seconds (default: return at once).

        Returns (channel, message), or (None, None) if there is none. If a shard is unavailable, a receive that does not
        block raises redis-py's error unless another shard has a message. One that blocks waits on the other shards, and
        returns (None, None) after ``blpop_timeout``; it raises redis-py's error only if ``reconnect_timeout`` is given,
        and the outage has lasted that long.
        """
        channels = self.receivable(channels)
        if block:
            return self.receive_blocking(channels) or (None, None)
        return self._parts.receiver.receive(channels) or (None, None)

    def receive_blocking(self, channels, waiter=None):
        """``receive`` with ``block``, which the ``stop`` of a ``Waiter`` ends early from another thread; or None."""
        return self._parts.receiver.receive_blocking(channels, waiter)

    def return_message(self, channel, message):
        """Put a message that was received, but is no longer wanted, back at the head of its queue."""
        parts, queue = self._parts, self.non_local_name(channel)
        if "!" in channel:
            parts.inbox.put_back(queue, channel, message, self.expiry)
        else:
            parts.sender.return_message(queue, parts.envelope.seal(message, channel))

    def receive_twisted(self, channels):
        """
        Return a Deferred of what ``receive(channels, block=True)`` would return or raise (the specification's extension
        "twisted").

        If it is cancelled, or the reactor stops, a message that still arrives is put back. RuntimeError without
        Twisted.
        """
        return self._parts.background.receive_twisted(lambda: self.receivable(channels))

    def receive_async(self, channels):
        """
        Return an ``asyncio.Future`` of what ``receive(channels, block=True)`` would return or raise (the
        specification's extension "async"). Must be called while an event loop is running.

        If it, or the task that awaits it, is cancelled (``asyncio.wait_for`` and ``asyncio.run`` do that), a message
        that was not handed over yet is put back. So is one that arrives after the loop has stopped; one that arrives
        in its last turn is put back when the process ends. RuntimeError without asyncio, that is, on Python 2.
        """
        return self._parts.background.receive_async(self.receivable(channels))

    # Groups.

    def group_add(self, group, channel):
        """Make ``channel`` a member of ``group`` for ``group_expiry`` seconds from now."""
        self.valid_group_name(group)
        self.valid_channel_name(channel)
        self._parts.groups.add(group, channel)

    def group_discard(self, group, channel):
        """Remove ``channel`` from ``group``. Do nothing if it is not a member."""
        self.valid_group_name(group)
        self.valid_channel_name(channel)
        self._parts.groups.discard(group, channel)

    def group_channels(self, group):
        """Return the names of the group's members, a list, in the order in which they were last added."""
        self.valid_group_name(group)
        return self._parts.groups.members(group)

    def send_group(self, group, message):
        """
        Send ``message``, a dict, to all members of ``group`` whose channels are not full.

        Never raises ``ChannelFull``: messages to full channels are dropped, counted, and logged once a second. Raises
        the other errors of ``send``. ``max_message_size`` limits the message without the names of its channels.
        """
        self.valid_group_name(group)
        self._parts.envelope.check(message)
        self._parts.groups.send(group, message)

    # Statistics and flush.

    def global_statistics(self):
        """
        Return the counters of the layer, summed over all shards.

        They are a dict of ``messages_count`` (messages sent) and ``channel_full_count`` (messages that found their
        channel full). A counter starts again from 0 after a day without changes. Shards that are unavailable are left
        out; redis-py's error is raised if all are.
        """
        sent, refused = self._parts.statistics.all_channels()
        return {self.STAT_MESSAGES_COUNT: sent, self.STAT_CHANNEL_FULL: refused}

    def channel_statistics(self, channel):
        """
        Return the counters and the backlog of one channel, summed over all shards; for a process-specific channel,
        those of all channels of its process together.

        They are a dict of ``messages_count`` and ``channel_full_count``, as in ``global_statistics``, except that they
        start again from 0 after an hour without changes, ``messages_pending`` (messages in the queue) and
        ``messages_max_age`` (how long the oldest of them has waited, in seconds).
        """
        self.valid_channel_name(channel)
        sent, refused, waiting, age = self._parts.statistics.channel(self.non_local_name(channel))
        return {
            self.STAT_MESSAGES_COUNT: sent,
            self.STAT_CHANNEL_FULL: refused,
            self.STAT_MESSAGES_PENDING: waiting,
            self.STAT_MESSAGES_MAX_AGE: age,
        }

    def processes(self):
        """
        Return the processes of this release that have waited for messages in the last 90 seconds.

        They are a dict of records, by a random name for each process. A record is a dict of ``host``, ``process`` (the
        process ID), ``release``, ``python``, ``redis_py``, ``layer``, ``hosts`` (a digest), ``shards``, ``origins``
        (for each shard, a text that identifies its data at the process's first connection: it differs after a loss),
        ``stats_prefix``, ``keys`` (a fingerprint of each encryption key, too short to find the key by), ``capacity``,
        ``expiry``, ``channels``, ``waits`` (how many of its threads wait at once), and ``since`` and ``seen`` (when it
        started, and when it last wrote the record, in seconds since the epoch). Shards that are unavailable are left
        out; redis-py's error is raised if all are.
        """
        return self._parts.statistics.processes()

    def flush(self):
        """
        Delete all messages, groups and statistics of this layer, on all shards, and return when that is done.

        It is done in small steps that do not block the server. Keys of other applications stay, even if ``prefix`` or
        ``stats_prefix`` is empty. Messages in this process's memory are deleted too.
        """
        parts = self._parts
        parts.inbox.clear()
        statistics.flush(parts.shards)
        parts.receiver.announce_anew()


class RedisChannelLayer(BaseRedisChannelLayer):
    """
    A channel layer over one Redis server, or several that share the messages (shards).

    :param hosts: a list of servers: ``redis://``, ``rediss://`` or ``unix://`` URLs, which may have a user, a password
        and a database; (host, port) pairs, which mean database 0; or redis-py clients (default
        ``[("localhost", 6379)]``). All processes must have the same list, in the same order.
    :param host, port, db: a shorthand for one server.

    The other arguments are those of ``BaseRedisChannelLayer``.
    """

    own_arguments = ("host", "port", "db")

    def setup_hosts(self, hosts, host=None, port=None, db=None):
        pair_db = 0
        if (host, port, db) != (None, None, None):
            if hosts is not None:
                raise ValueError("host, port and db mean one server: they can't be given together with hosts.")
            hosts = [(host or "localhost", 6379 if port is None else port)]
            pair_db = self._check_db(db)
        hosts = [("localhost", 6379)] if hosts is None else check_list("hosts", hosts)
        if not hosts:
            raise ValueError("hosts must have at least one server.")
        self._places = [self._setup_host(host, pair_db) for host in hosts]
        urls = [
            host if isinstance(host, six.string_types) else url_of_client(place.client())
            for host, place in zip(hosts, self._places)
        ]
        if pair_db != (self.connection_kwargs.get("db") or 0) and db is None:
            self._warn_of_database_0([url for host, url in zip(hosts, urls) if isinstance(host, (list, tuple))])
        return urls

    def _check_db(self, db):
        """Return the database that ``db`` and ``connection_kwargs`` mean together."""
        db = check_options("host, port and db", {"db": db})["db"]
        return (self.connection_kwargs.get("db") or 0) if db is None else db

    def _setup_host(self, host, pair_db):
        """Return the ``Place`` of one of ``hosts``. ``pair_db``: the database if it is a pair."""
        if is_client(host):
            options = host.connection_pool.connection_kwargs
            check_client_options(options)
            self.check_timeout(options)
            return OwnClient(host)
        if isinstance(host, six.string_types):
            client = client_for_url(host, self.connection_kwargs)
            self.check_timeout(client.connection_pool.connection_kwargs)
            return Place(client)
        name, port = check_address("host that is neither a URL nor a synchronous redis-py client of one server", host)
        return Place(client_for_address(name, port, dict(self.connection_kwargs, db=pair_db)))

    def _warn_of_database_0(self, urls):
        """Log a WARNING that the ``db`` of ``connection_kwargs`` is not that of the pairs that mean ``urls``."""
        if urls:
            db = self.connection_kwargs["db"]
            logger.warning(
                "connection_kwargs has db %d, but a (host, port) pair means database 0, as in release 1.4. For "
                "database %d, write %s instead.", db, db, ", ".join(re.sub("0$", "%d" % db, url) for url in urls),
            )

    @property
    def ring_size(self):
        return len(self._places)

    def place(self, index):
        return self._places[index]
