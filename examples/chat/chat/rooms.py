"""
The rooms, in Redis: who is in them and what was said. So every Daphne and every worker sees the same.

    chat:rooms         sorted set: the open rooms, by the time of the last sign of life
    chat:<slug>:here   sorted set: the sockets (their reply channels), by the time of the last sign of life
    chat:<slug>:names  hash: the name of each socket
    chat:<slug>:said   sorted set: the last messages, as JSON, by their number
    chat:<slug>:last   the last number given out

All of it expires when nobody gives a sign of life, so a crash leaves nothing behind. Times are in milliseconds.
"""
import json
import time

import redis
from django.conf import settings

#: How many messages a room remembers.
KEPT = 100

#: The longest message and the longest name, in characters.
TEXT_LENGTH = 500
NAME_LENGTH = 24

#: Seconds between two signs of life of a browser.
BEAT = 40

#: Seconds without one after which a socket counts as gone: its Daphne has crashed. Browsers run the timers of hidden
#: tabs once a minute at the most, so it is well above that.
GONE_AFTER = 150

client = redis.StrictRedis.from_url(settings.HOSTS[0], decode_responses=True)

# The next number of a room: the time, but always more than the one before, whichever worker asks.
# KEYS: last. ARGV: the time, seconds to live. Answer: the number.
next_number = client.register_script("""
    local number = math.max(tonumber(ARGV[1]), tonumber(redis.call("GET", KEYS[1]) or 0) + 1)
    redis.call("SET", KEYS[1], string.format("%.0f", number))
    redis.call("EXPIRE", KEYS[1], ARGV[2])
    return number
""")

# Take a socket out of a room, and delete the room with the last one. A script, so that nobody enters in between.
# KEYS: rooms, here, names, said, last. ARGV: slug, socket. Answer: the socket's name, nil where it was not here.
take_out = client.register_script("""
    local name = redis.call("HGET", KEYS[3], ARGV[2])
    redis.call("HDEL", KEYS[3], ARGV[2])
    redis.call("ZREM", KEYS[2], ARGV[2])
    if redis.call("ZCARD", KEYS[2]) == 0 then
        redis.call("DEL", KEYS[2], KEYS[3], KEYS[4], KEYS[5])
        redis.call("ZREM", KEYS[1], ARGV[1])
    end
    return name
""")


def now():
    return int(time.time() * 1000)


def open_rooms():
    """The rooms with somebody in them: a list of (slug, number of people), by name."""
    slugs = sorted(client.zrangebyscore("chat:rooms", now() - GONE_AFTER * 1000, "+inf"))
    return [(slug, count) for slug, count in ((slug, len(Room(slug).people())) for slug in slugs) if count]


class Room:
    """A room, made by the first who enters, gone with the last who leaves."""

    def __init__(self, slug):
        self.slug = slug
        self.keys = ["chat:%s:%s" % (slug, part) for part in ("here", "names", "said", "last")]
        self.here, self.names, self.said, self.last = self.keys

    def number(self):
        """The next number, for the order of what happens in the room. It tells the time, too."""
        return next_number(keys=[self.last], args=[now(), GONE_AFTER])

    def people(self):
        """The names of those who are here, sorted."""
        return sorted(set(client.hvals(self.names)), key=str.lower)

    def name_of(self, socket):
        """The name of who is behind ``socket``, None where it is not here."""
        return client.hget(self.names, socket)

    def enter(self, socket, name):
        """Returns whether nobody of that name was here; one may have the room open twice."""
        is_new = name not in client.hvals(self.names)
        pipe = client.pipeline()
        pipe.hset(self.names, socket, name)
        pipe.zadd(self.here, {socket: now()})
        self._live_on(pipe)
        pipe.execute()
        return is_new

    def beat(self, socket):
        """A sign of life."""
        pipe = client.pipeline()
        pipe.zadd(self.here, {socket: now()}, xx=True)
        self._live_on(pipe)
        pipe.execute()

    def _live_on(self, pipe):
        pipe.zadd("chat:rooms", {self.slug: now()})
        for key in self.keys + ["chat:rooms"]:
            pipe.expire(key, GONE_AFTER)

    def leave(self, socket):
        """Returns the name; None where it was not here, still is by another socket, or nobody is left to be told."""
        name = take_out(keys=["chat:rooms"] + self.keys, args=[self.slug, socket])
        others = client.hvals(self.names)
        return name if others and name not in others else None

    def silent(self):
        """The sockets that gave no sign of life for too long."""
        return client.zrangebyscore(self.here, "-inf", now() - GONE_AFTER * 1000)

    def say(self, name, text, id):
        """Add a message, and return it. Said again with the same ``id`` it is the same one, with the same number."""
        message = json.dumps({"kind": "said", "name": name, "text": text, "id": id}, sort_keys=True)
        number = self.number()
        pipe = client.pipeline()
        pipe.zadd(self.said, {message: number}, nx=True)
        pipe.zscore(self.said, message)
        pipe.zremrangebyrank(self.said, 0, -KEPT - 1)
        pipe.expire(self.said, GONE_AFTER)
        return self._entry(message, pipe.execute()[1])

    def history(self):
        """The last messages, the oldest first."""
        return [self._entry(*pair) for pair in client.zrange(self.said, 0, -1, withscores=True)]

    @staticmethod
    def _entry(message, number):
        return dict(json.loads(message), at=int(number))
