from __future__ import unicode_literals

import binascii
import functools
import logging
import os
import threading
import time

import pytest
import six

from asgi_redis import RedisChannelLayer, RedisClusterChannelLayer, RedisSentinelChannelLayer, cluster
from asgi_redis.delivery.losses import Losses
from asgi_redis.tools import embedded

from . import acl, patience, record, servers

# What was lost in the last second of the run is logged when pytest shows the log no more.
logging.getLogger("asgi_redis").addHandler(logging.NullHandler())

# Commands that tests start see this, too.
if os.environ.get("ASGI_REDIS_TEST_SERVER") == "embedded":
    os.environ[str("ASGI_REDIS_SERVER")] = str(embedded.packaged_binary())

#: Written with async and await.
collect_ignore = ["test_asyncio.py", "test_pending_async.py"] if six.PY2 else []

if acl.LIMITED:
    # The demo makes up its prefixes, which no user was made for.
    collect_ignore.append("test_demo.py")

needs_cluster = pytest.mark.skipif(cluster.RedisCluster is None, reason="redis-py before 4.1 knows no Redis Cluster")


#: What is done about warnings while a test of the suite runs; the last that fits is valid.
WARNINGS = [
    "error",
    # cryptography says it of old Pythons; so does msgpack-python of its own import there.
    "ignore:Python [23].* is no longer supported",
    "ignore:can't resolve package from __spec__:ImportWarning",
    # redis-py 2 with hiredis, also when it makes a parser.
    "ignore:(The )?distutils .* deprecated:DeprecationWarning",
    # redis-py 2 with TLS, on Python 3.10 and 3.11.
    "ignore:ssl[.](wrap_socket|PROTOCOL_TLS)\\b.* is deprecated:DeprecationWarning",
    # The oldest msgpack, of a default of its own: the peer has only what the page of the wire format tells it.
    "ignore:unicode_errors is deprecated:PendingDeprecationWarning:tests[.]wire_peer",
    # Tests fork on purpose, beside threads and greenlets.
    "ignore:Using fork.. is a bad idea:DeprecationWarning",
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning",
    # They are given when the collector runs, which may be in another test.
    "ignore:unclosed",
    "default:Exception ignored",
]


def pytest_addoption(parser):
    parser.addoption("--record", metavar="PATH", help="write versions and the number of tests passed to this file")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.nodeid.partition("::")[0].count("/") == 1:  # folders have tests of other packages too
            item.add_marker(pytest.mark.filterwarnings(*WARNINGS))


def pytest_sessionfinish(session):
    path = session.config.getoption("record")
    if path and not hasattr(session.config, "workerinput"):  # which a process of xdist has
        record.write(path, session.config.pluginmanager.get_plugin("terminalreporter"))


@pytest.fixture
def make_layer():
    """
    Makes layers on real servers: ``make_layer(shards=1, **arguments)``. All that one test makes have the same prefixes,
    which are its own; what they leave in Redis is deleted after it.
    """
    own = binascii.hexlify(os.urandom(4)).decode("ascii")
    made = []

    def make(shards=1, **arguments):
        prefix = arguments.setdefault("prefix", "test-%s:" % own)
        stats_prefix = arguments.setdefault("stats_prefix", "test-meta-%s:" % own)
        arguments.setdefault("hosts", servers.hosts(shards, prefix, stats_prefix))
        made.append(RedisChannelLayer(**arguments))
        return made[-1]

    yield make
    for layer in made:
        patience.silence(layer)
        layer.flush()


@pytest.fixture
def layer(make_layer):
    """A layer on one server, with default settings."""
    return make_layer()


@pytest.fixture(autouse=True)
def no_late_lines():
    """Keeps the log of lost messages, which speaks a second later, from speaking into the next test."""
    yield
    for thread in threading.enumerate():
        if isinstance(getattr(getattr(thread, "function", None), "__self__", None), Losses):
            thread.cancel()


@pytest.fixture
def hurry(monkeypatch):
    """
    Shortens the waits of a layer: ``hurry(layer, reply=None, remind=None)``, all in seconds.

    ``reply``: how long a server may take to answer a command, and how late it may answer a blocking pop. ``remind``:
    how long after a line in the log that says that an outage lasts the next one follows.
    """
    def hurry(layer, reply=None, remind=None):
        if reply is not None:
            patience.hurry(layer, reply)
            patience.hurry_pops(monkeypatch, reply)
        if remind is not None:
            patience.hurry_reminders(monkeypatch, remind)

    return hurry


@pytest.fixture
def hurried_outages(monkeypatch):
    """Layers find out sooner that a shard is unavailable, for tests of what comes after that."""
    patience.hurry_outages(monkeypatch)


@pytest.fixture
def wall_clock(monkeypatch):
    """``wall_clock(seconds)``: let the clock that encryption goes by stand still, so much ahead of now, or behind."""
    now = int(time.time())

    def set_clock(seconds):
        monkeypatch.setattr("cryptography.fernet.time.time", lambda: float(now + seconds))

    yield set_clock
    monkeypatch.undo()


@pytest.fixture(params=[1, 2, 3])
def shards(request):
    """How many servers a layer has."""
    return request.param


@pytest.fixture
def client():
    """A redis-py client of the first server, to see what is in Redis."""
    return servers.client()


class Topology(object):
    """``servers``: what runs, if tests need it; ``make(**arguments)`` makes a layer, and can be pickled."""

    def __init__(self, make, servers=None):
        self.make = make
        self.servers = servers


@pytest.fixture(scope="session")
def plain():
    yield Topology(functools.partial(RedisChannelLayer, hosts=servers.hosts(4)))


@pytest.fixture(scope="session")
def sentinel():
    with servers.Sentinels() as running:
        user = acl.arguments(running.ports())
        yield Topology(functools.partial(RedisSentinelChannelLayer, hosts=running.hosts, **user), running)


@pytest.fixture(scope="session")
def redis_cluster():
    with servers.Cluster() as running:
        user = acl.arguments([port for _, port in running.hosts], acl.words_for_cluster())
        yield Topology(functools.partial(RedisClusterChannelLayer, hosts=running.hosts, **user), running)


@pytest.fixture(params=["plain", "sentinel", pytest.param("redis_cluster", marks=needs_cluster)])
def topology(request):
    return request.getfixturevalue(request.param)
