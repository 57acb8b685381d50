"""One conversation with a shard."""
from __future__ import unicode_literals

from redis.exceptions import ResponseError

from . import resp, times
from .keys import random_name

#: How many digits a number has in message keys and in commands.
DIGITS = 12


class Session(object):
    """
    A connection, a random name, and the number of the last call.

    Scripts note the number of the session's last call in Redis. A call whose reply was lost is repeated with the same
    number, and done only once; a call with a number below the noted one arrives late, and does nothing. A session has
    one call at a time: threads, greenlets, signal handlers and forked processes each borrow another one. Names are
    random, because process and thread numbers are used again.

    ``keys``: the shard's ``Keys``.
    """

    __slots__ = (
        "name", "key", "packed_key", "packed_message", "number", "renew_at", "life", "connection", "opened", "idle_at",
        "sent", "late",
    )

    def __init__(self, keys):
        self.name = random_name().encode("ascii")
        self.key = keys.session(self.name)
        self.packed_key = resp.bulk(self.key)
        #: A message key as an argument, up to the digits of its number.
        message = keys.prefix + self.name
        self.packed_message = b"$" + resp.ascii_digits(len(message) + DIGITS) + b"\r\n" + message
        #: Numbers begin with 2, so that counting up from nothing never gives the number of a call: see send.lua.
        self.number = 1
        #: When the number's life is renewed next, by ``times.monotonic``, and how much later the time after that.
        self.renew_at = 0
        self.life = keys.session_ms / 4000.0
        #: A ``Connection``. None during a call, so that an interrupted call leaves no connection with a reply that
        #: is half read.
        self.connection = None
        #: The same, but during a call too: a forked child closes it.
        self.opened = None
        #: From when on the connection counts as idle, and is checked before its next use. ``times.monotonic``.
        self.idle_at = 0
        #: True if the last call may have reached the server, but got no reply.
        self.sent = False
        #: ``number`` of the last call that was repeated because a try got no reply. That try may still arrive.
        self.late = 0

    def reserve(self, count=1):
        """Reserve ``count`` numbers for the next call, and return the first."""
        number = self.number + 1
        now = times.monotonic()
        if now >= self.renew_at:
            # A number that is left out makes the script set the key anew, with its whole life.
            self.renew_at = now + self.life
            number += 1
        self.number = number + count - 1
        return number

    def ask(self, command):
        """
        Send a packed command, bytes or a list of bytes, and return its reply. Unless that was read as a whole, the
        connection is closed.
        """
        connection, self.connection = self.connection, None
        try:
            reply = connection.ask(command)
        except ResponseError:
            self.connection = connection
            raise
        except BaseException:
            connection.close()
            self.opened = None
            raise
        self.connection = connection
        return reply

    def close(self):
        opened, self.connection, self.opened = self.opened, None, None
        if opened is not None:
            opened.close()


def digits(number):
    """Return ``number`` in the form that scripts and message keys use."""
    return ("%012d" % number).encode("ascii")
