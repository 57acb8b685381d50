"""The lock that Python 2 gets."""
from __future__ import unicode_literals

import sys
import threading

import pytest

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


@pytest.mark.parametrize("line", range(16))
def test_an_interrupt_at_any_line_leaves_it_to_its_thread(line):
    lock, passed = Python2RLock(), [0]

    def interrupt(frame, event, _):
        if frame.f_globals["__name__"] == "asgi_redis.server.turn":
            passed[0] += event == "line"
            if passed[0] > line:
                sys.settrace(None)
                raise Stop()
            return interrupt

    def enter():
        sys.settrace(interrupt)
        try:
            work(lock)
        except Stop:
            pass
        finally:
            sys.settrace(None)
        work(lock)
        done.set()

    done = threading.Event()
    thread = threading.Thread(target=enter)
    thread.daemon = True
    thread.start()
    assert done.wait(AT_ONCE)
