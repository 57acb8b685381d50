"""The shards of a layer: how many there are, and which of them a channel or a group is on."""
from __future__ import unicode_literals

import binascii
import itertools
import random
import time

from redis.exceptions import RedisError

from .breaker import Breaker, not_sent
from .clients import is_outage

#: How many queues have a turn at once. A site uses some dozens.
KNOWN_TURNS = 1000


class Directory(object):
    """The list of shards, as the log names it."""

    log_attributes = {"shard": None, "address": None}

    def __str__(self):
        return "The list of shards"


class Shards(object):
    """
    The shards of a layer, made as they are needed.

    ``count()``: how many there are; may ask a Sentinel. ``make(number, count)``: makes one.
    """

    def __init__(self, count, make):
        self._count = count
        #: The number, once it is known.
        self._length = None
        #: For the Sentinels, while the number is not known.
        self.breaker = Breaker(Directory())
        #: The only shard, once it is known that there is only one.
        self._only = None
        self._make = make
        self._made = {}
        #: By queue: senders go round its shards in turn, and begin with a random one. It is not one turn for all: a
        #: Daphne that sends to http.request and http.disconnect alternately would leave every other shard idle.
        self._turns = {}

    def __len__(self):
        while self._length is None:
            try:
                self.find()
            except RedisError as error:
                if self.breaker.is_open() or not is_outage(error):
                    raise
                time.sleep(self.breaker.pause())
        return self._length

    def find(self, receiving=False):
        """
        Find out, by one try, how many there are, unless that is known. redis-py's errors.

        ``receiving``: True for a blocking receive, which waits anyway, so it may probe.
        """
        if self._length is not None:
            return
        if self.breaker.is_open():
            with self.breaker.probe(receiving):
                self._find()
        else:
            self._find()

    def _find(self):
        try:
            self._length = self._count()
            self.breaker.succeeded()
        except RedisError as error:
            if is_outage(error):
                self.breaker.failed(error)
            raise not_sent(error)

    def __getitem__(self, number):
        try:
            return self._made[number]
        except KeyError:
            # If two threads get here at once, both use the shard that was stored first.
            return self._made.setdefault(number, self._make(number, len(self)))

    def all(self):
        return [self[number] for number in range(len(self))]

    def made(self):
        """Return the shards that were needed so far."""
        return list(self._made.values())

    def random_number(self):
        return random.randrange(len(self))

    def number_for(self, name):
        """Return the number of the shard for a name. Processes of release 1.4 compute the same."""
        ring_position = binascii.crc32(name) & 0xFFF
        return int(ring_position / (4096 / float(len(self))))

    def for_name(self, name):
        """Return the shard of a group, or of a queue that has one reader."""
        return self[self.number_for(name.encode("utf-8")) if len(self) > 1 else 0]

    def of(self, queue):
        """Return the shards that may hold ``queue``: only one if it has one reader, which keeps it in order."""
        return [self.for_name(queue)] if "!" in queue or "?" in queue else self.all()

    def for_sending(self, queue, capacity):
        """
        Return [(shard, how many messages of ``queue`` it may hold), ...], the next in turn first.

        All shards of a queue together hold its capacity.
        """
        if self._only is not None:
            return [(self._only, capacity)]
        shards = self.of(queue)
        if len(self) == 1:
            self._only = shards[0]
        if len(shards) == 1:
            return [(shards[0], capacity)]
        whole, rest = divmod(capacity, len(shards))
        first = next(self._turns.get(queue) or self._turn_of(queue)) % len(shards)
        places = [(shard, whole + (shard.number < rest)) for shard in shards]
        return places[first:] + places[:first]

    def _turn_of(self, queue):
        if len(self._turns) >= KNOWN_TURNS:
            self._turns.clear()
        return self._turns.setdefault(queue, itertools.count(random.randrange(4096)))
