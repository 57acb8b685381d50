from __future__ import unicode_literals

import pytest

from .. import patience, servers
from .process import Process


@pytest.fixture(autouse=True)
def slow_replies(monkeypatch):
    patience.bear_slow_replies(monkeypatch)


@pytest.fixture(scope="session")
def process():
    """The release, in the process that the tests share."""
    with Process() as process:
        yield process


@pytest.fixture
def make_pair(make_layer, process):
    """Makes a layer of ours and one of the release with the same arguments: ``make_pair(shards=1, **arguments)``."""

    def make(shards=1, **arguments):
        ours = make_layer(shards, **arguments)
        same = dict(arguments, prefix=ours.prefix, stats_prefix=ours.stats_prefix)
        same.setdefault("hosts", servers.hosts(shards))
        return ours, process.layer(**same)

    return make


@pytest.fixture(params=["ours writes", "release writes"])
def ours_first(request):
    """Who is the first of two: the writer, most often."""
    return request.param == "ours writes"


@pytest.fixture(params=["plain", "encrypted"])
def arguments(request):
    """Arguments that both have; several keys and an odd prefix go together."""
    if request.param == "plain":
        return {}
    return {"symmetric_encryption_keys": ["new key", "old key"], "prefix": "o*d[d]?:"}


@pytest.fixture
def make_both(make_pair, ours_first):
    """As ``make_pair``, but in both orders, a test each: (writer, reader)."""

    def make(shards=1, **arguments):
        pair = make_pair(shards, **arguments)
        return pair if ours_first else pair[::-1]

    return make


@pytest.fixture
def both(make_both, shards, arguments):
    """(writer, reader): ours and the release in both orders, on one to three shards, plain and encrypted."""
    return make_both(shards, **arguments)
