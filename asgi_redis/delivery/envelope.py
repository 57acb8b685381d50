"""Messages inside bodies, and the names of the process-specific channels that they are for."""
from __future__ import unicode_literals

import six

from ..codec import BadMessage

#: The key under which a message to a process-specific channel carries the channel's full name, or a list of several.
FULL_NAME = "__asgi_channel__"

#: The longest string that Redis takes, in bytes.
LARGEST_BODY = 512 * 1024 * 1024


class Unreadable(Exception):
    """There is no message in a body. ``error``: the exception that says why."""

    def __init__(self, error):
        super(Unreadable, self).__init__(error)
        self.error = error

    @property
    def reason(self):
        """The reason in words, without the content."""
        return str(self.error) if isinstance(self.error, BadMessage) else type(self.error).__name__


def made(make, *arguments):
    """Return ``make(*arguments)``, which unpacks a message; Unreadable if it is not a message."""
    try:
        return make(*arguments)
    except Exception as first:
        # The exception may come from a signal handler, and not be about the message: then a second try succeeds.
        try:
            make(*arguments)
        except Exception as error:
            six.raise_from(Unreadable(error), None)
        raise first


class Envelope(object):
    """
    Makes and opens the bodies of messages.

    ``codec``: the layer's ``Codec``. ``serialize``, ``deserialize``: the layer's methods, which a subclass may
    override. ``is_own``: True if no subclass does, so that the codec can be used step by step. ``largest``: how many
    bytes a body may have (default 512 MB). ``too_large``: the exception for a larger one.
    """

    def __init__(self, codec, serialize, deserialize, is_own, largest, too_large):
        self._codec = codec
        is_plain = is_own and codec.crypter is None
        self._serialize = codec.pack if is_plain else serialize
        self._deserialize = codec.unpack if is_plain else deserialize
        self._is_own = is_own
        self._largest = largest or LARGEST_BODY
        self._too_large = too_large

    # Sending.

    def check(self, message):
        if not isinstance(message, dict):
            raise TypeError("A message must be a dict, not %s." % type(message).__name__)
        if FULL_NAME in message:
            raise ValueError("A message must not have the key %s: the layer uses it." % FULL_NAME)

    def seal(self, message, target, names=None):
        """
        Return the body of ``message``. ``target``: the channel or group, as errors name it. ``names``: the
        process-specific channel that it is for, or a list of several of one process.

        TypeError if the message can't be packed, ``MessageTooLarge`` if the body is too large.
        """
        if names is not None:
            message = dict(message)
            message[FULL_NAME] = names
        try:
            body = self._serialize(message)
        except TypeError as error:
            six.raise_from(TypeError("The message for %s can't be packed: %s." % (target, error)), None)
        if len(body) > self._largest:
            self._refuse(body, target)
        return body

    def _refuse(self, body, target):
        raise self._too_large(
            "The message for %s has %d bytes, more than max_message_size (%d)." % (target, len(body), self._largest)
        )

    def sealer(self, message, target):
        """
        Return a function that returns the body of ``message`` for a list of channels of one process, or without names
        if the list is None. The message is packed only once. Raises the errors of ``seal``; the size that counts is
        that without names.
        """
        shared = self.seal(message, target)
        if not self._is_own:
            return lambda names: shared if names is None else self.seal(message, target, names)
        packed = self._codec.pack(message) if self._codec.crypter else shared

        def seal(names):
            if names is None:
                return shared
            return self._codec.encrypt(self._codec.with_item(packed, len(message), FULL_NAME, names))

        return seal

    # Receiving.

    def open(self, queue, body, is_for):
        """
        Return (list of the channels of the message in ``body``, message). Unreadable if there is none.

        ``is_for(name, queue)``: returns True if a channel belongs to a queue.
        """
        return made(self._open, queue, body, is_for)

    def _open(self, queue, body, is_for):
        message = self._deserialize(body)
        names = message.pop(FULL_NAME, None)
        if names is None:
            return (queue,), message
        names = names if isinstance(names, list) else [names]
        if not names or not all([is_for(name, queue) for name in names]):
            raise BadMessage("for another channel")
        return names, message

    def copier(self, message):
        """Return a function that returns a new copy of ``message`` each time. Each call costs the same."""
        if self._is_own:
            body, make = self._codec.pack(message), self._codec.unpack
        else:
            body, make = self._serialize(message), self._deserialize
        return lambda: make(body)
