"""receive_twisted, in trial's test cases."""
from __future__ import unicode_literals

import signal
import subprocess
import sys
import threading
import time

from twisted.internet import defer, reactor, threads
from twisted.trial import unittest

from asgi_redis import RedisChannelLayer

from . import servers
from .commands import start_program
from .faults.proxy import Delay, Proxy
from .patience import AT_ONCE, LONG_WAIT, receive_within

#: A program that receives for ever, as Daphne does, and says when it waits and when its reactor has stopped.
RECEIVER = """
from __future__ import print_function, unicode_literals
import sys
from twisted.internet import defer, reactor
from asgi_redis import RedisChannelLayer

layer = RedisChannelLayer(hosts=sys.argv[1:], prefix="receiver:")
layer.blpop_timeout = %d

@defer.inlineCallbacks
def receive():
    while reactor.running:
        channel, message = yield layer.receive_twisted(["normal", "process!"])
        print("got", channel)
        sys.stdout.flush()

reactor.callWhenRunning(receive)
reactor.run()
print("stopped")
""" % LONG_WAIT

#: A program whose reactor stops in the turn in which a message arrives.
ENDING = """
from __future__ import print_function, unicode_literals
import sys, time
from twisted.internet import reactor
from asgi_redis import RedisChannelLayer

layer = RedisChannelLayer(hosts=sys.argv[1:], prefix="receiver:")
sender = RedisChannelLayer(hosts=sys.argv[1:], prefix="receiver:")

def last_turn():
    sender.send("normal", {"n": 1})
    time.sleep(0.5)
    reactor.stop()

def show(found):
    if found[0]:
        print("got", found)

layer.receive_twisted(["normal"]).addCallback(show)
reactor.callLater(0.5, last_turn)
reactor.run()
"""


def start(program, hosts):
    return start_program(program, *hosts, stdout=subprocess.PIPE)


def sleep(seconds):
    deferred = defer.Deferred()
    reactor.callLater(seconds, deferred.callback, None)
    return deferred


def blocked(layer):
    clients = [servers.client_of(layer, index) for index in range(layer.ring_size)]
    return sum(client.info("clients")["blocked_clients"] for client in clients)


@defer.inlineCallbacks
def until_blocked(layer, count=1):
    """Fires once ``count`` clients wait on the layer's shards."""
    deadline = time.time() + AT_ONCE
    while time.time() < deadline:
        clients = yield threads.deferToThread(blocked, layer)
        if clients >= count:
            return
        yield sleep(0.01)
    raise AssertionError("nobody waits")


class TwistedTests(unittest.TestCase):
    shards = 1
    timeout = 60

    def setUp(self):
        self.layer = RedisChannelLayer(hosts=servers.hosts(self.shards, "twisted:"), prefix="twisted:")
        self.layer.flush()
        self.addCleanup(self.layer.flush)

    def test_the_extension_is_named(self):
        self.assertIn("twisted", self.layer.extensions)

    @defer.inlineCallbacks
    def test_it_gets_what_is_there_and_what_comes(self):
        self.layer.send("normal", {"n": 1})
        found = yield self.layer.receive_twisted(["normal", "process!"])
        self.assertEqual(found, ("normal", {"n": 1}))
        waiting = self.layer.receive_twisted(["normal", "process!"])
        yield until_blocked(self.layer)
        self.layer.send("process!x", {"n": 2})
        found = yield waiting
        self.assertEqual(found, ("process!x", {"n": 2}))

    @defer.inlineCallbacks
    def test_it_gives_nothing_when_the_time_is_up(self):
        self.layer.blpop_timeout = 1
        found = yield self.layer.receive_twisted(["normal"])
        self.assertEqual(found, (None, None))

    @defer.inlineCallbacks
    def test_a_batch_is_handed_out_from_memory_and_the_reactor_gets_its_turns(self):
        for number in range(300):
            self.layer.group_add("crowd", "process!%d" % number)
        self.layer.receive(["process!"])
        self.layer.send_group("crowd", {"n": 1})
        turns = []
        ticking = reactor.callLater(0, lambda: turns.append(1))
        names = []
        for _ in range(300):
            channel, message = yield self.layer.receive_twisted(["process!"])
            names.append(channel)
        self.assertEqual(len(set(names)), 300)
        self.assertTrue(turns)
        self.assertFalse(ticking.active())

    def test_errors_come_through_the_deferred(self):
        self.failureResultOf(self.layer.receive_twisted("normal"), TypeError)
        self.failureResultOf(self.layer.receive_twisted(["process!x"]), TypeError)

    @defer.inlineCallbacks
    def test_a_server_that_is_unavailable_is_an_error(self):
        layer = RedisChannelLayer(hosts=["redis://127.0.0.1:1"], reconnect_timeout=1)
        from redis.exceptions import ConnectionError

        yield self.assertFailure(layer.receive_twisted(["normal"]), ConnectionError)

    @defer.inlineCallbacks
    def test_what_comes_after_a_cancel_is_not_lost(self):
        for channel, receivable in (("normal", "normal"), ("process!x", "process!"), ("reader?x", "reader?x")):
            waiting = self.layer.receive_twisted([receivable])
            yield until_blocked(self.layer)
            waiting.cancel()
            yield self.assertFailure(waiting, defer.CancelledError)
            self.layer.send(channel, {"n": 1})
            found = yield self.layer.receive_twisted([receivable])
            self.assertEqual(found, (channel, {"n": 1}))

    @defer.inlineCallbacks
    def test_messages_race_with_cancels_and_none_is_lost_or_doubled(self):
        for queue, receivable in (("normal", "normal"), ("process!x", "process!")):
            found = []
            for number in range(60):
                waiting = self.layer.receive_twisted([receivable])
                waiting.addCallback(found.append)
                waiting.addErrback(lambda failure: failure.trap(defer.CancelledError))
                yield threads.deferToThread(self.layer.send, queue, {"n": number})
                yield sleep(number % 6 * 0.0002)
                waiting.cancel()
            self.layer.blpop_timeout = 1
            while True:
                channel, message = yield self.layer.receive_twisted([receivable])
                if channel is None:
                    break
                found.append((channel, message))
            self.layer.blpop_timeout = 5
            numbers = [message["n"] for channel, message in found if channel]
            self.assertEqual(sorted(numbers), list(range(60)))

    def test_a_reactor_that_stops_does_not_wait_for_a_receive(self):
        process = start(RECEIVER, servers.hosts(self.shards, "receiver:"))
        layer = RedisChannelLayer(hosts=servers.hosts(self.shards, "receiver:"), prefix="receiver:")
        self.addCleanup(layer.flush)
        layer.send("normal", {"n": 1})
        self.assertEqual(process.stdout.readline(), b"got normal\n")
        while blocked(layer) < self.shards:
            self.assertIs(process.poll(), None)
        begun = time.time()
        process.send_signal(signal.SIGTERM)
        output = process.communicate()[0]
        self.assertLess(time.time() - begun, AT_ONCE)
        self.assertTrue(output.endswith(b"stopped\n"))
        # Once the servers have noticed that, whatever comes is for another receiver.
        servers.eventually(lambda: blocked(layer) == 0, "nobody waits")
        layer.send("normal", {"n": 2})
        self.assertEqual(layer.receive(["normal"]), ("normal", {"n": 2}))

    def test_what_comes_in_the_last_turn_of_the_reactor_is_not_lost(self):
        layer = RedisChannelLayer(hosts=servers.hosts(self.shards, "receiver:"), prefix="receiver:")
        self.addCleanup(layer.flush)
        self.assertEqual(start(ENDING, servers.hosts(self.shards, "receiver:")).communicate()[0], b"")
        self.assertEqual(receive_within(layer, ["normal"]), [("normal", {"n": 1})])

    def test_no_more_threads_are_an_error_of_the_deferred(self):
        layer = RedisChannelLayer(hosts=servers.hosts(self.shards, "twisted:"), prefix="twisted:")
        triggers = reactor._eventTriggers["shutdown"].before
        before = len(triggers)
        self.addCleanup(threading.stack_size, threading.stack_size(2 ** 45))  # no machine has room for such a thread
        self.failureResultOf(layer.receive_twisted(["normal"]), threading.ThreadError)
        self.assertEqual(len(triggers), before)

    def test_a_process_that_ends_has_ended_its_blocking_pops(self):
        # The server does not see the end of the process's connections, and would pop for it.
        url, = servers.hosts(1, "receiver:")
        port = servers.plain()[0].port
        proxy = Proxy(port).start()
        self.addCleanup(proxy.stop)
        process = start(RECEIVER, [url.replace(":%d" % port, ":%d" % proxy.port)])
        self.addCleanup(lambda: process.poll() is None and process.kill())
        layer = RedisChannelLayer(hosts=[url], prefix="receiver:")
        self.addCleanup(layer.flush)
        servers.eventually(lambda: blocked(layer) == 1, "it waits")
        for link in list(proxy.links):
            link.abandoned = True
        proxy.mode = Delay(0.02, 0.02)
        process.send_signal(signal.SIGTERM)
        process.communicate()
        layer.send("normal", {"n": 1})
        self.assertEqual(layer.receive(["normal"]), ("normal", {"n": 1}))


class ShardedTwistedTests(TwistedTests):
    shards = 2


class WithoutTwisted(unittest.TestCase):
    def test_it_says_what_to_install(self):
        self.addCleanup(sys.modules.__setitem__, "twisted.internet", sys.modules["twisted.internet"])
        sys.modules["twisted.internet"] = None
        layer = RedisChannelLayer()
        error = self.assertRaises(RuntimeError, layer.receive_twisted, ["normal"])
        self.assertIn("pip install asgi_redis[twisted]", str(error))
        self.assertRaises(RuntimeError, layer.receive_twisted, ["wrong name"])
