"""Checks of constructor arguments."""
from __future__ import unicode_literals

import math

import six

from .server.urls import LARGEST_PORT


def check_list(name, value):
    """Return ``value`` as a list. ValueError if it is text or can't be iterated."""
    if isinstance(value, (six.text_type, six.binary_type)) or not hasattr(value, "__iter__"):
        raise ValueError("%s must be a list, not %s." % (name, type(value).__name__))
    return list(value)


def check_positive(name, value, least=0):
    """Raise TypeError if ``value`` is not a number, ValueError if it is not above 0, or is below ``least``."""
    if isinstance(value, bool) or not isinstance(value, six.integer_types + (float,)):
        raise TypeError("%s must be a number, not %s." % (name, type(value).__name__))
    if not value > 0 or value < least or math.isinf(value):
        raise ValueError("%s must be a positive number, at least %s, not %r." % (name, least, value))


def check_capacities(name, value):
    """Raise TypeError or ValueError if ``value`` is not a dict of numbers by text or compiled regular expression."""
    if not hasattr(value, "items"):
        raise TypeError("%s must be a dict, not %s." % (name, type(value).__name__))
    for pattern, capacity in value.items():
        if not isinstance(pattern, six.string_types) and not hasattr(pattern, "match"):
            raise TypeError("The keys of %s must be text or compiled regular expressions, not %r." % (name, pattern))
        if capacity != 0 or isinstance(capacity, bool):
            check_positive("The capacity in %s of %r" % (name, pattern), capacity)


def check_address(what, value):
    """
    Return ``value``, a (host, port) pair, with a whole number as port. ValueError otherwise, without the value, which
    may be a URL with a password. Release 1.4 needed brackets around an IPv6 address, so they are accepted.
    """
    if not isinstance(value, (list, tuple)) or len(value) != 2 or not isinstance(value[0], six.string_types):
        raise ValueError("A %s must be a (host, port) pair, not this %s." % (what, type(value).__name__))
    host, port = value
    if set("/@") & set(host):
        raise ValueError("A %s must be a (host, port) pair, whose host must not have a / or an @." % what)
    try:
        port = 0 if isinstance(port, bool) else int(port)
    except (TypeError, ValueError):
        port = 0
    if not 1 <= port <= LARGEST_PORT:
        raise ValueError("A %s must be a (host, port) pair, whose port must be from 1 to %d." % (what, LARGEST_PORT))
    return host.strip("[]"), port


def check_text(name, value):
    """Raise TypeError if ``value`` is not text (on Python 2, ``unicode``), ValueError if UTF-8 can't encode it."""
    if not isinstance(value, six.text_type):
        raise TypeError("%s must be text, not %s." % (name, type(value).__name__))
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        six.raise_from(ValueError("%s must be valid Unicode, not %r." % (name, value)), None)
