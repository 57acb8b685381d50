"""The layer whose normal channels stay on the machine."""
from __future__ import unicode_literals

import importlib
import logging
import random
import re
import sys
import threading
import types

import six

from .codec import Codec
from .core import BaseRedisChannelLayer, RedisChannelLayer
from .waiting import Waiter, monotonic

logger = logging.getLogger(__name__)

#: Seconds between two looks at a local layer that can't wait: doubling from the shortest to the longest.
SHORTEST_PAUSE = 0.001
LONGEST_PAUSE = 0.02

#: But ten times as long as a look takes: asgi_ipc reads its whole store for each channel, 10 ms with 2,000 messages in
#: it. Though never longer than a quarter of a second.
PAUSE_BY_LOOK = 10
LONGEST_PAUSE_BY_LOOK = 0.25

#: The name under which asgi_ipc is imported.
IPC_COPY = "asgi_redis._asgi_ipc"


def is_normal(channel):
    return "!" not in channel and "?" not in channel


class RedisLocalChannelLayer(RedisChannelLayer):
    """
    A channel layer that keeps normal channels on the machine, and has those with ``!`` and ``?``, and groups, in Redis.

    ``local_layer``: where the normal channels are, any channel layer with the flush extension, as a RedisChannelLayer
    on a Redis of the machine; it has its own capacities and expiry. None: asgi_ipc's, in shared memory, not encrypted,
    which all processes of the machine share that have the same ``prefix`` (colons do not count). The other arguments
    are those of ``RedisChannelLayer``. ValueError where asgi_ipc is needed, but not installed.

    What is sent to a normal channel, by ``send`` or as a member of a group, is received on the machine of the sender.
    Statistics are those of Redis, and of the local layer where it keeps any; asgi_ipc's does not.
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
        local_layer=None,
        **options
    ):
        super(RedisLocalChannelLayer, self).__init__(
            expiry, hosts, prefix, group_expiry, capacity, channel_capacity, symmetric_encryption_keys, stats_prefix,
            connection_kwargs, host, port, db, **options
        )
        if local_layer is None:
            local_layer = ipc_layer(
                # The name of a POSIX semaphore, which can't have a slash.
                prefix=re.sub("[:/]", "", prefix), expiry=expiry, group_expiry=group_expiry, capacity=capacity,
                channel_capacity=channel_capacity,
            )
        missing = [name for name in ("send", "receive", "flush", "ChannelFull") if not hasattr(local_layer, name)]
        if missing:
            raise ValueError(
                "local_layer must be a channel layer, not %s: it has no %s." % (type(local_layer).__name__, missing[0])
            )
        self.local_layer = local_layer
        self._local = (Waited if isinstance(local_layer, BaseRedisChannelLayer) else Polled)(local_layer)

    # Sending.

    def send(self, channel, message):
        self.valid_channel_name(channel)
        if not is_normal(channel):
            return super(RedisLocalChannelLayer, self).send(channel, message)
        self._check_message(message)
        try:
            self._local.send(channel, message)
        except self.local_layer.ChannelFull:
            six.raise_from(self.ChannelFull("The local layer's %s holds its capacity." % channel), None)

    send.__doc__ = RedisChannelLayer.send.__doc__

    def _entries(self, group, message):
        """The entries that go to Redis. The members that are normal channels get ``message`` here."""
        entries = super(RedisLocalChannelLayer, self)._entries(group, message)
        for entry in entries:
            if is_normal(entry.queue):
                try:
                    self.send(entry.queue, message)
                except self.ChannelFull:
                    self._losses.add({entry.queue: 1})
        return [entry for entry in entries if not is_normal(entry.queue)]

    # Receiving.

    def receive(self, channels, block=False):
        channels = self._receivable(channels)
        if block:
            return self._receive_blocking(channels, Waiter())
        return self._look(channels, False) or (None, None)

    receive.__doc__ = RedisChannelLayer.receive.__doc__

    def _look(self, channels, block):
        """
        (channel, message) that is there, or None: from Redis or from the local layer first, at random, so that neither
        starves the other. ``block``: for a blocking receive, which outlives that a server is away.
        """
        looks = [lambda: self._take(channels, self._take_if_in_reach if block else self._take_from_shard)]
        local = self._normal(channels)
        if local:
            looks.append(lambda: self._local.take(local, block))
        random.shuffle(looks)
        return next((found for found in (look() for look in looks) if found), None)

    def _normal(self, channels):
        return frozenset(channel for channel in channels if is_normal(channel))

    def _queues_by_shard(self, channels):
        return super(RedisLocalChannelLayer, self)._queues_by_shard(frozenset(channels) - self._normal(channels))

    def _receive_blocking(self, channels, waiter):
        local = self._normal(channels)
        if not local:
            return super(RedisLocalChannelLayer, self)._receive_blocking(channels, waiter)
        found = self._look(channels, True)
        if found:
            return found
        waits = [Wait(self._local.receive_blocking, local, waiter)]
        if channels - local:
            waits.append(Wait(super(RedisLocalChannelLayer, self)._receive_blocking, channels - local, waiter))
        return self._first(waits, waiter)

    def _first(self, waits, waiter):
        """What the first of ``waits`` brings, or (None, None). What another brings in the same moment is put back."""
        deadline = monotonic() + self.blpop_timeout
        try:
            with waiter:
                for wait in waits:
                    wait.start()
                while not waiter.stopped and not any(wait.over for wait in waits) and monotonic() < deadline:
                    waiter.sleep(max(deadline - monotonic(), 0))
        except BaseException:
            self._return(end(waits))
            raise
        found = end(waits)
        self._return(found[1:])
        for wait in waits:
            if wait.error and not found:
                six.reraise(*wait.error)
        return found[0] if found else (None, None)

    def _return(self, found):
        """Put messages back that were taken, but not handed out: a list of (channel, message)."""
        for channel, message in found:
            try:
                self._put_back(channel, message)
            except Exception:
                logger.exception("Lost a message on %s: it came together with another, and can't be put back.", channel)

    def _put_back(self, channel, message):
        if not is_normal(channel):
            return super(RedisLocalChannelLayer, self)._put_back(channel, message)
        try:
            self._local.put_back(channel, message)
        except self.local_layer.ChannelFull:
            self._inbox.put_back(channel, channel, lambda: message, self.expiry)

    # Statistics and flush.

    def _local_statistics(self):
        return "statistics" in getattr(self.local_layer, "extensions", ())

    def global_statistics(self):
        totals = super(RedisLocalChannelLayer, self).global_statistics()
        if self._local_statistics():
            for counter, value in self.local_layer.global_statistics().items():
                totals[counter] += value
        return totals

    global_statistics.__doc__ = RedisChannelLayer.global_statistics.__doc__

    def channel_statistics(self, channel):
        self.valid_channel_name(channel)
        if is_normal(channel) and self._local_statistics():
            return self.local_layer.channel_statistics(channel)
        return super(RedisLocalChannelLayer, self).channel_statistics(channel)

    channel_statistics.__doc__ = RedisChannelLayer.channel_statistics.__doc__

    def flush(self):
        """Delete all messages, groups and statistics of this layer, in Redis and on this machine."""
        super(RedisLocalChannelLayer, self).flush()
        self.local_layer.flush()


class Waited(object):
    """A local layer of this package: it can wait, and lives through its server being away."""

    def __init__(self, layer):
        self.layer = layer
        self.send = layer.send
        self.receive_blocking = layer._receive_blocking
        self.put_back = layer._put_back

    def take(self, channels, block):
        """(channel, message), or None. ``block``: for a blocking receive."""
        return self.layer._take(channels, self.layer._take_if_in_reach if block else self.layer._take_from_shard)


class Polled(object):
    """A local layer that can't wait, as asgi_ipc's: it is looked at again and again."""

    def __init__(self, layer):
        self.layer = layer

    def send(self, channel, message):
        try:
            self.layer.send(channel, message)
        except TypeError as error:
            six.raise_from(TypeError("The message for %s can't be packed: %s." % (channel, error)), None)

    #: To the end of the queue: normal channels need not be in order.
    put_back = send

    def take(self, channels, block):
        channel, message = self.layer.receive(list(channels))
        return None if channel is None else (channel, message)

    def receive_blocking(self, channels, waiter):
        """(channel, message); (None, None) not before ``waiter.stop()``."""
        pause = SHORTEST_PAUSE
        with waiter:
            while not waiter.stopped:
                begun = monotonic()
                found = self.take(channels, True)
                if found:
                    return found
                by_look = min(PAUSE_BY_LOOK * (monotonic() - begun), LONGEST_PAUSE_BY_LOOK)
                waiter.sleep(max(pause, by_look))
                pause = min(2 * pause, LONGEST_PAUSE)
        return None, None


class Wait(threading.Thread):
    """A blocking receive in a thread, that wakes ``woken`` when it is over. ``found``: what it has brought, or None."""

    def __init__(self, receive, channels, woken):
        super(Wait, self).__init__()
        self.daemon = True
        self.receive, self.channels, self.woken = receive, channels, woken
        self.waiter = Waiter()
        self.found = self.error = None
        self.over = False

    def run(self):
        try:
            found = self.receive(self.channels, self.waiter)
            self.found = None if found[0] is None else found
        except Exception:
            self.error = sys.exc_info()
        self.over = True
        self.woken.wake()


def end(waits):
    """End all ``waits``: a list of what they have found."""
    for wait in waits:
        wait.waiter.stop()
    for wait in waits:
        if wait.ident is not None:  # it was started
            wait.join()
    return [wait.found for wait in waits if wait.found]


# asgi_ipc 1.4.2, and what has changed since.


class Msgpack(object):
    """What asgi_ipc gets as ``msgpack``: it unpacks with an argument that msgpack 1 removed, ``encoding``."""

    _codec = Codec()

    @classmethod
    def packb(cls, message, use_bin_type):
        return cls._codec.encode(message)

    @classmethod
    def unpackb(cls, body, encoding):
        return cls._codec.decode(body)


def ipc_layer(**arguments):
    """
    An ``IPCChannelLayer`` of asgi_ipc. ValueError where it is not installed.

    It comes from a second import under a name of our own: without the package's ``__init__``, which needs pkg_resources
    (Python 3.12 and setuptools 81 no longer bring it) only to tell its version; and with ``Msgpack`` in its module,
    which nobody else sees.
    """
    try:
        package = types.ModuleType(str(IPC_COPY))
        package.__path__ = [folder_of("asgi_ipc")]
        sys.modules.setdefault(IPC_COPY, package)
        core = importlib.import_module(IPC_COPY + ".core")
    except ImportError as error:
        six.raise_from(ValueError(
            "RedisLocalChannelLayer needs asgi_ipc: pip install asgi_redis[local]; or a layer of yours as local_layer. "
            "(%s)" % error
        ), None)
    core.msgpack = Msgpack
    return core.IPCChannelLayer(**arguments)


def folder_of(package):
    """The folder of ``package``, without running it. ImportError where it is not installed."""
    try:
        from importlib.util import find_spec  # novm: Python 2 goes to the except
    except ImportError:
        from imp import find_module  # novm: only there

        return find_module(package)[1]
    spec = find_spec(package)
    if spec is None:
        raise ImportError("No module named %s" % package)
    return spec.submodule_search_locations[0]
