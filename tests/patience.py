"""How long a layer and a test wait: the only place where tests reach into a layer, to make it wait less."""
from __future__ import unicode_literals

import time

from redis.exceptions import ConnectionError, TimeoutError

from asgi_redis.server import times

#: Seconds until a message must have been received again, beyond the wait of a blocking receive.
FOUND_WITHIN = 15

#: A ``blpop_timeout``, in seconds, that no test waits for, and how soon a blocking receive that ends earlier must do
#: so: even a very busy machine does not confuse the two.
LONG_WAIT, AT_ONCE = 30, 15


def hurry(layer, reply=0.3):
    """Let ``layer`` give up a reply after ``reply`` seconds (default: 2), on all connections that it makes from now."""
    for index in range(layer.ring_size):
        layer.connection(index).connection_pool.connection_kwargs["socket_timeout"] = reply
        for session in layer._parts.shards[index]._sessions:
            session.close()  # a connection keeps the timeout that it was made with


def bear_slow_replies(monkeypatch):
    """Let layers wait 20 seconds for a reply (default in production: 2), in tests that are not about outages."""
    monkeypatch.setattr(times, "REPLY_TIMEOUT", 20)


def hurry_pops(monkeypatch, grace=0.3):
    """Let layers give up a blocking pop that is ``grace`` seconds late (default in production: 2)."""
    monkeypatch.setattr(times, "GRACE", grace)


def hurry_reminders(monkeypatch, seconds):
    """Let the log say every ``seconds`` that an outage lasts (default in production: 60)."""
    monkeypatch.setattr(times, "LOG_AGAIN", seconds)


def hurry_outages(monkeypatch, repeat=0.2, patience=0.5):
    """
    Let calls to a shard that is unavailable be repeated for ``repeat`` seconds (default in production: 0.9), and probes
    wait ``patience`` seconds for a reply at most (default in production: 2).
    """
    monkeypatch.setattr(times, "RETRY_FOR", repeat)
    monkeypatch.setattr(times, "LONGEST_PATIENCE", patience)


def clock_of(module, monkeypatch):
    """Return a function that sets the clock of ``module``, one of the package, forward by some seconds."""
    passed = [0]
    monotonic = module.monotonic
    monkeypatch.setattr(module, "monotonic", lambda: monotonic() + passed[0])

    def let_pass(seconds):
        passed[0] += seconds

    return let_pass


def receive_within(layer, channels, seconds=FOUND_WITHIN, count=1):
    """
    The first ``count`` messages that non-blocking receives find, as (channel, message); fewer after ``seconds``.

    The errors of a shard that is unavailable for a moment are passed over.
    """
    found, deadline = [], time.time() + seconds
    while len(found) < count and time.time() < deadline:
        try:
            channel, message = layer.receive(channels)
        except (ConnectionError, TimeoutError):
            channel = None
        if channel is None:
            time.sleep(0.02)
        else:
            found.append((channel, message))
    return found


def attempt(call, *args, **kwargs):
    """What ``call`` returns, or the error by which it says that a shard is unavailable: a layer may do either."""
    try:
        return call(*args, **kwargs)
    except (ConnectionError, TimeoutError) as error:
        return error


def until(check, what, seconds=AT_ONCE):
    """Wait until ``check()`` is true, and return what it returned. AssertionError with ``what`` after ``seconds``."""
    deadline = time.time() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.time() < deadline, "Not in %g seconds: %s." % (seconds, what)
        time.sleep(0.002)


def silence(layer):
    """Let ``layer`` log no more losses: the log would be that of another test."""
    timer = layer._parts.losses._timer
    if timer is not None:
        timer.cancel()


def unpacks(frame):
    """Whether ``frame``, which a signal has interrupted, runs while the layer unpacks a message."""
    while frame is not None:
        if frame.f_globals.get("__name__") == "asgi_redis.codec":
            return True
        frame = frame.f_back
    return False
