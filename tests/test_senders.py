"""Senders in threads, greenlets, signal handlers and forked children: each acknowledged message arrives once."""
from __future__ import unicode_literals

import collections
import json
import os
import subprocess
import sys
import threading

import pytest

from asgi_redis import RedisChannelLayer

from . import servers
from .commands import start_program
from .troubles import Gone, needs_timers

#: Seconds that a program of these tests may take.
PATIENCE = 60

FUTURE = "from __future__ import print_function, unicode_literals"

#: What all programs have: ``layer`` and ``send(name, number)``; in the end they print what was acknowledged.
BEGIN = """
import json, sys
import six
from asgi_redis import RedisChannelLayer

url, prefix, stats_prefix, by = map(six.ensure_text, sys.argv[1:5])
layer = RedisChannelLayer(hosts=[url], prefix=prefix, stats_prefix=stats_prefix, capacity=100000)
layer.receive(["warm-up"])  # connects
acknowledged = []

def send(name, number):
    message = {"name": name, "n": number}
    if by == "group":
        layer.send_group("crowd", message)
    else:
        layer.send("normal", message)
    acknowledged.append([name, number])
"""

END = """
print(json.dumps(acknowledged))
"""

THREADS = """
import threading

def at_once(function, count):
    threads = [threading.Thread(target=function, args=("%d" % number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""

GEVENT = """
from gevent import joinall, monkey, spawn
monkey.patch_all(thread=False)

def at_once(function, count):
    joinall([spawn(function, "%d" % number) for number in range(count)], raise_error=True)
"""

EVENTLET = """
import eventlet
eventlet.monkey_patch(thread=False)

def at_once(function, count):
    for greenlet in [eventlet.spawn(function, "%d" % number) for number in range(count)]:
        greenlet.wait()
"""

FIFTY = """
def send_many(name):
    for number in range(40):
        send(name, number)

at_once(send_many, 50)
"""

SIGNALS = """
import itertools, signal

handled = itertools.count()
over = False

def handle(*_):
    send("handler", next(handled))
    if not over:
        signal.setitimer(signal.ITIMER_REAL, 0.0005)

signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.0005)
for number in range(1000):
    send("main", number)
over = True
signal.setitimer(signal.ITIMER_REAL, 0)
"""

#: ``in_child(work)``: fork, call ``work()`` in the child, and note what was acknowledged there.
FORK = """
import os

def in_child(work):
    ends = os.pipe()
    child = os.fork()
    if child == 0:
        del acknowledged[:]
        work()
        os.write(ends[1], json.dumps(acknowledged).encode("ascii"))
        os._exit(0)
    os.close(ends[1])
    with os.fdopen(ends[0]) as end:
        acknowledged.extend(json.load(end))
    os.waitpid(child, 0)
"""

#: Two workers, one after the other, that a parent which made the layer forks. Process ids come again: in a container
#: with few of them within seconds.
SAME_IDS = """
def send_all():
    os.getpid = lambda: 4242
    for number in range(20):
        send(name, number)

for name in ("first", "second"):
    in_child(send_all)
"""

#: Ten workers that a parent forks, each with threads that all need the layer at once.
THREADS_OF_WORKERS = """
getattr(sys, "setswitchinterval", lambda seconds: sys.setcheckinterval(1))(1e-6)
for worker in range(10):
    in_child(lambda: at_once(lambda name: send("%d-%s" % (worker, name), 0), 8))
"""

#: To greenlets whose threads are not patched, all of them are in one thread.
KINDS = {"threading": THREADS, "gevent": GEVENT, "eventlet": EVENTLET}


@pytest.fixture(params=["channel", "group"])
def by(request):
    """How it is sent."""
    return request.param


@pytest.fixture
def layer(make_layer):
    layer = make_layer(capacity=100000)
    layer.group_add("crowd", "normal")
    return layer


def acknowledged(program, layer, by):
    """What ``program``, run by a Python of its own, was told is sent: a sorted list of (name, number)."""
    url, = servers.hosts(1, layer.prefix, layer.stats_prefix)
    process = start_program(
        program, url, layer.prefix, layer.stats_prefix, by, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    timer = threading.Timer(PATIENCE, process.kill)
    timer.start()
    output, errors = process.communicate()
    in_time = timer.is_alive()
    timer.cancel()
    assert in_time, "The program did not end in %d seconds." % PATIENCE
    assert process.returncode == 0, errors.decode("utf-8", "replace")[-2000:]
    return sorted(map(tuple, json.loads(output.decode("ascii"))))


def arrived(layer):
    """What arrived: a sorted list of (name, number)."""
    found = iter(lambda: layer.receive(["normal"])[1], None)
    return sorted((message["name"], message["n"]) for message in found)


def check(sent, found):
    """Each of ``sent`` is in ``found`` once, and nothing else is."""
    lost = len(set(sent) - set(found))
    doubled = sum(count > 1 for count in collections.Counter(found).values())
    assert (lost, doubled) == (0, 0), "of %d, %d were lost, %d came twice" % (len(sent), lost, doubled)
    assert found == sent


@pytest.mark.parametrize("module", sorted(KINDS))
def test_fifty_send_at_once(layer, by, module):
    pytest.importorskip(module, reason="%s is not installed: pip install %s" % (module, module))
    sent = acknowledged(FUTURE + KINDS[module] + BEGIN + FIFTY + END, layer, by)
    assert len(sent) == 2000
    check(sent, arrived(layer))


@needs_timers
def test_a_signal_handler_sends_while_the_program_sends(layer, by):
    sent = acknowledged(FUTURE + BEGIN + SIGNALS + END, layer, by)
    assert len(sent) > 1050
    check(sent, arrived(layer))


def try_to_send(layer):
    try:
        layer.send("normal", {})
    except layer.ChannelFull:  # also an unavailable server
        pass


@pytest.mark.parametrize("place, is_up", [
    (("asgi_redis.server.breaker", "copied"), False),
    (("collections", "update"), True),
], ids=["outage", "full channel"])
def test_a_signal_handler_sends_while_the_program_records_a_failure(place, is_up):
    layer = RedisChannelLayer(hosts=servers.hosts() if is_up else [Gone().url], channel_capacity={"normal": 0})
    layer.connection(0)  # its parts are made
    sent = []

    def interrupt(frame, event, _):
        if event == "call" and (frame.f_globals["__name__"], frame.f_code.co_name) == place:
            sys.setprofile(None)
            try_to_send(layer)
            sent.append(True)

    def run():
        sys.setprofile(interrupt)
        try_to_send(layer)

    thread = threading.Thread(target=run)
    thread.daemon = True
    thread.start()
    thread.join(PATIENCE)
    assert sent and not thread.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows can't fork")
def test_a_process_id_is_used_again_under_a_parent_that_made_the_layer(layer, by):
    sent = acknowledged(FUTURE + BEGIN + FORK + SAME_IDS + END, layer, by)
    assert len(sent) == 40
    check(sent, arrived(layer))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows can't fork")
def test_all_threads_of_a_forked_worker_send_at_once(layer, by):
    sent = acknowledged(FUTURE + THREADS + BEGIN + FORK + THREADS_OF_WORKERS + END, layer, by)
    assert len(sent) == 80
    check(sent, arrived(layer))


def test_two_threads_of_a_forked_worker_may_leave_the_same_connection(layer):
    layer.send("normal", {})
    session, = layer._parts.shards[0]._sessions
    opened = session.opened.redis_py._sock
    for _ in range(2):
        session.opened.redis_py._sock = opened  # which the second has read before the first removed it
        session.opened.abandon()
    assert session.opened.redis_py._sock is None
    session.close()
