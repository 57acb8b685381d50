"""The Redis serialization protocol, version 2."""
from __future__ import unicode_literals

import six
from redis.exceptions import InvalidResponse

# Commands.


def bulk(value):
    """Return ``value`` (bytes, text or an integer) as a bulk string, the form of an argument."""
    if not isinstance(value, six.binary_type):
        value = (value if isinstance(value, six.text_type) else "%d" % value).encode("utf-8")
    return b"$" + ascii_digits(len(value)) + b"\r\n" + value + b"\r\n"


def array(length):
    """Return the beginning of an array of ``length`` arguments."""
    return b"*" + ascii_digits(length) + b"\r\n"


def command(*arguments):
    """Return a whole command."""
    return array(len(arguments)) + b"".join([bulk(argument) for argument in arguments])


def ascii_digits(number):
    # Python 3.4 has no % for bytes.
    return ("%d" % number).encode("ascii")


# Replies.


class Error(str):
    """An error reply."""


def parse(data, begin=0):
    """
    Return (reply, where it ends) of what begins at ``begin`` in ``data``: bytes, an integer, None, a list of these, or
    an ``Error``.

    If the reply is incomplete, "where it ends" is beyond the end of ``data``, and perhaps less than it turns out to be.
    """
    end = data.find(b"\r\n", begin) + 2
    if end < 2:
        return None, len(data) + 1
    kind, rest = data[begin:begin + 1], data[begin + 1:end - 2]
    if kind == b":":
        return int(rest), end
    if kind == b"$":
        return _bulk(data, end, int(rest))
    if kind == b"*":
        return _array(data, end, int(rest))
    if kind == b"+":
        return rest, end
    if kind == b"-":
        return Error(six.ensure_str(rest, errors="replace")), end
    raise InvalidResponse("This is no reply of Redis: %r" % data[begin:begin + 40])


def _bulk(data, begin, length):
    if length < 0:
        return None, begin
    end = begin + length + 2
    return data[begin:end - 2] if end <= len(data) else None, end


def _array(data, end, length):
    if length < 0:
        return None, end
    replies = []
    for _ in range(length):
        reply, end = parse(data, end)
        if end > len(data):
            break
        replies.append(reply)
    return replies, end
