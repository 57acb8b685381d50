"""
Every key that this package has in Redis.

``PREFIX`` stands for the layer's ``prefix`` and ``STATS`` for its ``stats_prefix``; on a Redis Cluster both are followed
by the shard's hash tag in braces. A *queue* is a channel's name, of a process-specific channel only up to and
including its ``!``. The first four are those of release 1.4; its processes never look at the others, because no channel
or group name has a ``#``.

================================  ======  ==============================  ==========================================
key                               type    life                            written by
================================  ======  ==============================  ==========================================
PREFIX + 32 hexadecimal digits    string  ``expiry``                      send, send_group, put_back: a message's body
PREFIX + queue                    list    ``expiry`` + 1 s from its last  send, send_group, put_back: message keys,
                                          push                            pushed right and popped left
PREFIX:group:NAME                 zset    ``group_expiry``                group_add: channels by time of joining
STATS + queue:COUNTER             string  1 h from the last change, to    send, send_group, count_full; COUNTER is
                                          the minute                      ``messages_count`` or ``channel_full_count``
STATS#global#:COUNTER             string  24 h, likewise                  the same, for all channels
PREFIX + queue#noted              list    as the queue                    send, send_group, put_back: the newest message
                                                                          keys that were pushed to the empty queue, so
                                                                          that a blocking pop may have taken them
PREFIX + queue#batches            string  10 s                            receive, announce: the reader of a
                                                                          process-specific queue takes batches
PREFIX#session#NAME               string  ``Keys.session_ms``             every numbered script: the session's last
                                                                          number
PREFIX#session#NAME#taken         string  what the message had left       receive: the message that its last call took
PREFIX#session#NAME#reply         string  ``Keys.session_ms``             send_group: the reply of its last call
PREFIX#wake#NAME                  list    10 s                            wake: ends one blocking pop
PREFIX#origin                     string  30 days                         origin: random text; gone or changed if the
                                                                          server has lost its data
================================  ======  ==============================  ==========================================
"""
from __future__ import unicode_literals

import binascii
import os

#: How long the number of a session is kept after it was last noted: longer than a network holds a command back.
SHORTEST_SESSION_MS = 120000

#: How long a list that ends a blocking pop lives if the pop has ended by itself.
WAKE_MS = 10000

#: How long a server is known by its origin.
ORIGIN_MS = 30 * 86400 * 1000

#: Stands for a channel's name in the counters of all channels; it is no legal name.
ALL_CHANNELS = "#global#"

MESSAGES_COUNT = "messages_count"
CHANNEL_FULL_COUNT = "channel_full_count"


def random_name(length=20):
    """``length`` random hexadecimal digits (an even number)."""
    return binascii.hexlify(os.urandom(length // 2)).decode("ascii")


class Keys(object):
    """
    The keys of one shard, as bytes.

    ``prefix``, ``stats_prefix``: the layer's. ``tag``: what all keys of the shard have behind these, on a Redis
    Cluster its hash tag in braces. ``expiry``: how long a message lives, in seconds.
    """

    def __init__(self, prefix, stats_prefix, expiry, tag=""):
        self.prefix = (prefix + tag).encode("utf-8")
        self.stats_prefix = (stats_prefix + tag).encode("utf-8")
        self.message_ms = int(expiry * 1000)
        #: A queue outlives its last message, whose key would otherwise be lost from it.
        self.queue_ms = self.message_ms + 1000
        #: What a session took last must not outlive the number that says so.
        self.session_ms = max(SHORTEST_SESSION_MS, self.message_ms + 60000)

    def queue(self, queue):
        return self.prefix + queue.encode("ascii")

    def group(self, group):
        return self.prefix + b":group:" + group.encode("ascii")

    def counter(self, queue, counter):
        return self.stats_prefix + ("%s:%s" % (queue, counter)).encode("ascii")

    def batches(self, queue):
        return self.queue(queue) + b"#batches"

    def session(self, name):
        return self.prefix + b"#session#" + name

    def wake(self):
        return self.prefix + b"#wake#" + random_name(16).encode("ascii")

    @property
    def origin(self):
        return self.prefix + b"#origin"
