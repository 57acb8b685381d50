"""The proxy itself, between a redis-py client and a real server."""
from __future__ import unicode_literals

import threading
import time

import pytest
import redis
from redis.exceptions import ConnectionError, TimeoutError

from asgi_redis.server.clients import call, client_for_address

from .. import servers
from ..patience import AT_ONCE
from .proxy import Cut, Delay, Drop, Hold, Pass, Proxy, Requests


@pytest.fixture
def proxy():
    proxy = Proxy(servers.plain()[0].port).start()
    yield proxy
    proxy.stop()


@pytest.fixture
def client(proxy):
    """A client that says nothing of its own on a connection."""
    return client_for_address("127.0.0.1", proxy.port, {"socket_timeout": 0.5})


@pytest.fixture
def server():
    client = redis.StrictRedis(port=servers.plain()[0].port)
    keys = ["key", "other", "key#wake#1"]
    client.delete(*keys)
    yield client
    client.delete(*keys)


def test_it_passes_on(proxy, client, server):
    call(client, "SET", "key", "x" * 1000000)
    assert call(client, "GET", "key") == server.get("key") == b"x" * 1000000


def test_it_cuts_after_the_request_and_before_the_reply(proxy, client, server):
    call(client, "PING")
    proxy.mode = Cut(2)
    assert call(client, "INCR", "key") == 1
    with pytest.raises(ConnectionError):
        call(client, "INCR", "key")
    assert server.get("key") == b"2"
    assert proxy.mode.swallowed == {b"INCR": 1}


@pytest.mark.parametrize("key, messages", [("key", 1), ("other", 0), ("key#wake#1", 0)])
def test_it_counts_the_messages_that_it_swallows(proxy, client, server, key, messages):
    server.rpush(key, "a")
    call(client, "PING")
    proxy.mode = Cut(1)
    client.connection_pool.connection_kwargs["socket_timeout"] = 5
    with pytest.raises((ConnectionError, TimeoutError)):
        client.execute_command("BLPOP", "key", "key#wake#1", 1)
    assert proxy.mode.messages == messages


def test_it_delays(proxy, client):
    call(client, "PING")
    proxy.mode = Delay(0.1, 0.15)
    begun = time.time()
    call(client, "PING")
    assert 0.2 <= time.time() - begun < AT_ONCE


def test_what_it_holds_arrives_in_the_end_though_its_client_has_gone(proxy, client, server):
    call(client, "PING")
    proxy.mode = hold = Hold()
    with pytest.raises((ConnectionError, TimeoutError)):
        call(client, "INCR", "key")
    assert server.get("key") is None
    proxy.mode = Pass()
    hold.let_go()
    servers.eventually(lambda: server.get("key") == b"1", "the request arrives")


def test_what_it_drops_is_gone_and_its_client_waits(proxy, client, server):
    call(client, "PING")
    proxy.mode = Drop()
    with pytest.raises(TimeoutError):
        call(client, "INCR", "key")
    proxy.mode = Pass()
    assert call(client, "INCR", "key") == 1


def test_it_leaves_connections_half_open(proxy, client, server):
    call(client, "PING")
    found = []

    def ask():
        try:
            call(client, "INCR", "key")
        except Exception as error:
            found.append(error)

    proxy.sever()
    other = client_for_address("127.0.0.1", proxy.port, {})
    thread = threading.Thread(target=ask)
    thread.start()
    assert call(other, "PING") == b"PONG"
    thread.join()
    assert isinstance(found[0], TimeoutError)
    assert server.get("key") is None


@pytest.fixture
def popping(client, server):
    """A thread that waits by BLPOP for "key"; in its list comes the error."""
    errors = []

    def pop():
        try:
            call(client, "BLPOP", "key", 10)
        except Exception as error:
            errors.append(error)

    client.connection_pool.connection_kwargs["socket_timeout"] = 10
    thread = threading.Thread(target=pop)
    thread.start()
    servers.eventually(lambda: server.info("clients")["blocked_clients"] == 1, "it waits")
    yield thread, errors
    thread.join()


def test_it_abandons_what_the_server_goes_on_with(proxy, server, popping):
    thread, errors = popping
    proxy.abandon()
    thread.join()
    assert isinstance(errors[0], ConnectionError)
    assert server.info("clients")["blocked_clients"] == 1
    server.rpush("key", "a")
    assert not server.exists("key")
    servers.eventually(lambda: not proxy.links, "the link ends with the reply")


def test_it_cuts_all_connections(proxy, server, popping):
    thread, errors = popping
    proxy.cut()
    thread.join()
    assert isinstance(errors[0], ConnectionError)
    servers.eventually(lambda: server.info("clients")["blocked_clients"] == 0, "the server sees the end")
    assert not proxy.links


def test_it_measures_commands(proxy, client, server):
    call(client, "SET", "key", "x" * 100000)
    call(client, "PING")
    link, = proxy.links
    assert 100000 < link.requests.longest < 100100


def test_it_reads_commands_that_come_in_pieces():
    requests = Requests()
    for byte in bytearray(b"*1\r\n$4\r\nPING\r\n*2\r\n$5\r\nblpop\r\n$4\r\n\r\n\r\n\r\n*1"):
        requests.feed(bytes(bytearray([byte])))
    assert requests.last == b"BLPOP"
