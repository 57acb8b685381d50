"""Pending ``receive_twisted`` leave the reactor's threads to the application. In trial's test cases."""
from __future__ import unicode_literals

import time

from twisted.internet import defer, reactor, threads
from twisted.trial import unittest

from asgi_redis import RedisChannelLayer

from . import servers
from .patience import AT_ONCE, LONG_WAIT
from .test_twisted import sleep, until_blocked
from .troubles import Gone

#: More than the reactor's pool has threads.
MANY = reactor.getThreadPool().max + 10


class PendingReceives(unittest.TestCase):
    timeout = 60

    def setUp(self):
        prefixes = {"prefix": "pending:", "stats_prefix": "pending-meta:"}
        self.layer = RedisChannelLayer(hosts=servers.hosts(1, **prefixes), **prefixes)
        self.layer.flush()
        self.addCleanup(self.layer.flush)
        self.pending = []

    def begin(self, layer, count=MANY):
        self.pending = [layer.receive_twisted(["normal"]) for _ in range(count)]
        for deferred in self.pending:
            deferred.addErrback(lambda failure: failure.trap(defer.CancelledError))

    @defer.inlineCallbacks
    def end(self):
        for deferred in self.pending:
            deferred.cancel()
        yield defer.gatherResults(self.pending)

    @defer.inlineCallbacks
    def assert_threads_are_free(self):
        begun = time.time()
        yield defer.gatherResults([threads.deferToThread(int) for _ in range(5)])
        self.assertLess(time.time() - begun, AT_ONCE)

    @defer.inlineCallbacks
    def test_they_leave_the_threads_of_the_reactor_alone(self):
        self.layer.blpop_timeout = LONG_WAIT
        self.begin(self.layer)
        yield self.assert_threads_are_free()
        yield until_blocked(self.layer, MANY)
        yield self.assert_threads_are_free()
        yield self.end()

    @defer.inlineCallbacks
    def test_all_of_them_are_served(self):
        self.layer.capacity = 2 * MANY
        self.begin(self.layer)
        yield until_blocked(self.layer, MANY)
        for number in range(MANY):
            self.layer.send("normal", {"n": number})
        found = yield defer.gatherResults(self.pending)
        self.assertEqual(sorted(message["n"] for _, message in found), list(range(MANY)))

    @defer.inlineCallbacks
    def test_they_do_so_in_an_outage_too(self):
        with Gone() as gone:
            layer = RedisChannelLayer(hosts=[gone.url])
            layer.blpop_timeout = LONG_WAIT
            self.begin(layer)
            for _ in range(5):
                yield sleep(0.1)
                yield self.assert_threads_are_free()
            yield self.end()

    @defer.inlineCallbacks
    def test_they_end_with_blpop_timeout(self):
        self.layer.blpop_timeout = 1
        begun = time.time()
        self.begin(self.layer)
        found = yield defer.gatherResults(self.pending)
        self.assertEqual(found, MANY * [(None, None)])
        self.assertLess(time.time() - begun, AT_ONCE)
