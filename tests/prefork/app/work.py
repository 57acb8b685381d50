"""
What workers do with the layer, each function by a request or a task of its own.

The environment says what the layer is made of: PREFORK_LAYER, its arguments as JSON. The process that imports this uses
the layer; if PREFORK_PARENT_WORKS is set, it goes on using it in a thread, beside the workers that it forks.
"""
from __future__ import unicode_literals

import json
import os
import threading
import time

from asgi_redis import RedisChannelLayer

layer = RedisChannelLayer(**json.loads(os.environ["PREFORK_LAYER"]))
# A receive that finds nothing ends soon.
layer.blpop_timeout = 1


def imported():
    """Use the layer, so that the process that imports this has several connections, which forked workers must leave."""
    found = []
    waiting = [
        threading.Thread(target=lambda: found.append(layer.receive(["warm-up"], block=True)[1])) for _ in range(4)
    ]
    for thread in waiting:
        thread.start()
    for number in range(4):
        layer.send("warm-up", {"n": number})
    for thread in waiting:
        thread.join()
    assert sorted(message["n"] for message in found) == list(range(4)), found
    if os.environ["PREFORK_PARENT_WORKS"]:
        thread = threading.Thread(target=echo_from_parent)
        thread.daemon = True
        thread.start()


def echo_from_parent():
    while True:
        _, message = layer.receive(["parent"], block=True)
        if message:
            layer.send("results", {"name": "parent", "n": message["n"], "process": os.getpid()})


# The rest is called in workers.


def send(name, count):
    """Send ``count`` numbered messages."""
    for number in range(count):
        layer.send("results", {"name": name, "n": number, "process": os.getpid()})


def forward():
    """Receive one order and send it on. Return its number, or None if there was none."""
    _, message = layer.receive(["orders"], block=True)
    if message is None:
        return None
    layer.send("results", {"name": "order", "n": message["n"], "process": os.getpid()})
    return message["n"]


def talk_to_itself(count):
    """Send ``count`` messages to a new single-reader channel. Return the numbers that arrive there, in order."""
    channel = layer.new_channel("reply?")
    for number in range(count):
        layer.send(channel, {"n": number})
    return [layer.receive([channel], block=True)[1]["n"] for _ in range(count)]


def ticks():
    """Return how often another thread, or greenlet, has worked while a blocking receive waited."""
    counted = []
    over = threading.Event()

    def tick():
        while not over.is_set():
            counted.append(1)
            time.sleep(0.01)

    ticker = threading.Thread(target=tick)
    ticker.start()
    before = len(counted)
    found = layer.receive(["nothing"], block=True)
    after = len(counted)
    over.set()
    ticker.join()
    assert found == (None, None), found
    return after - before


def is_patched():
    """Return True if threads are greenlets."""
    return type(threading.Lock()).__module__.partition(".")[0] in ("gevent", "eventlet")


def fill(count):
    """Send ``count`` messages to a group whose channel is full, which the layer logs."""
    for number in range(count):
        layer.send_group("crowd", {"n": number})


WORK = {function.__name__: function for function in (send, forward, talk_to_itself, ticks, is_patched, fill)}


def do(name, arguments):
    """Return {"process": of the worker, "result": of ``WORK[name]``}."""
    return {"process": os.getpid(), "result": WORK[name](*arguments)}


imported()
