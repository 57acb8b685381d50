"""A site whose Redis is unavailable: Daphne goes on to answer, and ends when told to; workers live through it."""
from __future__ import unicode_literals

import time
from contextlib import contextmanager

import pytest
import redis

from asgi_redis.tools.embedded import Server

from ..servers import eventually
from ..troubles import Stopped, needs_stop
from .processes import PATIENCE, Daphne, Site, Worker
from .test_site import in_threads

requests = pytest.importorskip("requests")
websocket = pytest.importorskip("websocket")

#: How many sockets are open.
SOCKETS = 100

#: How many pages are asked for, one after the other, and how long, in seconds, one may take, and all.
PAGES = 20
PAGE = 6
ALL_PAGES = 10

#: How long, in seconds, the page may take that finds out that a server does not answer: what a reply may take, 5, and
#: another try.
FINDS_OUT = 9

#: How long, in seconds, a process may take to end after SIGTERM.
ENDS = 6


@contextmanager
def gone(server):
    server.kill()
    yield
    server.start()


@contextmanager
def silent(server):
    with Stopped(server):
        yield


OUTAGES = [gone, pytest.param(silent, marks=needs_stop)]


@contextmanager
def running(workers=1, servers=1, **config):
    """A site of one Daphne on ``servers``: (the servers, the site)."""
    servers = [Server().start() for _ in range(servers)]
    try:
        config = dict(config, hosts=[server.url for server in servers])
        with Site({"BACKEND": "asgi_redis.RedisChannelLayer", "CONFIG": config}, daphnes=1, workers=workers) as site:
            yield servers, site
    finally:
        for server in servers:
            server.stop()


def connect(site, count):
    """``count`` open WebSockets."""
    address = "ws://" + site.address("/group/crowd/")
    return in_threads(lambda _: websocket.create_connection(address, timeout=PATIENCE), range(count))


def page(site, timeout):
    """
    The status of a page, and how many seconds it took. None if Daphne closes the connection instead: to end its own
    error page it sends a message, and that fails too.
    """
    begun = time.time()
    try:
        answer = requests.get(
            "http://" + site.address("/"), timeout=timeout, stream=True, headers={"Connection": "close"}
        )
        answer.close()
        status = answer.status_code
    except requests.exceptions.Timeout:
        raise
    except requests.exceptions.ConnectionError:
        status = None
    return status, time.time() - begun


def answers_again(site):
    try:
        return page(site, 5)[0] == 200
    except requests.exceptions.Timeout:
        return False


def assert_fails(status):
    """That a page was answered, as well as it can be without Redis."""
    assert status is None or status >= 500


def blocked(server):
    """How many clients wait for messages."""
    return redis.StrictRedis(port=server.port).info("clients")["blocked_clients"]


def lines_of(process, server):
    """What ``process`` has logged about ``server``."""
    return [line for line in process.log() if "127.0.0.1:%d" % server.port in line]


@pytest.mark.parametrize("outage", OUTAGES)
def test_daphne_answers_and_ends_with_100_sockets_open(outage):
    with running() as ([server], site):
        [daphne] = site.of(Daphne)
        sockets = connect(site, SOCKETS)
        with outage(server):
            assert_fails(page(site, FINDS_OUT)[0])
            times = []
            for _ in range(PAGES):
                status, seconds = page(site, PAGE)
                assert_fails(status)
                times.append(seconds)
                assert sum(times) < ALL_PAGES, times
            begun = time.time()
            daphne.stop(ENDS)
            assert time.time() - begun < ENDS
        for socket in sockets:
            socket.close()


@pytest.mark.parametrize("outage", OUTAGES)
def test_sockets_that_close_meanwhile_do_not_hold_up_pages(outage):
    with running() as ([server], site):
        sockets = connect(site, SOCKETS)
        with outage(server):
            assert_fails(page(site, FINDS_OUT)[0])
            in_threads(lambda socket: socket.shutdown(), sockets)
            times = [page(site, PAGE)[1] for _ in range(6)]
            assert sum(times) < ALL_PAGES, times


@pytest.mark.parametrize("outage", OUTAGES)
def test_the_site_lives_through_it(outage):
    with running(workers=2) as ([server], site):
        assert page(site, PATIENCE)[0] == 200
        with outage(server):
            assert_fails(page(site, FINDS_OUT)[0])
        eventually(lambda: answers_again(site), "a page is answered again")
        assert len(site.of(Worker)) == 2 and len(site.of(Daphne)) == 1
        [socket] = connect(site, 1)
        requests.post("http://" + site.address("/broadcast/crowd/"), data="text", timeout=PATIENCE)
        assert socket.recv() == "text"
        socket.close()


@pytest.mark.parametrize("outage", OUTAGES)
def test_a_worker_ends_when_told_to(outage):
    with running() as ([server], site):
        [worker] = site.of(Worker)
        with outage(server):
            assert_fails(page(site, FINDS_OUT)[0])
            assert worker.stop(ENDS) == 0


def test_pages_are_answered_by_way_of_the_other_shard():
    with running(workers=2, servers=2) as (servers, site):
        assert page(site, PATIENCE)[0] == 200
        eventually(lambda: sorted(map(blocked, servers)) == [2, 3], "all wait: the workers on both shards")
        with gone(min(servers, key=blocked)):  # Daphne's own channel, for the answers, lies on the other
            found = [page(site, PATIENCE) for _ in range(2 * PAGES)]
        assert [status for status, _ in found] == 2 * PAGES * [200]
        assert sum(seconds for _, seconds in found) < ALL_PAGES, found


def test_the_log_has_a_line_at_the_beginning_and_one_at_the_end():
    with running() as ([server], site):
        [worker] = site.of(Worker)
        with gone(server):
            eventually(lambda: lines_of(worker, server), "the worker logs it")
            begun = time.time()
            while time.time() - begun < 2:
                assert len(lines_of(worker, server)) == 1, worker.log()
                time.sleep(0.1)
        eventually(lambda: answers_again(site), "a page is answered again")
        assert len(lines_of(worker, server)) <= 3  # its beginning, that the data is gone, and, from INFO on, its end
