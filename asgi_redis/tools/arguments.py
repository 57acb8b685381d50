"""Types of arguments for ``argparse``."""
from __future__ import unicode_literals

import argparse


def at_least_one(text):
    """Return the whole number in ``text``. ArgumentTypeError if it is none, or is below 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError("%r is not a whole number above 0" % (text,))
    return number


def seconds(text):
    """Return the number in ``text``. ArgumentTypeError if it is none, or is not from 0.1 to 3600."""
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0.1 <= number <= 3600:
        raise argparse.ArgumentTypeError("%r is not a number of seconds from 0.1 to 3600" % (text,))
    return number
