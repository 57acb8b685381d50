"""Waiting on several sockets at once, on every system and version of Python."""
from __future__ import unicode_literals

import errno
import select
import socket

from .times import monotonic


def pair():
    """Return two connected sockets: one to wait on, and one for ``ring``. Python 2 on Windows has no socketpair."""
    if hasattr(socket, "socketpair"):
        waiting, ringing = socket.socketpair()
    else:
        listener = socket.socket()
        try:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            waiting, ringing = socket.create_connection(listener.getsockname()), listener.accept()[0]
        finally:
            listener.close()
    ringing.setblocking(False)
    return waiting, ringing


def ring(ringing):
    """Make the other socket of the pair readable. This never blocks: the caller may hold locks."""
    try:
        ringing.send(b"!")
    except EnvironmentError as error:
        if error.errno not in (errno.EAGAIN, errno.EWOULDBLOCK):  # full, so the other is readable already
            raise


def readable(sockets, seconds):
    """Return the file numbers of those ``sockets`` that become readable within ``seconds``."""
    return ready(sockets, [], seconds)


def writable(sockets, seconds):
    """Return the file numbers of those ``sockets`` that become writable within ``seconds``."""
    return ready([], sockets, seconds)


def ready(reading, writing, seconds):
    """Return the file numbers of those ``reading`` and ``writing`` sockets that become ready within ``seconds``."""
    deadline = monotonic() + seconds if seconds else 0
    left = seconds
    while True:
        try:
            return ready_once(reading, writing, left)
        except select.error as error:  # Python before 3.5 does not resume after a signal
            if error.args[0] != errno.EINTR:
                raise
            left = min(max(deadline - monotonic(), 0), left)


def ready_once(reading, writing, seconds):
    if not hasattr(select, "poll"):  # Windows; gevent and eventlet remove it
        readable_now, writable_now, _ = select.select(reading, writing, [], seconds)
        return [sock.fileno() for sock in readable_now + writable_now]
    poll = select.poll()  # select() fails on file numbers from 1024 up
    for sock in reading:
        poll.register(sock, select.POLLIN)
    for sock in writing:
        poll.register(sock, select.POLLOUT)
    return [number for number, _ in poll.poll(seconds * 1000)]
