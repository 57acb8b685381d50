"""
A reader and a sender written from docs/wire-format.rst alone, as one in another language would be: it uses nothing of
the package, only redis-py, msgpack and, for encryption, cryptography.
"""
from __future__ import unicode_literals

import base64
import binascii
import hashlib
import os
import random
import time

import msgpack

FULL_NAME = "__asgi_channel__"


def fernet(secrets):
    """Return what encrypts and decrypts with ``secrets``, a list of texts; None if it is empty."""
    if not secrets:
        return None
    from cryptography.fernet import Fernet, MultiFernet

    digests = [hashlib.sha256(secret.encode("utf-8")).digest() for secret in secrets]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])


def hash_tags(count):
    """Return the hash tags of ``count`` shards of a Redis Cluster."""
    tags, number = {}, 0
    while len(tags) < count:
        text = "%d" % number
        slot = binascii.crc_hqx(text.encode("ascii"), 0) & 0x3FFF
        tags.setdefault(slot * count // 16384, "{%s}" % text)
        number += 1
    return [tags[part] for part in range(count)]


def queue_of(channel):
    return channel[:channel.index("!") + 1] if "!" in channel else channel


class Shard(object):
    """One shard: ``client``, and the beginnings of its keys."""

    def __init__(self, client, prefix, stats):
        self.client, self.prefix, self.stats = client, prefix, stats

    def count(self, counter, queue, number=1):
        for name, life in ((queue, 3600), ("#global#", 86400)):
            key = "%s%s:%s" % (self.stats, name, counter)
            self.client.execute_command("INCRBY", key, number)
            self.client.expire(key, life)


class Peer(object):
    """
    ``clients``: redis-py's, one for each shard, in order. ``prefix``, ``stats``: the layer's. ``secrets``: its
    encryption secrets. ``is_cluster``: True if the shards are those of a Redis Cluster. ``takes_batches``: whether it
    announces that.
    """

    EXPIRY = 60
    GROUP_EXPIRY = 86400

    def __init__(self, clients, prefix, stats, secrets=(), is_cluster=False, takes_batches=True):
        tags = hash_tags(len(clients)) if is_cluster else [""] * len(clients)
        self.shards = [Shard(client, prefix + tag, stats + tag) for client, tag in zip(clients, tags)]
        self.fernet = fernet(secrets)
        self.takes_batches = takes_batches

    # Shards.

    def number(self, name):
        position = binascii.crc32(name.encode("utf-8")) & 0xFFF
        return int(position / (4096 / float(len(self.shards))))

    def shards_of(self, queue):
        if "!" in queue or "?" in queue:
            return [self.shards[self.number(queue)]]
        return random.sample(self.shards, len(self.shards))

    # Bodies.

    def seal(self, message, names=None):
        body = msgpack.packb(dict(message, **{str(FULL_NAME): names} if names else {}), use_bin_type=True)
        return self.fernet.encrypt(body) if self.fernet else body

    def open(self, body):
        """Return (the names in a body, or None; the message)."""
        if self.fernet:
            body = self.fernet.decrypt(body, self.EXPIRY + 10)
        message = msgpack.unpackb(body, raw=False)
        return message.pop(FULL_NAME, None), message

    # Sending.

    def send(self, channel, message, capacity=100):
        """Return True if the message is sent, False if the channel is full."""
        return self._put(queue_of(channel), self.seal(message, channel if "!" in channel else None), capacity)

    def _put(self, queue, body, capacity, receivers=1):
        shards = self.shards_of(queue)
        for shard in shards:
            number = self.shards.index(shard) if len(shards) > 1 else 0
            share = capacity // len(shards) + (number < capacity % len(shards))
            if shard.client.llen(shard.prefix + queue) < share:
                self._push(shard, queue, body)
                shard.count("messages_count", queue, receivers)
                return True
        shards[-1].count("channel_full_count", queue, receivers)
        return False

    def _push(self, shard, queue, body):
        key = shard.prefix + binascii.hexlify(os.urandom(16)).decode("ascii")
        shard.client.set(key, body, ex=self.EXPIRY)
        shard.client.rpush(shard.prefix + queue, key)
        shard.client.expire(shard.prefix + queue, self.EXPIRY + 1)

    # Receiving.

    def receive(self, queue, wait=0):
        """
        Return [(channel, message), ...] of the next body in ``queue``: several if it is a batch, none if there is no
        body. ``wait``: how long it waits on the first shard that it looks at, in seconds.
        """
        for shard in self.shards_of(queue):
            if "!" in queue and self.takes_batches:
                shard.client.set(shard.prefix + queue + "#batches", "1", ex=10)
            body = self._take(shard, shard.prefix + queue, wait)
            if body is not None:
                names, message = self.open(body)
                names = names if isinstance(names, list) else [names or queue]
                return [(name, dict(message)) for name in names if queue_of(name) == queue]
        return []

    def _take(self, shard, queue_key, wait):
        while True:
            popped = (shard.client.blpop([queue_key], wait) or [None])[-1] if wait else shard.client.lpop(queue_key)
            if popped is None:
                return None
            body = shard.client.get(popped)
            shard.client.delete(popped)
            if body is not None:
                return body

    # Groups.

    def _group(self, group):
        shard = self.shards[self.number(group)]
        return shard.client, "%s:group:%s" % (shard.prefix, group)

    def join(self, group, channel, ago=0):
        client, key = self._group(group)
        client.execute_command("ZADD", key, repr(time.time() - ago), channel)
        client.expire(key, self.GROUP_EXPIRY)

    def leave(self, group, channel):
        client, key = self._group(group)
        client.zrem(key, channel)

    def members(self, group):
        client, key = self._group(group)
        client.zremrangebyscore(key, "-inf", time.time() - self.GROUP_EXPIRY)
        return [name.decode("ascii") for name in client.zrange(key, 0, -1)]

    def send_group(self, group, message, capacity=100):
        processes = {}
        for channel in self.members(group):
            if "!" in channel:
                processes.setdefault(queue_of(channel), []).append(channel)
            else:
                self.send(channel, message, capacity)
        for queue, names in processes.items():
            shard, = self.shards_of(queue)
            if len(names) > 1 and shard.client.exists(shard.prefix + queue + "#batches"):
                self._put(queue, self.seal(message, names), capacity, len(names))
            else:
                for name in names:
                    self.send(name, message, capacity)
