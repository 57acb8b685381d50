"""``send``: one message into one queue."""
from __future__ import unicode_literals

from redis.exceptions import RedisError

from ..server import resp, scripts, times
from ..server.clients import is_outage
from ..server.keys import ALL_CHANNELS, MESSAGES_COUNT
from ..server.session import digits

#: How many queues of a shard are kept at once. A site uses some hundreds, but new processes have new names.
KNOWN_QUEUES = 10000

#: From this many bytes on, a message does not pass through Lua, which copies it several times. Its key has an f before
#: the digits of the number, by which receive.lua knows it.
LARGE_BODY = 65536


class SendingQueue(object):
    """The packed parts of commands to one queue of one shard that never change."""

    __slots__ = ("head", "head_of_large", "tails", "renew_at")

    def __init__(self, shard, queue):
        keys = [shard.keys.queue(queue)] + [shard.keys.counter(name, MESSAGES_COUNT) for name in (queue, ALL_CHANNELS)]
        packed = b"".join([resp.bulk(key) for key in keys])
        self.head = scripts.send.head(5, 8) + packed
        self.head_of_large = scripts.send.head(5, 7) + packed
        #: {(capacity, renew counters, count if full): packed arguments}.
        self.tails = {}
        #: When the lives of the counters are renewed, by ``times.monotonic``.
        self.renew_at = 0


class Sender(object):
    """
    Sends bodies to queues.

    ``shards``: a ``Shards``. ``counter_lives``: how long the counters of a channel, and of all channels, live after
    their last change, in seconds.
    """

    def __init__(self, shards, counter_lives):
        self._shards = shards
        self._counter_lives = counter_lives

    def send(self, queue, body, capacity):
        """
        Return True once ``body`` is in ``queue``, False if that holds ``capacity`` messages. redis-py's errors.

        If a shard is unavailable, and the message was surely not sent to it, the next shard is tried.
        """
        places = self._shards.for_sending(queue, capacity)
        for shard, room in places[:-1]:
            if self._put(shard, queue, body, room, elsewhere=True):
                return True
        shard, room = places[-1]
        return self._put(shard, queue, body, room)

    def _put(self, shard, queue, body, capacity, elsewhere=False):
        """Return True, or False if the shard can't take the message, because it is full or unavailable."""
        session = None
        try:
            session = shard.borrow()
            number = digits(session.reserve(2))
            if len(body) > LARGE_BODY:
                number = b"f" + number[1:]
                body = self._store(shard, session, number, body, elsewhere)
            command = self._command(shard, session, number, queue, body, capacity, elsewhere)
            if shard.ask(session, command, elsewhere) != 1:
                return False
            session.number -= 1  # the script has noted the first of the two
            return True
        except RedisError as error:
            if not elsewhere or not is_outage(error) or error.was_sent:
                raise
            return False
        finally:
            if session is not None:
                shard.give_back(session)

    def _store(self, shard, session, number, body, elsewhere):
        """
        Store a large body before the script makes it a message, and return None. If it arrives late, it expires; under
        the key of the message, it would be one that no reader has received.
        """
        key = shard.keys.prefix + session.name + number + b"#body"
        begin, end = resp.command("SET", key, body[:0], "PX", shard.keys.message_ms).split(b"$0\r\n")
        try:
            shard.ask(session, [begin + b"$" + resp.ascii_digits(len(body)) + b"\r\n", body, end], elsewhere)
        except RedisError as error:
            error.was_sent = False  # it is in no queue
            raise

    def _command(self, shard, session, number, queue, body, capacity, elsewhere):
        known = shard.queues.get(queue) or self._know(shard, queue)
        renew = times.monotonic() >= known.renew_at
        if renew:
            known.renew_at = times.monotonic() + times.RENEW_COUNTERS
        kind = capacity, renew, elsewhere
        tail = known.tails.get(kind) or self._tail(shard, known, kind)
        if body is None:
            head, body = known.head_of_large, b""
        else:
            head, body = known.head, resp.bulk(body)
        return b"".join((
            head, session.packed_key, session.packed_message, number, b"\r\n$12\r\n0", number[1:], tail, body,
        ))

    def _know(self, shard, queue):
        if len(shard.queues) >= KNOWN_QUEUES:
            shard.queues.clear()
        known = shard.queues[queue] = SendingQueue(shard, queue)
        return known

    def _tail(self, shard, known, kind):
        capacity, renew, elsewhere = kind
        lives = "%d %d %d" % (self._counter_lives + (not elsewhere,))
        keys = shard.keys
        arguments = capacity, keys.message_ms, keys.queue_ms, keys.session_ms, lives, "1" if renew else ""
        if len(known.tails) > 8:  # the capacity changes all the time
            known.tails.clear()
        tail = known.tails[kind] = b"\r\n" + b"".join([resp.bulk(argument) for argument in arguments])
        return tail

    def return_message(self, queue, body):
        """Put a message that was received, but is no longer wanted, back at the head of ``queue``."""
        shard = self._shards.of(queue)[0]
        session = shard.borrow()
        try:
            number = session.reserve()
            keys = [shard.keys.queue(queue), session.key, shard.keys.prefix + session.name + digits(number)]
            arguments = [number, shard.keys.message_ms, shard.keys.session_ms, body]
            shard.ask(session, scripts.return_message.command(keys, arguments))
        finally:
            shard.give_back(session)
