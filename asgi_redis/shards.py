"""Where things are: shards, keys, and the commands that go there."""
from __future__ import unicode_literals

import binascii
import os
import random
import threading
import time

import six
from redis.exceptions import RedisError

from .connections import call, is_outage
from .waiting import monotonic

#: Seconds that a send is tried again where a shard is away; and the pauses, which double from one to the other.
INSIST_FOR = 1.0
SHORTEST_PAUSE = 0.02
LONGEST_PAUSE = 0.2

#: Milliseconds for which a repeated send is known as such: longer than a network brings what was sent long ago.
SENDER_MS = 120000


class Shards(object):
    """
    The shards of a layer, numbered from 0, and what lies on which.

    A sibling says where its shards are: ``_setup_hosts``, ``ring_size`` and ``connection``.
    """

    def _setup_hosts(self, hosts):
        """The value of ``hosts``, checked, as kept in ``self.hosts``."""
        raise NotImplementedError()

    @property
    def ring_size(self):
        """The number of shards."""
        raise NotImplementedError()

    def connection(self, index):
        """
        A redis-py client for shard ``index``, or for one picked at random where it is None.

        ValueError where there is no such shard.
        """
        raise NotImplementedError()

    def _call(self, index, *command):
        """Send one command to shard ``index`` and return its answer."""
        return call(self.connection(index), *command)

    def _run(self, index, script, keys, args):
        """Run ``script`` on shard ``index`` and return its answer."""
        return script(lambda *command: self._call(index, *command), keys, args)

    def _insist(self, index, script, keys, args):
        """
        ``_run``, and where the shard is away again and again, on fresh connections, for a second from then.

        For scripts that may run twice: an answer that got lost does not tell whether the script ran.
        """
        deadline, pause = None, SHORTEST_PAUSE
        while True:
            try:
                return self._run(index, script, keys, args)
            except RedisError as error:
                deadline = deadline or monotonic() + INSIST_FOR
                if not is_outage(error) or monotonic() >= deadline:
                    raise
            time.sleep(pause * random.uniform(0.5, 1))
            pause = min(pause * 2, LONGEST_PAUSE)

    def _sender_key(self, index):
        """
        Where the scripts that send note the number of this thread's last message, by which they know a repeated send.

        The message's own key would not do: a reader may have taken the message before the send is repeated.
        """
        sender = "%s.%d.%x" % (self.client_prefix, os.getpid(), threading.current_thread().ident)
        return self._stats_key(index, "#sent#" + sender)

    def _check_index(self, index):
        """``index``, or a random one for None. ValueError where it is no shard."""
        if index is None:
            return self.random_index()
        if not isinstance(index, six.integer_types) or not 0 <= index < self.ring_size:
            raise ValueError("There is no shard %r: there are %d, from 0." % (index, self.ring_size))
        return index

    def random_index(self):
        """The number of a shard, at random."""
        return random.randrange(self.ring_size)

    def consistent_hash(self, value):
        """The number of the shard that ``value``, a channel or group name, belongs to. All processes must agree."""
        if not isinstance(value, six.binary_type):
            value = value.encode("utf-8")
        ring_position = binascii.crc32(value) & 0xFFF
        return int(ring_position / (4096 / float(self.ring_size)))

    def _shards(self, queue):
        """The shards that may hold ``queue``. What has one reader lies on one shard, which keeps it in order."""
        if "!" in queue or "?" in queue:
            return [self.consistent_hash(queue)]
        return range(self.ring_size)

    def _places(self, queue):
        """
        [(shard, how many messages of ``queue`` it may hold), ...], the next in turn first.

        All shards of a queue together hold its capacity.
        """
        shards, capacity = self._shards(queue), self.get_capacity(queue)
        if len(shards) == 1:
            return [(shards[0], capacity)]
        whole, rest = divmod(capacity, len(shards))
        first = next(self._turn) % len(shards)
        return [(index, whole + (index < rest)) for index in list(shards[first:]) + list(shards[:first])]

    # Keys.

    def _key(self, index, name):
        return self.prefix + name

    def _stats_key(self, index, name):
        return self.stats_prefix + name

    def _notes_key(self, index, queue_key):
        """Where messages are noted that were put into an empty queue, and may have been handed on at once."""
        return self._stats_key(index, "#handed#" + queue_key)

    def _counter_key(self, index, queue, counter):
        return self._stats_key(index, "%s:%s" % (queue, counter))

    def _message_keys(self, index, count):
        """Keys for ``count`` new messages: 32 random hexadecimal digits each."""
        digits = binascii.hexlify(os.urandom(16 * count)).decode("ascii")
        return [self._key(index, digits[i:i + 32]) for i in range(0, len(digits), 32)]

    @property
    def _message_ms(self):
        return int(self.expiry * 1000)

    @property
    def _queue_ms(self):
        # A queue outlives its last message, whose key would otherwise be lost from it.
        return self._message_ms + 1000
