"""Processes that write and read numbered messages, for tests that count what arrives."""
from __future__ import unicode_literals

import collections
import multiprocessing
import time
import traceback

from six.moves import queue

CHANNEL = "numbers"

#: Tells a reader that there is nothing more to come.
END = -1

#: Seconds that a reader may take to end once everything is sent.
PATIENCE = 60


def write(make_layer, numbers):
    """Send each of ``numbers`` once; wait while the channel is full."""
    layer = make_layer()
    for number in numbers:
        while True:
            try:
                layer.send(CHANNEL, {"n": number})
                break
            except layer.ChannelFull:
                time.sleep(0.001)


def read(make_layer, found):
    """Receive until an END comes, and put the list of all numbers into ``found``."""
    layer = make_layer()
    numbers = []
    while not numbers or numbers[-1] != END:
        _, message = layer.receive([CHANNEL], block=True)
        if message:
            numbers.append(message["n"])
    found.put(numbers[:-1])


def _guarded(function, make_layer, argument, errors):
    try:
        function(make_layer, argument)
    except BaseException:
        errors.put(traceback.format_exc())
        raise


def exchange(make_layer, messages, writers=4, readers=4):
    """
    Send ``messages`` numbers through ``writers`` processes to ``readers`` others; ``make_layer()`` makes the layer of
    each, and must be picklable. Returns {number: how often it arrived}, and a list of tracebacks.
    """
    found, errors = multiprocessing.Queue(), multiprocessing.Queue()

    def start(function, argument):
        process = multiprocessing.Process(target=_guarded, args=(function, make_layer, argument, errors))
        process.start()
        return process

    reading = [start(read, found) for _ in range(readers)]
    writing = [start(write, range(first, messages, writers)) for first in range(writers)]
    for process in writing:
        process.join()
    for _ in reading:
        write(make_layer, [END])
    counts = collections.Counter()
    for _ in reading:
        counts.update(_result(found, errors, reading))
    for process in reading:
        process.join()
    # Over several shards, the ENDs may be received before a message that was sent earlier.
    rest = make_layer()
    counts.update(message["n"] for _, message in iter(lambda: rest.receive([CHANNEL]), (None, None)))
    return counts, [errors.get() for process in reading + writing if process.exitcode]


def _result(found, errors, readers):
    """What one reader has found. AssertionError with what is known where it does not come."""
    deadline = time.time() + PATIENCE
    while time.time() < deadline:
        try:
            return found.get(timeout=0.5)
        except queue.Empty:
            if not errors.empty():
                raise AssertionError(errors.get())
    raise AssertionError("A reader has not received its END in %d seconds; exit codes of the readers: %s" % (
        PATIENCE, [reader.exitcode for reader in readers]
    ))
