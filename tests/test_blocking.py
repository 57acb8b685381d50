"""receive(block=True), on one server and on several."""
from __future__ import unicode_literals

import os
import signal
import subprocess
import threading
import time

import pytest
import redis
from redis.exceptions import ConnectionError

from asgi_redis import RedisChannelLayer
from asgi_redis.delivery import pops
from asgi_redis.server.waiting import Waiter
from asgi_redis.tools.embedded import Server

from . import servers
from .commands import start_program
from .patience import AT_ONCE, LONG_WAIT, clock_of
from .troubles import PATIENCE, interrupted_after, needs_timers


@pytest.fixture
def three(make_layer):
    return make_layer(3)


class Reader(threading.Thread):
    """Receives one message in a thread of its own."""

    def __init__(self, layer, channels):
        super(Reader, self).__init__()
        self.layer, self.channels = layer, channels
        self.found = self.error = self.took = None
        self.start()

    def run(self):
        begun = time.time()
        try:
            self.found = self.layer.receive(self.channels, block=True)
        except Exception as error:
            self.error = error
        self.took = time.time() - begun


def wait_until_blocked(layer, shards, count=1):
    """Return once ``count`` clients block on each of the first ``shards`` shards."""
    deadline = time.time() + 20
    for index in range(shards):
        client = servers.client_of(layer, index)
        while client.info("clients")["blocked_clients"] < count:
            assert time.time() < deadline, "nobody blocks on shard %d" % index
            time.sleep(0.005)


@pytest.mark.parametrize("channel", ["normal", "reader?x", "process!x"])
def test_a_blocking_receive_gets_a_message_when_it_comes(make_layer, shards, channel):
    layer = make_layer(shards)
    layer.blpop_timeout = LONG_WAIT
    receivable = channel.split("!")[0] + "!" if "!" in channel else channel
    reader = Reader(layer, ["other", receivable])  # "other" lies on all shards
    wait_until_blocked(layer, shards)
    layer.send(channel, {"n": 1})
    reader.join()
    assert reader.found == (channel, {"n": 1})
    assert reader.took < AT_ONCE


def test_a_process_that_was_stopped_goes_on_where_its_threads_waited(make_layer, monkeypatch):
    """As by Ctrl-Z, or docker pause: one thread runs first, and finds that the others' waits should have ended."""
    layer = make_layer()
    layer.blpop_timeout = LONG_WAIT
    reader = Reader(layer, ["normal"])
    wait_until_blocked(layer, 1)
    let_pass = clock_of(pops, monkeypatch)
    let_pass(2 * LONG_WAIT)
    assert layer.receive(["other"]) == (None, None)
    layer.send("normal", {"n": 1})
    reader.join()
    assert (reader.found, reader.error) == (("normal", {"n": 1}), None)


def test_it_waits_on_all_shards_at_once(three):
    three.blpop_timeout = LONG_WAIT
    for index in range(9):
        reader = Reader(three, ["normal"])
        wait_until_blocked(three, 3)
        three.send("normal", {"n": index})
        reader.join()
        assert reader.found == ("normal", {"n": index})
        assert reader.took < AT_ONCE


def test_it_gets_a_message_that_is_there_already_without_waiting(make_layer, shards):
    layer = make_layer(shards)
    layer.blpop_timeout = LONG_WAIT
    layer.send("normal", {"n": 1})
    begun = time.time()
    assert layer.receive(["normal"], block=True) == ("normal", {"n": 1})
    assert time.time() - begun < AT_ONCE


def test_it_returns_nothing_after_blpop_timeout(make_layer, shards, monkeypatch):
    monkeypatch.setattr(RedisChannelLayer, "blpop_timeout", LONG_WAIT)  # the default, which is not to count
    layer = make_layer(shards)
    layer.blpop_timeout = 1
    begun = time.time()
    assert layer.receive(["normal"], block=True) == (None, None)
    assert 0.9 < time.time() - begun < AT_ONCE


def test_what_other_shards_popped_meanwhile_goes_back_in_order(three):
    channel = "normal"
    reader = Reader(three, [channel])
    wait_until_blocked(three, 3)
    # All shards in the same moment: the reader gets one, and two go back.
    pipes = [servers.client_of(three, index).pipeline() for index in range(3)]
    for index, pipe in enumerate(pipes):
        for number in range(2):
            key = "%s%032x" % (three.prefix, index * 2 + number)
            pipe.set(key, three.serialize({"shard": index, "n": number}), ex=60)
            pipe.rpush(three.prefix + channel, key)
    for pipe in pipes:
        pipe.execute()
    reader.join()
    found = [reader.found[1]] + [three.receive([channel])[1] for _ in range(5)]
    assert three.receive([channel]) == (None, None)
    for index in range(3):
        assert [message["n"] for message in found if message["shard"] == index] == [0, 1]


def test_an_expired_message_does_not_end_the_wait(make_layer, client):
    layer = make_layer()
    reader = Reader(layer, ["normal"])
    wait_until_blocked(layer, 1)
    client.rpush(layer.prefix + "normal", layer.prefix + "0" * 32)
    layer.send("normal", {"n": 1})
    reader.join()
    assert reader.found == ("normal", {"n": 1})


def test_a_wait_leaves_nothing_in_redis(three, make_layer):
    reader = Reader(three, ["normal"])
    wait_until_blocked(three, 3)
    # From another layer: the message stays until the session that took it is used again, by the receive below.
    make_layer(3).send("normal", {"n": 1})
    reader.join()
    assert reader.found == ("normal", {"n": 1})
    assert three.receive(["normal"]) == (None, None)
    for index in range(3):
        assert servers.message_keys(servers.client_of(three, index), three) == []


def race(layer, message):
    """All that is received where a message comes as a wait is ended: by the wait, or after it."""
    found, waiter = [], Waiter()
    reader = threading.Thread(target=lambda: found.append(layer.receive_blocking(frozenset(["normal"]), waiter)))
    reader.start()
    wait_until_blocked(layer, layer.ring_size)
    sender = threading.Thread(target=layer.send, args=("normal", message))
    sender.start()
    waiter.stop()
    reader.join()
    sender.join()
    return [message for _, message in filter(None, found + [layer.receive(["normal"])]) if message]


def test_messages_race_with_the_end_of_a_wait_and_none_is_lost(three):
    for number in range(60):
        assert race(three, {"n": number}) == [{"n": number}]


def test_an_outage_ends_the_wait_with_the_servers_address():
    with Server() as first, Server() as second:
        layer = RedisChannelLayer(hosts=[first.url, second.url], reconnect_timeout=1)
        reader = Reader(layer, ["normal"])
        wait_until_blocked(layer, 2)
        second.kill()
        reader.join()
        assert isinstance(reader.error, ConnectionError)
        assert str(second.port) in str(reader.error)
        client = redis.StrictRedis.from_url(first.url)
        assert client.info("clients")["blocked_clients"] == 0


@needs_timers
def test_an_interrupt_ends_the_wait_at_once_and_leaves_no_connection_blocked(make_layer, shards):
    layer = make_layer(shards)
    layer.blpop_timeout = LONG_WAIT
    begun = time.time()
    with interrupted_after(0.3):
        layer.receive(["normal"], block=True)
    assert time.time() - begun < AT_ONCE
    layer.send("normal", {"n": 1})
    for index in range(shards):
        assert servers.client(index).info("clients")["blocked_clients"] == 0
    assert layer.receive(["normal"]) == ("normal", {"n": 1})


#: Two threads wait, and one is in the middle of a call, when it forks a child. Prints the child's sockets.
FORKS = """
from __future__ import print_function
import os, signal, stat, sys, threading, time
from asgi_redis import RedisChannelLayer

def is_socket(number):
    try:
        return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError:
        return False

def start(function, *arguments):
    thread = threading.Thread(target=function, args=arguments)
    thread.daemon = True
    thread.start()

layer = RedisChannelLayer(hosts=[u"" + sys.argv[1]], connection_kwargs={"socket_timeout": 60})
layer.blpop_timeout = 60
for _ in range(2):
    start(layer.receive, [u"normal"], True)
sys.stdin.readline()  # both wait
layer.send(u"other", {})  # which opens a connection
os.kill(int(sys.argv[2]), signal.SIGSTOP)
start(layer.send, u"other", {})
while any(session.connection for session in layer._parts.shards[0]._sessions):
    time.sleep(0.001)
child = os.fork()
if child == 0:
    layer.random_index()
    print([number for number in range(256) if is_socket(number)])
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows can't fork")
def test_a_forked_child_keeps_no_socket_of_its_parents_waits_and_calls():
    with Server() as server:
        process = start_program(
            FORKS, server.url, str(server.process.pid), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        timer = threading.Timer(2 * PATIENCE, process.kill)
        timer.start()
        try:
            wait_until_blocked(RedisChannelLayer(hosts=[server.url]), 1, 2)
            assert process.communicate(b"\n")[0] == b"[]\n"
        finally:
            timer.cancel()
            os.kill(server.process.pid, signal.SIGCONT)
            if process.poll() is None:
                process.kill()
                process.communicate()
