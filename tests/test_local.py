"""RedisLocalChannelLayer, over both kinds of local layer: asgi_ipc, and a RedisChannelLayer on another server."""
from __future__ import unicode_literals

import binascii
import collections
import os
import signal
import subprocess
import sys
import threading
import time

import msgpack
import pytest
import six
from twisted.internet import defer, reactor
from twisted.trial import unittest

from asgi_redis import RedisChannelLayer
from asgi_redis.base_layer import BaseChannelLayer
from asgi_redis.delivery import inbox
from asgi_redis.delivery.background import Pending
from asgi_redis.local import RedisLocalChannelLayer
from asgi_redis.tools.embedded import Server

from . import old_asgiref, servers
from .patience import AT_ONCE, LONG_WAIT, attempt, clock_of, until
from .test_blocking import Reader, wait_until_blocked
from .test_conformance import lives
from .troubles import interrupted_after, needs_timers

KINDS = [
    pytest.param("asgi_ipc", marks=pytest.mark.skipif(os.name == "nt", reason="Windows has no POSIX shared memory")),
    "redis",
]


def make(kind, **arguments):
    """A layer whose local one is asgi_ipc's, or on a server of its own."""
    prefix = arguments.setdefault("prefix", "test-%s:" % binascii.hexlify(os.urandom(4)).decode("ascii"))
    arguments.setdefault("hosts", servers.hosts(1, prefix, "meta-" + prefix))
    if kind == "redis" and "local_layer" not in arguments:
        same = {name: arguments[name] for name in ("expiry", "prefix", "capacity") if name in arguments}
        arguments["local_layer"] = RedisChannelLayer(
            hosts=[servers.hosts(2, prefix, "meta-" + prefix)[1]], stats_prefix="meta-" + prefix, **same
        )
    return RedisLocalChannelLayer(stats_prefix="meta-" + prefix, **arguments)


def remove(layer):
    """Leave nothing behind, in Redis and in shared memory."""
    layer.flush()
    for name in ("message_store", "group_store"):
        store = getattr(layer.local_layer, name, None)
        if store is not None:
            store.memory.unlink()
            store.semaphore.unlink()


class Conformance(old_asgiref.ConformanceTestCase):
    expiry_delay = 1.1
    capacity_limit = 5
    # For more than 20 seconds, the suite does not wait.
    group_expiry = 60

    def setUp(self):
        self.channel_layer = make(self.kind, capacity=5, **lives(self.id(), self.group_expiry))
        self.addCleanup(remove, self.channel_layer)
        old_asgiref.ConformanceTestCase.setUp(self)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no POSIX shared memory")
class TestOverAsgiIpc(Conformance):
    kind = "asgi_ipc"


class TestOverRedis(Conformance):
    kind = "redis"
    group_expiry = 2


del Conformance


@pytest.fixture
def make_local():
    made = []

    def made_for_test(kind, **arguments):
        made.append(make(kind, **arguments))
        return made[-1]

    yield made_for_test
    for layer in made:
        remove(layer)


@pytest.fixture(params=KINDS)
def layer(request, make_local):
    return make_local(request.param)


def everything(layer, channels):
    """The rest of the messages on ``channels``, a sorted list of (channel, n)."""
    found = []
    while True:
        channel, message = layer.receive(channels)
        if channel is None:
            return sorted(found)
        found.append((channel, message["n"]))


def cpu_seconds():
    return sum(os.times()[:2])


def keys(layer):
    return servers.client_of(layer).keys("*" + layer.prefix + "*")


# Which channel is where.


def test_normal_channels_never_reach_redis(layer):
    layer.send("normal", {"n": 1, "bytes": b"\xff", "text": "\u00e9"})
    assert keys(layer) == []
    message = {"n": 1, "bytes": b"\xff", "text": "\u00e9"}
    assert layer.local_layer.receive(["normal"]) == ("normal", message)


@pytest.mark.parametrize("channel", ["reader?x", "process!x"])
def test_the_others_never_reach_the_local_layer(layer, channel):
    receivable = channel.split("!")[0] + "!" if "!" in channel else channel
    layer.send(channel, {"n": 1})
    assert layer.local_layer.receive([receivable]) == (None, None)
    assert layer.receive([receivable]) == (channel, {"n": 1})


@pytest.mark.parametrize("block", [False, True])
@pytest.mark.parametrize("busy, quiet", [("normal", "reader?x"), ("normal", "process!x"), ("process!x", "normal")])
def test_a_busy_channel_does_not_starve_one_on_the_other_side(layer, busy, quiet, block):
    layer.send(quiet, {"n": 1})
    for number in range(500):  # which side is looked at first is a matter of chance: all of these fail once in 10 ** 22
        layer.send(busy, {"n": number})
        channel, _ = layer.receive(["normal", "reader?x", "process!"], block)
        if channel == quiet:
            return
    raise AssertionError("%s was never received" % quiet)


def test_two_layers_share_what_is_on_the_machine(make_local):
    first = make_local("redis")
    second = RedisLocalChannelLayer(hosts=first.hosts, prefix=first.prefix, local_layer=first.local_layer)
    first.send("normal", {"n": 1})
    assert second.receive(["normal"]) == ("normal", {"n": 1})


@pytest.mark.skipif(os.name == "nt", reason="Windows has no POSIX shared memory")
def test_processes_with_the_same_prefix_share_their_normal_channels(make_local):
    layer = make_local("asgi_ipc", prefix="test-%d:shared:" % os.getpid())
    layer.send("there", {"n": 1})
    run(
        "layer = RedisLocalChannelLayer(hosts=sys.argv[1:2], prefix=sys.argv[2])\n"
        "assert layer.receive(['there']) == ('there', {'n': 1})\n"
        "layer.send('back', {'n': 2})\n",
        layer.hosts[0], layer.prefix,
    )
    assert layer.receive(["back"], block=True) == ("back", {"n": 2})
    other = make_local("asgi_ipc")
    layer.send("there", {"n": 3})
    assert other.receive(["there"]) == (None, None)


def run(program, *arguments):
    """Run ``program`` in another Python, with warnings as errors."""
    imports = "from __future__ import unicode_literals\nimport sys\n"
    if six.PY2:
        imports += "sys.argv = [argument.decode('ascii') for argument in sys.argv]\n"  # text, as the prefix must be
    imports += "from asgi_redis.local import RedisLocalChannelLayer\n"
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    # cryptography warns of Pythons that it drops, on 3.6 msgpack makes Python warn, and redis-py 2 uses distutils.
    warnings = ["-Werror", "-Wignore:Python", "-Wignore:distutils Version"] if sys.version_info >= (3, 7) else []
    subprocess.check_call([sys.executable] + warnings + ["-c", imports + program] + list(arguments), env=environment)


def test_the_arguments_are_those_of_the_redis_layer_and_local_layer_comes_last(make_local):
    parent = make_local("redis").local_layer
    layer = RedisLocalChannelLayer(
        30, servers.hosts(), "test:", 3600, 7, {"slow": 2}, None, "test-meta:", None, None, None, None, parent
    )
    assert (layer.expiry, layer.capacity, layer.get_capacity("slow"), layer.local_layer) == (30, 7, 2, parent)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no POSIX shared memory")
def test_asgi_ipc_gets_the_settings(make_local):
    layer = make_local("asgi_ipc", expiry=30, group_expiry=600, capacity=7, channel_capacity={"slow": 2})
    ours, its = layer, layer.local_layer
    assert type(its).__name__ == "IPCChannelLayer"
    assert (its.expiry, its.group_expiry, its.capacity, its.get_capacity("slow")) == (30, 600, 7, 2)
    assert its.prefix == ours.prefix.replace(":", "")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no POSIX shared memory")
def test_asgi_ipc_gets_the_capacities_in_their_order(make_local):
    capacities = [("a.%d" % number, number + 1) for number in range(9)] + [("a.*", 10)]
    layer = make_local("asgi_ipc", channel_capacity=collections.OrderedDict(capacities))
    assert [layer.local_layer.get_capacity("a.%d" % number) for number in range(9)] == list(range(1, 10))


# Errors.


def test_a_full_channel_is_channel_full(make_local):
    for kind in ("asgi_ipc", "redis"):
        layer = make_local(kind, capacity=2)
        layer.send("normal", {"n": 1})
        layer.send("normal", {"n": 2})
        with pytest.raises(RedisLocalChannelLayer.ChannelFull) as caught:
            layer.send("normal", {"n": 3})
        assert "normal" in str(caught.value)


@pytest.mark.parametrize("channel", ["normal", "process!x"])
def test_bad_messages_are_refused_as_everywhere(layer, channel):
    with pytest.raises(TypeError) as caught:
        layer.send(channel, {"n": object()})
    assert channel in str(caught.value) and "object" in str(caught.value)
    with pytest.raises(TypeError):
        layer.send(channel, "text")
    with pytest.raises(ValueError):
        layer.send(channel, {"__asgi_channel__": "x"})
    with pytest.raises(TypeError):
        layer.send("no channel", {})
    assert everything(layer, ["normal", "process!"]) == []


def test_without_asgi_ipc_the_error_says_what_to_install(monkeypatch):
    folders = [folder for folder in sys.path if not os.path.isdir(os.path.join(folder, "asgi_ipc"))]
    monkeypatch.setattr(sys, "path", folders)
    monkeypatch.delitem(sys.modules, "asgi_ipc", raising=False)
    with pytest.raises(ValueError) as caught:
        RedisLocalChannelLayer(hosts=servers.hosts())
    assert "RedisLocalChannelLayer needs asgi_ipc" in str(caught.value) and "docs/topologies.rst" in str(caught.value)


def test_what_is_no_layer_is_refused():
    with pytest.raises(ValueError) as caught:
        RedisLocalChannelLayer(hosts=servers.hosts(), local_layer="unix:///run/redis.sock")
    assert "local_layer" in str(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no POSIX shared memory")
def test_asgi_ipc_works_without_pkg_resources_and_leaves_other_modules_alone(make_local):
    layer = make_local("asgi_ipc")
    unpackb = msgpack.unpackb
    run(
        "sys.modules['pkg_resources'] = None\n"
        "layer = RedisLocalChannelLayer(hosts=sys.argv[1:2], prefix=sys.argv[2])\n"
        "layer.send('normal', {'n': 1, 2: b'bytes'})\n"
        "assert layer.receive(['normal']) == ('normal', {'n': 1, 2: b'bytes'})\n"
        "assert 'asgi_ipc' not in sys.modules\n",
        layer.hosts[0], layer.prefix,
    )
    assert msgpack.unpackb is unpackb


# Waiting.


@pytest.mark.parametrize("others", [[], ["reader?x", "process!"]])
def test_a_blocking_receive_gets_a_local_message_when_it_comes(layer, others):
    layer.blpop_timeout = layer.local_layer.blpop_timeout = LONG_WAIT
    for number in range(3):
        reader = Reader(layer, ["normal"] + others)
        time.sleep(0.2 + number / 100.0)
        layer.send("normal", {"n": number})
        reader.join()
        assert reader.took < AT_ONCE
        assert reader.found == ("normal", {"n": number})


@pytest.mark.parametrize("channel", ["reader?x", "process!x"])
def test_a_blocking_receive_over_both_kinds_gets_a_redis_message_when_it_comes(layer, channel):
    layer.blpop_timeout = layer.local_layer.blpop_timeout = LONG_WAIT
    receivable = channel.split("!")[0] + "!" if "!" in channel else channel
    for number in range(5):
        reader = Reader(layer, ["normal", receivable])
        wait_until_blocked(layer, 1)
        layer.send(channel, {"n": number})
        reader.join()
        assert reader.took < AT_ONCE
        assert reader.found == (channel, {"n": number})


@pytest.mark.parametrize("channels", [["normal"], ["normal", "process!"], ["process!"]])
def test_idle_it_waits_for_blpop_timeout_and_uses_next_to_no_cpu(layer, channels):
    layer.blpop_timeout = 1
    layer.receive(channels)
    begun, cpu = time.time(), cpu_seconds()
    assert layer.receive(channels, block=True) == (None, None)
    assert 0.9 < time.time() - begun < 4.9  # sooner than after 5 seconds, the default
    assert cpu_seconds() - cpu < 0.2


@pytest.mark.skipif(os.name == "nt", reason="Windows has no POSIX shared memory")
def test_idle_beside_a_backlog_it_does_not_spin(make_local):
    layer = make_local("asgi_ipc", capacity=1000)
    with layer.local_layer.message_store.mutate_value() as queues:  # by send, it would take a minute
        queues["busy"] = [(msgpack.packb({"n": number}), time.time() + 60) for number in range(2000)]
    layer.blpop_timeout = 2
    cpu = cpu_seconds()
    assert layer.receive(["normal", "other", "another", "process!"], block=True) == (None, None)
    assert cpu_seconds() - cpu < 0.6


def test_a_message_that_came_together_with_another_is_not_lost(layer):
    received = []
    for number in range(20):
        reader = Reader(layer, ["normal", "reader?x"])
        wait_until_blocked(layer, 1)
        senders = [
            threading.Thread(target=layer.send, args=(channel, {"n": number})) for channel in ("normal", "reader?x")
        ]
        for sender in senders:
            sender.start()
        for thread in senders + [reader]:
            thread.join()
        received.append((reader.found[0], reader.found[1]["n"]))
        received += everything(layer, ["normal", "reader?x"])
    assert sorted(received) == sorted((name, n) for name in ("normal", "reader?x") for n in range(20))


class Played(BaseChannelLayer):
    """A third party's local layer, always full. Its ``receive`` returns ``answers``, one a call, then nothing."""

    def __init__(self, *answers):
        super(Played, self).__init__()
        self.answers = list(answers)

    def receive(self, channels, block=False):
        answer = self.answers.pop(0) if self.answers else (None, None)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def send(self, channel, message):
        raise self.ChannelFull()

    def flush(self):
        pass


def test_what_a_full_local_layer_does_not_take_back_is_kept(make_local):
    layer = make_local("played", local_layer=Played(("normal", {"n": 1})))
    layer.return_message(*layer.receive(["normal"]))
    assert layer.receive(["normal"], block=True) == ("normal", {"n": 1})
    assert everything(layer, ["normal"]) == []


@pytest.fixture
def keeping(make_local):
    """A layer that keeps {"n": 1} for "normal", because its local layer does not take it back."""
    layer = make_local("played", local_layer=Played(("normal", {"n": 1})))
    layer.return_message(*layer.receive(["normal"]))
    return layer


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows can't fork")
def test_what_is_kept_is_not_received_by_a_forked_child_too(keeping):
    child = os.fork()
    if child == 0:
        os._exit(0 if keeping.receive(["normal"]) == (None, None) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert keeping.receive(["normal"]) == ("normal", {"n": 1})


def test_what_is_kept_expires(keeping, monkeypatch):
    let_pass = clock_of(inbox, monkeypatch)
    let_pass(keeping.expiry + 1)
    assert keeping.receive(["normal"]) == (None, None)


def test_flush_deletes_what_is_kept(keeping):
    keeping.flush()
    assert keeping.receive(["normal"]) == (None, None)


@pytest.mark.parametrize("others", [[], ["process!"]])
def test_an_error_of_the_local_layer_ends_the_wait(make_local, others):
    layer = make_local("played", local_layer=Played((None, None), RuntimeError("Semaphore")))
    layer.blpop_timeout = LONG_WAIT
    begun = time.time()
    with pytest.raises(RuntimeError):
        layer.receive(["normal"] + others, block=True)
    assert time.time() - begun < AT_ONCE
    assert servers.client_of(layer).info("clients")["blocked_clients"] == 0


def over(shared, here):
    """A layer on servers that the test may stop."""
    return RedisLocalChannelLayer(hosts=[shared.url], local_layer=RedisChannelLayer(hosts=[here.url]))


def test_a_local_message_is_received_while_redis_is_unavailable():
    with Server() as shared, Server() as here:
        layer = over(shared, here)
        reader = Reader(layer, ["normal", "process!"])
        wait_until_blocked(layer, 1)
        shared.kill()
        time.sleep(0.2)
        layer.send("normal", {"n": 1})
        reader.join()
        assert reader.error is None
        assert reader.found == ("normal", {"n": 1})


@pytest.mark.parametrize("channels", [["normal"], ["normal", "process!"]])
def test_a_wait_survives_an_outage_of_the_local_redis(channels):
    with Server() as shared, Server() as here:
        layer = over(shared, here)
        layer.blpop_timeout = LONG_WAIT
        reader = Reader(layer, channels)
        wait_until_blocked(layer.local_layer, 1)
        here.kill()
        here.start()
        # If the server took long to start, the layer tries it again a moment later.
        servers.eventually(lambda: attempt(layer.send, "normal", {"n": 1}) is None, "a send succeeds again")
        reader.join()
        assert reader.error is None
        assert reader.found == ("normal", {"n": 1})


@needs_timers
def test_an_interrupt_ends_the_wait_at_once_and_leaves_no_thread_waiting(layer):
    layer.blpop_timeout = layer.local_layer.blpop_timeout = LONG_WAIT
    threads = threading.active_count()
    begun = time.time()
    with interrupted_after(0.3):
        layer.receive(["normal", "process!"], block=True)
    assert time.time() - begun < AT_ONCE
    assert servers.client_of(layer).info("clients")["blocked_clients"] == 0
    assert threading.active_count() <= threads  # one of an earlier test may have ended
    layer.send("normal", {"n": 1})
    assert layer.receive(["normal"]) == ("normal", {"n": 1})


class Stop(BaseException):
    """As KeyboardInterrupt is."""


class Interrupt(object):
    """Raises ``Stop`` in call ``number`` of those that a blocking receive makes after it has waited."""

    def __init__(self, number):
        self.number = number
        self.count = None

    def happens_in(self, call):
        trace = self._trace  # Python 3.11 uses it after it has freed its own reference
        sys.settrace(trace)
        try:
            call()
        except Stop:
            return True
        finally:
            sys.settrace(None)
        return False

    def _trace(self, frame, event, _):
        module, function = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        if self.count is None and (module, function) == ("asgi_redis.server.waiting", "__exit__"):
            self.count = 0
        # Python 2's threads do not bear it everywhere.
        if self.count is not None and (module.startswith("asgi_redis") or (module, function) == ("threading", "join")):
            self.count += 1
            if self.count == self.number:
                raise Stop()


def interrupted(layer, number):
    """Interrupt a blocking receive in call ``number`` after a local message came. Return False if there is none."""
    def send():
        wait_until_blocked(layer, 1)
        layer.send("normal", {"n": 1})

    client = servers.client_of(layer)
    until(lambda: client.info("clients")["blocked_clients"] == 0, "nobody blocks")
    sender = threading.Thread(target=send)
    sender.start()
    try:
        return Interrupt(number).happens_in(lambda: layer.receive(["normal", "process!"], block=True))
    finally:
        sender.join()


def test_an_interrupt_at_any_point_after_the_wait_does_not_lose_the_message(layer):
    layer.blpop_timeout = layer.local_layer.blpop_timeout = LONG_WAIT
    number = 1
    while interrupted(layer, number):
        assert layer.receive(["normal"], block=True) == ("normal", {"n": 1}), "call %d" % number
        number += 1
    assert number > 5


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="Windows has no such signal")
def test_a_second_interrupt_while_the_message_goes_back_does_not_lose_it(layer):
    handled = []

    def interrupt(*_):
        handled.append(True)
        raise Stop()

    def return_message(channel, message):
        os.kill(os.getpid(), signal.SIGALRM)
        RedisLocalChannelLayer.return_message(layer, channel, message)

    layer.return_message = return_message
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        assert interrupted(layer, 3)
        until(lambda: handled, "the second interrupt")
    except Stop:
        pass  # it came late
    finally:
        signal.signal(signal.SIGALRM, before)
    assert handled
    assert layer.receive(["normal"], block=True) == ("normal", {"n": 1})


def test_threads_send_and_receive_each_message_once(layer):
    found, each = [], 25

    def receive():
        layer.blpop_timeout = 1
        while True:
            channel, message = layer.receive(["normal", "reader?x"], block=True)
            if channel is None:
                return
            found.append((channel, message["n"]))

    def send(channel, first):
        for number in range(first, first + each):
            layer.send(channel, {"n": number})

    threads = [threading.Thread(target=receive) for _ in range(4)]
    for channel in ("normal", "reader?x"):
        threads += [threading.Thread(target=send, args=(channel, first)) for first in (0, each)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted((name, n) for name in ("normal", "reader?x") for n in range(2 * each))


# Deferreds and futures. What is common to all layers is in test_twisted.py and test_asyncio.py.


@pytest.mark.parametrize("channel", ["normal", "reader?x"])
def test_a_cancelled_wait_ends_at_once_and_loses_nothing(layer, channel):
    layer.blpop_timeout = layer.local_layer.blpop_timeout = LONG_WAIT
    pending = Pending(layer.receive_blocking, layer.return_message, frozenset(["normal", "reader?x"]))
    results = []
    thread = threading.Thread(target=pending.run, args=(results.append, results.append))
    thread.start()
    wait_until_blocked(layer, 1)
    begun = time.time()
    pending.cancel()
    thread.join()
    assert time.time() - begun < AT_ONCE
    assert results == [(None, None)]
    layer.send(channel, {"n": 1})
    pending = Pending(lambda channels, waiter: layer.receive(channels), layer.return_message, [channel])
    pending.cancel()
    pending.run(results.append, results.append)
    assert results[1:] == [(None, None)]
    assert layer.receive([channel]) == (channel, {"n": 1})


@pytest.mark.skipif(six.PY2, reason="asyncio needs Python 3")
@pytest.mark.parametrize("channel", ["normal", "process!x"])
def test_receive_async_gets_what_comes_on_either_kind(layer, channel):
    import asyncio

    loop, futures = asyncio.new_event_loop(), []

    def start():
        futures.append(layer.receive_async(["normal", "process!"]))
        futures[0].add_done_callback(lambda _: loop.stop())

    loop.call_soon(start)
    loop.call_later(0.3, layer.send, channel, {"n": 1})
    try:
        loop.run_forever()
    finally:
        loop.close()
    assert futures[0].result() == (channel, {"n": 1})


class TwistedTests(unittest.TestCase):
    @defer.inlineCallbacks
    def check(self, kind):
        layer = make(kind)
        self.addCleanup(remove, layer)
        for number, channel in enumerate(["normal", "process!x"]):
            reactor.callLater(0.3, layer.send, channel, {"n": number})
            found = yield layer.receive_twisted(["normal", "process!"])
            self.assertEqual(found, (channel, {"n": number}))

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no POSIX shared memory")
    def test_receive_twisted_gets_what_comes_over_asgi_ipc(self):
        return self.check("asgi_ipc")

    def test_receive_twisted_gets_what_comes_over_redis(self):
        return self.check("redis")


# Groups.


def test_a_group_send_reaches_members_of_both_kinds(layer):
    members = ["normal", "reader?x", "process!1", "process!2"]
    for member in members:
        layer.group_add("crowd", member)
    assert sorted(layer.group_channels("crowd")) == sorted(members)
    layer.receive(["process!"])  # a reader of batches
    layer.send_group("crowd", {"n": 1})
    assert layer.local_layer.receive(["normal"]) == ("normal", {"n": 1})
    rest = everything(layer, ["normal", "reader?x", "process!"])
    assert rest == [("process!1", 1), ("process!2", 1), ("reader?x", 1)]
    assert keys(layer) == [key for key in keys(layer) if b":group:" in key or b"#" in key or b"_count" in key]


def test_a_group_send_to_a_full_normal_channel_is_logged_and_not_raised(make_local, caplog):
    for kind in ("asgi_ipc", "redis"):
        layer = make_local(kind, capacity=1)
        for member in ("full-" + kind, "reader?x"):
            layer.group_add("crowd", member)
        layer.send("full-" + kind, {"n": 1})
        layer.send_group("crowd", {"n": 2})
        assert "full-" + kind in caplog.text
        assert everything(layer, ["full-" + kind, "reader?x"]) == [("full-" + kind, 1), ("reader?x", 2)]


def test_a_group_message_that_can_not_be_packed_is_sent_to_no_member(layer):
    for member in ("normal", "reader?x"):
        layer.group_add("crowd", member)
    with pytest.raises(TypeError):
        layer.send_group("crowd", {"n": object()})
    assert everything(layer, ["normal", "reader?x"]) == []


# Statistics and flush.


def test_statistics_are_of_both_where_the_local_layer_keeps_them(make_local):
    layer = make_local("redis")
    for channel in ("normal", "normal", "reader?x"):
        layer.send(channel, {"n": 1})
    assert layer.channel_statistics("normal")["messages_count"] == 2
    assert layer.channel_statistics("normal")["messages_pending"] == 2
    assert layer.channel_statistics("reader?x")["messages_count"] == 1
    assert layer.global_statistics() == {"messages_count": 3, "channel_full_count": 0}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no POSIX shared memory")
def test_asgi_ipc_counts_nothing(make_local):
    layer = make_local("asgi_ipc")
    for channel in ("normal", "reader?x"):
        layer.send(channel, {"n": 1})
    assert set(layer.channel_statistics("normal").values()) == {0}
    assert layer.global_statistics() == {"messages_count": 1, "channel_full_count": 0}


def test_flush_empties_both(layer):
    for channel in ("normal", "reader?x", "process!x"):
        layer.send(channel, {"n": 1})
        layer.group_add("crowd", channel)
    layer.flush()
    assert everything(layer, ["normal", "reader?x", "process!"]) == []
    assert layer.group_channels("crowd") == []
