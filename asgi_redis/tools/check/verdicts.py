"""What a check has found."""
from __future__ import unicode_literals

import collections

OK, NOTE, WARNING, ERROR = "ok", "note", "WARNING", "ERROR"

#: The exit statuses of the command.
STATUS = {OK: 0, NOTE: 0, WARNING: 1, ERROR: 2}

#: ``level``: one of these. ``about``: what was looked at, in a word or two. ``text``: what was found, and what helps.
Verdict = collections.namedtuple("Verdict", "level about text")


def ok(about, text):
    return Verdict(OK, about, text)


def note(about, text):
    return Verdict(NOTE, about, text)


def warning(about, text):
    return Verdict(WARNING, about, text)


def error(about, text):
    return Verdict(ERROR, about, text)


def worst(verdicts):
    """Return the exit status for ``verdicts``."""
    return max([STATUS[verdict.level] for verdict in verdicts] or [0])
