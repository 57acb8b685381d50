"""The layer that keeps normal channels on the machine."""
from __future__ import unicode_literals

import collections
import functools
import logging
import random
import re

import six
from redis.exceptions import RedisError

from .core import BaseRedisChannelLayer, RedisChannelLayer
from .delivery.losses import dropped_group_messages
from .delivery.race import Race
from .ipc import ipc_layer
from .server.breaker import copied
from .server.clients import is_outage
from .server.times import monotonic
from .server.waiting import Waiter

logger = logging.getLogger(__name__)

#: Pauses between two looks at a local layer that can't wait, in seconds, each twice as long as the one before.
SHORTEST_PAUSE = 0.001
LONGEST_PAUSE = 0.02

#: But a pause is ten times as long as a look takes: for each channel, asgi_ipc reads its whole store, which takes 10 ms
#: if there are 2,000 messages in it. It is never longer than a quarter of a second.
PAUSE_BY_LOOK = 10
LONGEST_PAUSE_BY_LOOK = 0.25

#: The share of receives that look at Redis first, so that a busy local channel does not starve those in Redis. In the
#: others, the local layer goes first: Redis is slower, and may be unavailable. While it is, it is also the share of
#: time that such looks may take.
REDIS_FIRST = 0.1


def is_normal(channel):
    return "!" not in channel and "?" not in channel


class RedisLocalChannelLayer(RedisChannelLayer):
    """
    A channel layer that keeps normal channels on the local machine; channels with ``!`` or ``?``, and groups, are in
    Redis.

    :param local_layer: the layer for normal channels: any channel layer with the flush extension, for example a
        RedisChannelLayer on a Redis of that machine. It has its own capacities and expiry. (Default: asgi_ipc's, in
        shared memory, not encrypted. All processes of the machine that have the same ``prefix``, apart from colons and
        slashes, share it.)

    The other arguments are those of ``RedisChannelLayer``. ValueError if asgi_ipc is needed, but not installed.

    A message to a normal channel, by ``send`` or ``send_group``, can be received only on the machine of its sender.
    Statistics are those of Redis and of the local layer, if it has any; asgi_ipc has none.
    """

    own_arguments = RedisChannelLayer.own_arguments + ("local_layer",)

    def setup_hosts(self, hosts, host=None, port=None, db=None, local_layer=None):
        hosts = super(RedisLocalChannelLayer, self).setup_hosts(hosts, host, port, db)
        if local_layer is None:
            local_layer = ipc_layer(
                # The name of a POSIX semaphore, which can't have a slash.
                prefix=re.sub("[:/]", "", self.prefix), expiry=self.expiry, group_expiry=self.group_expiry,
                capacity=self.capacity, channel_capacity=collections.OrderedDict(self.channel_capacity),
            )
        missing = [name for name in ("send", "receive", "flush", "ChannelFull") if not hasattr(local_layer, name)]
        if missing:
            raise ValueError(
                "local_layer must be a channel layer, not %s: it has no %s." % (type(local_layer).__name__, missing[0])
            )
        self.local_layer = local_layer
        #: When a receive may look at Redis first again, if the last such look found it unavailable.
        self._next_look_first = float("-inf")
        if isinstance(local_layer, BaseRedisChannelLayer):
            self._local = Waited(local_layer)
        else:
            self._local = Polled(local_layer, lambda: self._parts.inbox, self.expiry)
        return hosts

    # Sending.

    def send(self, channel, message):
        self.valid_channel_name(channel)
        if not is_normal(channel):
            return super(RedisLocalChannelLayer, self).send(channel, message)
        parts = self._parts
        parts.envelope.check(message)
        if parts.on_send is not None:
            parts.on_send(channel, message)
        self._send_here(channel, message)

    send.__doc__ = RedisChannelLayer.send.__doc__

    def _send_here(self, channel, message):
        try:
            self._local.send(channel, message)
        except self.local_layer.ChannelFull as error:
            if isinstance(error, RedisError):  # its server is unavailable
                raise
            six.raise_from(self.ChannelFull("The channel %s of the local layer is full." % channel), None)

    def send_group(self, group, message):
        self.valid_group_name(group)
        self._parts.envelope.check(message)
        outages = []
        self._parts.groups.send(group, message, functools.partial(self._deliver_here, outages))
        if outages:
            raise self._never_full(outages[0])

    send_group.__doc__ = RedisChannelLayer.send_group.__doc__

    def _deliver_here(self, outages, channels, message):
        """Send to the normal ones of ``channels``, and return the others. Add errors of outages to ``outages``."""
        for channel in channels:
            if is_normal(channel):
                try:
                    unless_unavailable(outages, self._send_here, channel, message)
                except self.ChannelFull:
                    self._parts.losses.add({
                        dropped_group_messages(channel, self.local_layer.get_capacity(channel)): 1
                    })
        return [channel for channel in channels if not is_normal(channel)]

    def _never_full(self, error):
        """Return redis-py's ``error`` as one that is not a ``ChannelFull``, which ``send_group`` never raises."""
        return copied(error, kind=next(kind for kind in type(error).__mro__ if not issubclass(kind, self.ChannelFull)))

    # Receiving.

    def receive(self, channels, block=False):
        channels = self.receivable(channels)
        if block:
            return self.receive_blocking(channels) or (None, None)
        local, remote = self._split(channels)
        errors = []
        found = self._look(local, remote, errors) or self._look_in_redis(remote, errors)
        if errors and not found:
            raise errors[0]
        return found or (None, None)

    receive.__doc__ = RedisChannelLayer.receive.__doc__

    def _split(self, channels):
        """Return (those of ``channels`` that are on this machine, those in Redis), two sets."""
        local = frozenset(channel for channel in channels if is_normal(channel))
        return local, channels - local

    def receive_blocking(self, channels, waiter=None):
        waiter = waiter or Waiter()
        local, remote = self._split(channels)
        in_redis = super(RedisLocalChannelLayer, self).receive_blocking
        if not local:
            return in_redis(channels, waiter)
        found = self._look(local, remote, [])
        if found:
            return found
        receives = [(self._local.receive_blocking, local)] + ([(in_redis, remote)] if remote else [])
        return Race(receives, self._return, waiter).result(self.blpop_timeout)

    def _look(self, local, remote, errors):
        """Return a (channel, message) that waits on this machine, or now and then one that waits in Redis; or None."""
        found = None
        if local and random.random() < REDIS_FIRST and monotonic() >= self._next_look_first:
            begun = monotonic()
            found = self._look_in_redis(remote, errors)
            if errors:
                self._next_look_first = monotonic() + (monotonic() - begun) / REDIS_FIRST
        return found or local and unless_unavailable(errors, self._local.take, local)

    def _look_in_redis(self, remote, errors):
        return remote and unless_unavailable(errors, self._parts.receiver.receive, remote)

    def _return(self, channel, message):
        """Put a message back that was taken, but not handed out."""
        try:
            self.return_message(channel, message)
        except Exception:
            logger.exception("Lost a message on %s: it arrived together with another, and can't be put back.", channel)

    def return_message(self, channel, message):
        if not is_normal(channel):
            return super(RedisLocalChannelLayer, self).return_message(channel, message)
        self._local.return_message(channel, message)

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
    """A local layer of this package, which can wait."""

    def __init__(self, layer):
        self.layer = layer
        self.send = layer.send
        self.receive_blocking = layer.receive_blocking
        self.return_message = layer.return_message

    def take(self, channels):
        """(channel, message), or None."""
        channel, message = self.layer.receive(list(channels))
        return None if channel is None else (channel, message)


class Polled(object):
    """
    A local layer that can't wait, such as asgi_ipc's: it is polled.

    ``inbox()``: the process's ``Inbox``. A message that can't be put back because its channel is full waits there, for
    ``expiry`` seconds.
    """

    def __init__(self, layer, inbox, expiry):
        self.layer = layer
        self._inbox = inbox
        self._expiry = expiry

    def send(self, channel, message):
        try:
            self.layer.send(channel, message)
        except TypeError as error:
            six.raise_from(TypeError("The message for %s can't be packed: %s." % (channel, error)), None)

    def return_message(self, channel, message):
        """Put a message at the end of its queue: normal channels need not be in order."""
        try:
            self.send(channel, message)
        except self.layer.ChannelFull:
            self._inbox().put_back(channel, channel, message, self._expiry)

    def take(self, channels):
        """(channel, message), or None."""
        found = self._inbox().take(channels)
        if found:
            return found
        channel, message = self.layer.receive(list(channels))
        return None if channel is None else (channel, message)

    def receive_blocking(self, channels, waiter):
        """(channel, message); None not before ``waiter.stop()``."""
        pause = SHORTEST_PAUSE
        with waiter:
            while not waiter.stopped:
                begun = monotonic()
                found = self.take(channels)
                if found:
                    return found
                by_look = min(PAUSE_BY_LOOK * (monotonic() - begun), LONGEST_PAUSE_BY_LOOK)
                waiter.sleep(max(pause, by_look))
                pause = min(2 * pause, LONGEST_PAUSE)


def unless_unavailable(errors, call, *arguments):
    """Return what ``call`` returns, or None if its error says that a server is unavailable; add that to ``errors``."""
    try:
        return call(*arguments)
    except RedisError as error:
        if not is_outage(error):
            raise
        errors.append(error)
