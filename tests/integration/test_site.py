"""A Django site on Channels 1, Daphne and this layer: what its visitors see."""
from __future__ import unicode_literals

import collections
import hashlib
import os
import signal
from contextlib import contextmanager
from multiprocessing.pool import ThreadPool

import pytest

from asgi_redis.tools.embedded import Server

from ..servers import Cluster, Sentinels, eventually
from .processes import PATIENCE, Daphne, Site, Worker

for module in ("channels", "daphne"):
    pytest.importorskip(module)
requests = pytest.importorskip("requests")
websocket = pytest.importorskip("websocket")

#: All messages of a test may wait at once: of 50 sockets five each, and the answers.
CAPACITY = {"websocket.receive": 300, "daphne.response.*": 300, "http.disconnect": 100000}

#: Seconds in which a process ends that was told to. It waits for messages, for 5 seconds, and must not end that first.
AT_ONCE = 4


@contextmanager
def one_server():
    with Server() as server:
        yield {
            "BACKEND": "asgi_redis.RedisChannelLayer",
            "CONFIG": {"hosts": [server.url], "channel_capacity": CAPACITY},
        }


@contextmanager
def two_servers_encrypted():
    with Server() as first, Server() as second:
        yield {
            "BACKEND": "asgi_redis.RedisChannelLayer",
            "CONFIG": {
                "hosts": [first.url, second.url],
                "channel_capacity": CAPACITY,
                "symmetric_encryption_keys": ["new key", "old key"],
            },
        }


@contextmanager
def sentinel_services():
    with Sentinels() as running:
        yield {
            "BACKEND": "asgi_redis.RedisSentinelChannelLayer",
            "CONFIG": {"hosts": running.hosts, "channel_capacity": CAPACITY},
        }


@contextmanager
def redis_cluster():
    with Cluster() as running:
        yield {
            "BACKEND": "asgi_redis.RedisClusterChannelLayer",
            "CONFIG": {"hosts": running.hosts, "channel_capacity": CAPACITY},
        }


TOPOLOGIES = [one_server, two_servers_encrypted, sentinel_services, redis_cluster]


@pytest.fixture(scope="module", params=TOPOLOGIES, ids=lambda topology: topology.__name__)
def running_site(request):
    with request.param() as channel_layer, Site(channel_layer, daphnes=2, workers=2) as site:
        yield site


@pytest.fixture
def site(running_site):
    """
    A site of two Daphnes and two workers. All of them must live through a test, and log nothing.

    What they have logged is shown with a test that fails.
    """
    before = collections.Counter(running_site.log())
    yield running_site
    print("\n".join(running_site.log()))
    assert [process.name for process in running_site.processes if not process.running] == []
    assert list(collections.Counter(running_site.log()) - before) == []


def in_threads(function, arguments, threads=16):
    """What ``function`` returns for each of ``arguments``, in their order."""
    pool = ThreadPool(threads)
    try:
        return pool.map(function, arguments, chunksize=1)
    finally:
        pool.terminate()


def ask(site, path, turn=0, **options):
    """GET, or POST where there is ``data``, from the Daphne whose turn it is."""
    method = "POST" if "data" in options else "GET"
    answer = requests.request(method, "http://" + site.address(path, turn), timeout=PATIENCE, **options)
    answer.raise_for_status()
    return answer


def handshake(address):
    """Return an open WebSocket, or None if Daphne gave up: it does after five seconds, which busy workers may take."""
    try:
        return websocket.create_connection(address, timeout=PATIENCE)
    except ConnectionResetError:
        return None


@pytest.fixture
def connect(site):
    """Opens WebSockets, which are closed after the test: ``connect(path, turn)``."""
    opened = []

    def connect(path, turn=0):
        address = "ws://" + site.address(path, turn)
        opened.append(eventually(lambda: handshake(address), "the WebSocket is open"))
        return opened[-1]

    yield connect
    in_threads(lambda client: client.close(), opened)


def test_a_page(site):
    assert ask(site, "/").text == "Hello."


def test_500_requests_get_each_its_own_answer_and_both_workers_work(site):
    answers = in_threads(lambda number: ask(site, "/echo/", number, params={"number": number}).json(), range(500))
    assert [answer["query"] for answer in answers] == [{"number": str(number)} for number in range(500)]
    assert {answer["method"] for answer in answers} == {"GET"}
    assert {answer["worker"] for answer in answers} == {worker.process.pid for worker in site.of(Worker)}


def test_bodies_of_a_megabyte_arrive_whole(site):
    bodies = [os.urandom(1000000 + number) for number in range(8)]
    answers = in_threads(lambda number: ask(site, "/echo/", number, data=bodies[number]).json(), range(8))
    for body, answer in zip(bodies, answers):
        assert answer["method"] == "POST"
        assert answer["length"] == len(body)
        assert answer["sha256"] == hashlib.sha256(body).hexdigest()


def test_long_answers_arrive_whole(site):
    # Channels sends them in parts of half a megabyte.
    counts = [300000 + number for number in range(4)]
    answers = in_threads(lambda number: ask(site, "/lines/%d/" % counts[number], number).text, range(4))
    for count, answer in zip(counts, answers):
        assert len(answer) > 3000000
        assert answer == "".join("line %d\n" % number for number in range(count))


def test_50_sockets_get_back_each_its_own_20_messages_in_order(connect):
    clients = in_threads(lambda number: connect("/echo/", number), range(50))
    for burst in range(4):
        # Five at a time: Channels puts those that workers meet in the wrong order back in the queue, again and again.
        sent = [["%d of burst %d of socket %d" % (place, burst, number) for place in range(5)] for number in range(50)]
        for client, messages in zip(clients, sent):
            for message in messages:
                client.send(message)
        assert [[client.recv() for _ in range(5)] for client in clients] == sent


def test_a_socket_gets_back_bytes(connect):
    client = connect("/echo/")
    sent = os.urandom(100000)
    client.send_binary(sent)
    assert client.recv() == sent


def test_a_message_to_a_group_reaches_all_its_sockets_and_no_other(site, connect):
    members = in_threads(lambda number: connect("/group/a/", number), range(20))
    others = [connect("/group/b/", number) for number in range(2)]
    for place in range(3):
        ask(site, "/broadcast/a/", place, data="message %d" % place)
    assert [[client.recv() for _ in range(3)] for client in members] == [["message 0", "message 1", "message 2"]] * 20
    ask(site, "/broadcast/b/", data="another")
    assert [client.recv() for client in others] == ["another"] * 2




def test_sigterm_ends_a_daphne_at_once(site):
    with Site(site.channel_layer, daphnes=1, workers=0) as other:
        # The workers of the first site answer.
        client = websocket.create_connection("ws://" + other.address("/echo/"), timeout=PATIENCE)
        assert other.of(Daphne)[0].stop(AT_ONCE) in (0, -signal.SIGTERM)
        with pytest.raises(websocket.WebSocketConnectionClosedException):
            client.recv()


def test_sigterm_ends_a_worker_at_once(site):
    with Site(site.channel_layer, daphnes=0, workers=1) as other:
        assert other.of(Worker)[0].stop(AT_ONCE) == 0
