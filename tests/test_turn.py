"""The lock that Python 2 gets."""
from __future__ import unicode_literals

import sys
import threading

import pytest

from asgi_redis.server import turn
from asgi_redis.server.turn import Python2RLock

from .patience import AT_ONCE


class Stop(BaseException):
    """Raised by a signal handler."""


def work(lock):
    with lock, lock:
        pass


def test_only_one_thread_at_a_time_holds_it():
    lock, order = Python2RLock(), []

    def enter():
        with lock:
            order.append("other")

    other = threading.Thread(target=enter)
    with lock:
        other.start()
        work(lock)
        other.join(0.05)
        order.append("this")
    other.join(AT_ONCE)
    assert order == ["this", "other"]


def run(function):
    """Call ``function`` in a thread."""
    thread = threading.Thread(target=function)
    thread.daemon = True
    thread.start()
    thread.join(AT_ONCE)
    assert not thread.is_alive()


@pytest.mark.parametrize("line", range(20))
def test_an_interrupt_at_any_line_leaves_it_usable(line, monkeypatch):
    monkeypatch.setattr(turn, "LOOKS", 100)
    lock, passed = Python2RLock(), [0]

    def interrupt(frame, event, _):
        if frame.f_globals["__name__"] == "asgi_redis.server.turn":
            passed[0] += event == "line"
            if passed[0] > line:
                sys.settrace(None)
                raise Stop()
            return interrupt

    def be_interrupted():
        sys.settrace(interrupt)
        try:
            work(lock)
        except Stop:
            work(lock)
        finally:
            sys.settrace(None)

    run(be_interrupted)
    run(lambda: work(lock))
