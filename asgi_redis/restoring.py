"""Putting back what was taken out of queues, but nobody got."""
from __future__ import unicode_literals

import functools

import six
from redis.exceptions import RedisError

from . import scripts
from .readers import Readers
from .shards import SENDER_MS
from .unsettled import Unsettled


class Restoring(object):
    """
    What a reader does before it takes anything else from a shard.

    Three things may be left from before: an answer of the receiving script that did not come (``recover``), the key of
    a message that a blocking pop brought but that could not be read or put back (``restore``), and a blocking pop whose
    connection broke, perhaps with an answer (``reclaim``).
    """

    def _setup_restoring(self):
        self._readers = Readers(self.client_prefix)
        self._unsettled = Unsettled()

    def _reader_keys(self, index, reader):
        """The keys of a reader's receipt, and of the message that it took last."""
        return [self._stats_key(index, "#receipt#" + reader.name), self._key(index, "#taken#" + reader.name)]

    def _settle(self, index, reader):
        """Put back what could not be put back before, and what ``reader`` took if its last call was not answered."""
        if self._unsettled:
            self._unsettled.settle(
                index, self.connection(index),
                lambda *keys: self._run(index, *self._restoring(index, *keys)), functools.partial(self._reclaim, index),
            )
        if reader.unanswered:
            self._recover(index, reader)

    def _recover(self, index, reader):
        number, queue_keys = reader.unanswered
        keys = self._reader_keys(index, reader) + self._message_keys(index, 1)
        for queue_key in queue_keys:
            keys += [queue_key, self._notes_key(index, queue_key)]
        self._run(index, scripts.recover, keys, [number, reader.next_number(), self._queue_ms])
        reader.unanswered = None

    def _restore(self, index, queue_key, message_key):
        """Put the key of a message that was popped, but not read, back to the head of its queue; later if need be."""
        try:
            self._insist(index, *self._restoring(index, queue_key, message_key))
        except BaseException as error:
            self._unsettled.add_message(index, queue_key, message_key)
            if not isinstance(error, RedisError):
                raise

    def _restoring(self, index, queue_key, message_key):
        """The script that does so, its keys and arguments."""
        notes_key = self._notes_key(index, six.ensure_text(queue_key))
        return scripts.restore, [queue_key, message_key, notes_key], [self._queue_ms]

    def _reclaim(self, index, queue_keys):
        """Put back what a blocking pop on ``queue_keys`` may have taken, before its connection broke."""
        keys = [key for queue_key in queue_keys for key in (queue_key, self._notes_key(index, queue_key))]
        self._run(index, scripts.reclaim, keys, [self._queue_ms])

    def _put_back(self, channel, message):
        """Put a message that was received, but that nobody got, back to the head of its queue."""
        queue = self.non_local_name(channel)
        if "!" in channel:
            self._inbox.put_back(queue, channel, lambda: message, self.expiry)
            return
        index = self._shards(queue)[0]
        queue_key = self._key(index, queue)
        keys = [queue_key] + self._message_keys(index, 1) + [self._sender_key(index), self._notes_key(index, queue_key)]
        args = [self._body(message, channel), self._message_ms, self._queue_ms, SENDER_MS, next(self._sent)]
        self._insist(index, scripts.put_back, keys, args)
