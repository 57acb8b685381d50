"""The Redis serialization protocol: packing. Replies are parsed by redis-py."""
from __future__ import unicode_literals

import six


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
