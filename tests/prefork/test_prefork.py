"""A layer that was made and used before Celery, gunicorn and uWSGI fork their workers delivers each message once."""
from __future__ import unicode_literals

import binascii
import collections
import json
import os
import re
import signal

import pytest

import asgi_redis

from .. import servers
from ..patience import receive_within, until

for module in ("celery", "eventlet", "gevent", "gunicorn", "requests"):
    pytest.importorskip(module)

from .processes import PATIENCE, UWSGI, Celery, Gunicorn  # noqa: E402

SERVERS = {
    "celery-prefork": (Celery, "prefork", ["--concurrency=2"]),
    "celery-threads": (Celery, "threads", ["--concurrency=4"]),
    "celery-gevent": (Celery, "gevent", ["--concurrency=4"]),
    "celery-eventlet": (Celery, "eventlet", ["--concurrency=4"]),
    "celery-solo": (Celery, "solo", []),
    "gunicorn-sync": (Gunicorn, "sync", []),
    "gunicorn-gthread": (Gunicorn, "gthread", ["--threads=4"]),
    "gunicorn-gevent": (Gunicorn, "gevent", []),
    "gunicorn-eventlet": (Gunicorn, "eventlet", []),
    "uwsgi": (UWSGI, "default", ["--enable-threads"]),
    "uwsgi-hooks": (UWSGI, "hooks", ["--enable-threads", "--py-call-uwsgi-fork-hooks"]),
}
WEB = [name for name in SERVERS if not name.startswith("celery")]
FORKING = ["celery-prefork"] + WEB

#: Those whose parents use the layer in a thread while they fork. uWSGI's forked workers may hang then, unless it calls
#: the hooks; and the parent of gunicorn's eventlet workers, which is patched too, gives greenlets no time.
PARENT_WORKS = [name for name in FORKING if name not in ("uwsgi", "gunicorn-eventlet")]

PATCHED = [name for name in SERVERS if name.endswith(("gevent", "eventlet"))]

#: How many messages a worker sends for one request.
MANY = 100


def on(names):
    return pytest.mark.parametrize("server", names, indirect=True)


@pytest.fixture(scope="module")
def server(request, tmp_path_factory):
    kind, workers, options = SERVERS[request.param]
    own = binascii.hexlify(os.urandom(4)).decode("ascii")
    arguments = {
        "hosts": servers.hosts(2), "prefix": "test-%s:" % own, "stats_prefix": "test-meta-%s:" % own, "capacity": 10000,
        "channel_capacity": {"full": 1},
    }
    path = [os.path.dirname(os.path.dirname(os.path.abspath(asgi_redis.__file__))), os.environ.get("PYTHONPATH")]
    environment = dict(
        os.environ,
        PREFORK_LAYER=json.dumps(arguments),
        PREFORK_BROKER=servers.plain()[0].url,
        PREFORK_PARENT_WORKS="yes" if request.param in PARENT_WORKS else "",
        PYTHONPATH=os.pathsep.join(filter(None, path)),
        PYTHONUNBUFFERED="1",
    )
    running = kind(workers, options, environment, str(tmp_path_factory.mktemp(request.param)))
    running.layer = asgi_redis.RedisChannelLayer(**arguments)
    try:
        running.wait()
        yield running
        running.stop()
    finally:
        running.kill()
        running.layer.flush()


@pytest.fixture
def layer(server):
    """The test's own layer. What the server logs is shown with a test that fails."""
    assert left(server.layer, ["results", "orders"]) == []
    before = len(server.log())
    yield server.layer
    print("\n".join(server.log()[before:]))
    left(server.layer, ["results", "orders", "full"])


def left(layer, channels):
    """Receive all that waits on ``channels``, and return it: a list of messages."""
    return list(iter(lambda: layer.receive(channels)[1], None))


def arrived(layer):
    """Return what the workers have sent: a sorted list of (name, number)."""
    return sorted((message["name"], message["n"]) for message in left(layer, ["results"]))


def numbered(names, count=MANY):
    return sorted((name, number) for name in names for number in range(count))


def send_orders(layer, count):
    for number in range(count):
        layer.send("orders", {"n": number})


def logged_as_dropped(server):
    """Return how many messages of groups were dropped, as the log says."""
    return sum(map(int, re.findall(r"Channel full is full \(capacity 1\): dropped (\d+)", "\n".join(server.log()))))


def workers(server):
    """Return the process numbers of the workers that reply to a few requests."""
    return {done["process"] for done in server.begin([("talk_to_itself", 5)] * 8).results() if done}


# On all servers.


@on(SERVERS)
def test_each_message_that_workers_send_arrives_once(server, layer):
    names = ["%d" % number for number in range(10)]
    assert None not in server.begin([("send", name, MANY) for name in names]).results()
    assert arrived(layer) == numbered(names)


@on(SERVERS)
def test_each_message_is_received_by_one_worker(server, layer):
    send_orders(layer, 50)
    done = server.begin([("forward",)] * 50).results()
    assert sorted(each["result"] for each in done) == list(range(50))
    assert arrived(layer) == numbered(["order"], 50)


@on(SERVERS)
def test_a_single_reader_channel_keeps_its_order(server, layer):
    done = server.begin([("talk_to_itself", 20)] * 10).results()
    assert [each["result"] for each in done] == [list(range(20))] * 10


@on(SERVERS)
def test_messages_that_a_full_channel_refused_are_logged_later_though_no_work_follows(server, layer):
    layer.group_add("crowd", "full")
    server.do("fill", 20)
    until(lambda: logged_as_dropped(server) == 19, "all but the first message are logged as dropped", PATIENCE)


# Workers that are forked.


@on(PARENT_WORKS)
def test_the_parent_sends_and_receives_beside_its_workers(server, layer):
    for number in range(50):
        layer.send("parent", {"n": number})
    server.begin([("send", "worker", MANY)]).results()
    found = [message for _, message in receive_within(layer, ["results"], PATIENCE, 50 + MANY)]
    names = sorted((message["name"], message["n"]) for message in found)
    assert names == numbered(["parent"], 50) + numbered(["worker"])
    assert {each["process"] for each in found if each["name"] == "parent"} == {server.process.pid}
    assert server.process.pid not in {each["process"] for each in found if each["name"] == "worker"}
    assert left(layer, ["results"]) == []


@on(FORKING)
def test_all_that_was_acknowledged_arrives_once_though_a_worker_is_killed(server, layer):
    names = ["%d" % number for number in range(30)]
    under_way = server.begin([("send", name, MANY) for name in names])
    (_, first), = receive_within(layer, ["results"], PATIENCE)
    os.kill(first["process"], signal.SIGKILL)
    done = under_way.results()
    counts = collections.Counter([(first["name"], first["n"])] + arrived(layer))
    acknowledged = [name for name, result in zip(names, done) if result is not None]
    assert set(counts) >= set(numbered(acknowledged))
    assert set(counts.values()) == {1}


@on(FORKING)
def test_a_killed_worker_is_replaced_and_the_new_one_works(server, layer):
    before = until(lambda: workers(server), "workers answer", PATIENCE)
    killed = min(before)
    os.kill(killed, signal.SIGKILL)
    until(lambda: len(workers(server) - {killed}) == 2, "two workers answer", PATIENCE)
    assert None not in server.begin([("send", "%d" % number, MANY) for number in range(10)]).results()
    assert arrived(layer) == numbered(["%d" % number for number in range(10)])


@on(FORKING)
def test_only_what_a_killed_worker_had_received_is_lost(server, layer):
    send_orders(layer, 200)
    under_way = server.begin([("forward",)] * 150)
    (_, first), = receive_within(layer, ["results"], PATIENCE)
    os.kill(first["process"], signal.SIGKILL)
    unanswered = under_way.results().count(None)
    counts = collections.Counter(message["n"] for message in [first] + left(layer, ["results", "orders"]))
    assert set(counts.values()) == {1}
    assert 200 - len(counts) <= unanswered


@on(WEB)
def test_a_graceful_restart_loses_nothing(server, layer):
    before = server.children()
    send_orders(layer, 200)
    under_way = server.begin([("forward",)] * 150)
    (_, first), = receive_within(layer, ["results"], PATIENCE)
    server.reload()
    under_way.results()
    numbers = sorted(message["n"] for message in [first] + left(layer, ["results", "orders"]))
    assert numbers == list(range(200))
    until(lambda: server.children().isdisjoint(before), "all workers are new", PATIENCE)
    assert workers(server)


# Workers whose threads are greenlets.


@on(PATCHED)
def test_other_greenlets_work_while_a_receive_waits(server, layer):
    assert server.do("is_patched")
    assert server.do("ticks") > 4  # a hundred on a quiet machine, none if they do not work
