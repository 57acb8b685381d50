"""
Every key that this package has in Redis.

``PREFIX`` stands for the layer's ``prefix`` and ``STATS`` for its ``stats_prefix``; on a Redis Cluster both are
followed by the shard's hash tag in braces. A *queue* is a channel's name, of a process-specific channel only up to and
including its ``!``. The first five are those of release 1.4. Its processes never touch the others, because no channel
or group name contains a ``#``.

================================  ======  ==============================  ==========================================
key                               type    life                            written by
================================  ======  ==============================  ==========================================
PREFIX + 32 hexadecimal digits    string  ``expiry``                      send, send_group, put_back, return_message: a
                                                                          message's body
PREFIX + queue                    list    ``expiry`` + 1 s from its last  send, send_group, put_back, return_message:
                                          push                            message keys, pushed right and popped left
PREFIX:group:NAME                 zset    ``group_expiry``                group_add: channels by time of joining
STATS + queue:COUNTER             string  1 h from the last change, to    send, send_group, count; COUNTER is
                                          the minute                      ``messages_count``, ``channel_full_count`` or
                                                                          ``dropped_count``, which counts messages that
                                                                          their reader could not unpack
STATS#global#:COUNTER             string  24 h, likewise                  the same, for all channels
PREFIX + queue#noted              list    as the queue                    send, send_group, put_back, return_message:
                                                                          the newest message keys that were pushed to
                                                                          a queue of fewer than ten, so that a blocking
                                                                          pop may have taken them
PREFIX + queue#batches            string  10 s                            receive, announce: the reader of a
                                                                          process-specific queue takes batches
PREFIX + 32 digits + #body        string  ``expiry``                      SET, before send: a large body; send renames
                                                                          it to the message's key
PREFIX#session#NAME               string  ``Keys.session_ms``             every numbered script: the session's last
                                                                          number
PREFIX#session#NAME#taken         string  what the message had left       receive: the message that its last call took
PREFIX#session#NAME#reply         string  ``Keys.session_ms``             send_group: the reply of its last call
PREFIX#wake#NAME                  list    10 s                            wake: ends one blocking pop
PREFIX#presence                   zset    24 h                            presence: names of the processes that receive
                                                                          here, by the time of their last record
PREFIX#presence#NAME              string  90 s                            presence: the record of one process, JSON
PREFIX#check, STATS#check         string  10 s                            asgi-redis check: whether the user may write
PREFIX#origin                     string  30 days                         origin: random text; gone or changed if the
                                                                          server has lost its data
================================  ======  ==============================  ==========================================

Every key has a life. Only counters begin with ``stats_prefix``: two sites may share that one unawares, and then a
``flush`` of one deletes the other's. ``Keys.kinds`` tells from a name which of these a key may be.
"""
from __future__ import unicode_literals

import binascii
import os
import re

DEFAULT_PREFIX = "asgi:"
DEFAULT_STATS_PREFIX = "asgi-meta:"

#: How long the number of a session is kept after it was last noted: longer than a network may delay a command.
SHORTEST_SESSION_MS = 120000

#: How long a list that ends a blocking pop lives if the pop has ended by itself.
WAKE_MS = 10000

#: How long an origin is kept after a process last connected.
ORIGIN_MS = 30 * 86400 * 1000

#: Stands for a channel's name in the counters of all channels; it is no legal name.
ALL_CHANNELS = "#global#"

MESSAGES_COUNT = "messages_count"
CHANNEL_FULL_COUNT = "channel_full_count"
DROPPED_COUNT = "dropped_count"
COUNTERS = MESSAGES_COUNT, CHANNEL_FULL_COUNT, DROPPED_COUNT

#: Patterns of legal names: see names.py.
NAME = "[a-zA-Z0-9_.-]+"
QUEUE = NAME + r"(!|\?[a-zA-Z0-9_.-]*)?"


def _compiled(shapes):
    return [(kind, re.compile((shape + r"\Z").encode("ascii"))) for kind, shape in shapes]


#: What follows ``prefix`` in keys, each with its kind: the type, or one that flush.lua looks at more closely, because
#: with an empty prefix a key of another application may have such a name.
AFTER_PREFIX = _compiled([
    ("message", "[0-9a-f]{32}"),
    ("queue", QUEUE + "(#noted)?"),
    ("zset", ":group:" + NAME),
    ("string", "[0-9a-f]{32}#body"),
    ("string", QUEUE + "#batches"),
    ("string", "#session#[0-9a-f]{20}(#taken|#reply)?"),
    ("list", "#wake#[0-9a-f]{16}"),
    ("zset", "#presence"),
    ("string", "#presence#[0-9a-f]{20}"),
    ("string", "#origin"),
])

#: What follows ``stats_prefix``, likewise.
AFTER_STATS_PREFIX = _compiled([("string", "(%s|%s):(%s)" % (QUEUE, ALL_CHANNELS, "|".join(COUNTERS)))])


def literal(prefix):
    """Return the pattern of SCAN that matches ``prefix``, bytes, itself."""
    return re.sub(br"([*?\[\]\\])", br"\\\1", prefix)


def random_name(length=20):
    """Return ``length`` random hexadecimal digits; ``length`` must be even."""
    return binascii.hexlify(os.urandom(length // 2)).decode("ascii")


class Keys(object):
    """
    The keys of one shard, as bytes.

    ``prefix``, ``stats_prefix``: the layer's. ``tag``: text that follows them in all keys of the shard; on a Redis
    Cluster, its hash tag in braces. ``expiry``: how long a message lives, in seconds.
    """

    def __init__(self, prefix, stats_prefix, expiry, tag=""):
        self.prefix = (prefix + tag).encode("utf-8")
        self.stats_prefix = (stats_prefix + tag).encode("utf-8")
        self.message_ms = int(expiry * 1000)
        #: A queue outlives its last message; otherwise the message's key could be lost before the message expires.
        self.queue_ms = self.message_ms + 1000
        #: The message that a session took last must not outlive the session's number, of whose life at least three
        #: quarters are left.
        self.session_ms = max(SHORTEST_SESSION_MS, self.message_ms * 3 // 2)

    def kinds(self, key):
        """Return the kinds of keys of this shard, as ``flush.lua`` takes them, that have names like ``key``: a list."""
        return [
            kind for prefix, shapes in ((self.prefix, AFTER_PREFIX), (self.stats_prefix, AFTER_STATS_PREFIX))
            if key.startswith(prefix) for kind, shape in shapes if shape.match(key[len(prefix):])
        ]

    def queue(self, queue):
        # Release 1.4 let channels whose names have letters beyond ASCII join groups.
        return self.prefix + queue.encode("utf-8")

    def group(self, group):
        return self.prefix + b":group:" + group.encode("ascii")

    def counter(self, queue, counter):
        return self.stats_prefix + ("%s:%s" % (queue, counter)).encode("utf-8")

    def batches(self, queue):
        return self.queue(queue) + b"#batches"

    def session(self, name):
        return self.prefix + b"#session#" + name

    def wake(self):
        return self.prefix + b"#wake#" + random_name(16).encode("ascii")

    @property
    def presences(self):
        return self.prefix + b"#presence"

    def presence(self, name):
        return self.prefix + b"#presence#" + name.encode("ascii")

    @property
    def origin(self):
        return self.prefix + b"#origin"
