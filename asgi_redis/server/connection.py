"""One connection to a server. redis-py opens it; from then on it is used without redis-py."""
from __future__ import unicode_literals

import errno
import os
import socket
import ssl
import struct

from redis.exceptions import ConnectionError, TimeoutError

from . import resp
from .clients import UNIX_CONNECT_TIMEOUT, with_address
from .sockets import readable, writable
from .times import monotonic

#: How many bytes are received at once, unless more are known to come.
CHUNK = 65536

#: The longest timeout that sockets get, in seconds. After a signal, Python reads and writes anew, with the whole
#: timeout of the system, so a timer that ticks more often would keep a call from ending. Profilers tick every 10 ms.
SYSTEM_TIMEOUT = 0.005

#: A read or write ended without having done anything: its timeout has passed, or, before Python 3.5, a signal came.
UNFINISHED = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR)


class Connection(object):
    """
    Sends one packed command at a time, and reads the reply.

    redis-py's parsers would take up to a third of the time of a call. And they close a connection if an exception, for
    example of a signal handler, interrupts them; here, ``read`` can be called again, until the next command is sent.

    ``redis_py``: redis-py's connection, which has connected.
    """

    __slots__ = ("redis_py", "_is_tls", "_data", "timeout")

    def __init__(self, redis_py):
        # Its socket is not kept here, or Python would delete that, with a warning, before redis-py closes it.
        self.redis_py = redis_py
        self._is_tls = hasattr(redis_py._sock, "pending")
        #: What was received since the last command was sent.
        self._data = b""
        #: What ``set_timeout`` was called with.
        self.timeout = None

    def set_timeout(self, seconds):
        """Let reading and writing take ``seconds`` at most; None: for ever."""
        self.timeout = seconds
        if type(self.redis_py._sock).__module__ == "socket" and os.name == "posix":
            # With a timeout of its own, Python asks the system before each read and write whether it would wait. The
            # system's does not cost a call. (Sockets with TLS, and those of gevent and eventlet, know only Python's.)
            # What takes longer than a moment waits in ``_wait``.
            timeout = struct.pack(str("ll"), 0, int(min(seconds or 0, SYSTEM_TIMEOUT) * 1000000))
            self.redis_py._sock.settimeout(None)
            self.redis_py._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
            self.redis_py._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
        else:
            self.redis_py._sock.settimeout(seconds)

    def fileno(self):
        return self.redis_py._sock.fileno()

    def ask(self, command):
        """``send``, ``read``, and forget the reply, which may be large."""
        self.send(command)
        reply = self.read()
        self._data = b""
        return reply

    def send(self, command):
        """Send a packed command, bytes or a list of bytes. redis-py's errors."""
        self._data = b""
        if type(command) is list:
            for part in command:
                self._send(part)
        else:
            self._send(command)

    def _send(self, data):
        while True:
            try:
                sent = self.redis_py._sock.send(data)
            except EnvironmentError as error:
                self._wait(writable, error, "writing to")
            else:
                if sent == len(data):
                    return
                data = memoryview(data)[sent:]

    def read(self):
        """Return the reply: bytes, an integer, None or a list of these. redis-py's errors."""
        if not self._data:
            self._data = self._receive()
        while True:
            reply, end = resp.parse(self._data)
            missing = end - len(self._data)
            if missing <= 0:
                break
            self._receive_more(missing)
        if type(reply) is resp.Error:
            raise self.redis_py._parser.parse_error(str(reply))
        return reply

    def _receive_more(self, least):
        """Receive ``least`` bytes or more."""
        chunks = [self._data]
        while least > 0:
            chunks.append(self._receive(max(least, CHUNK)))
            least -= len(chunks[-1])
        self._data = b"".join(chunks)

    def _receive(self, most=CHUNK):
        while True:
            try:
                chunk = self.redis_py._sock.recv(most)
            except EnvironmentError as error:
                self._wait(readable, error, "reading from")
            else:
                if not chunk:
                    raise ConnectionError("Connection closed by server.")
                return chunk

    def _wait(self, ready, error, doing):
        """
        After ``error``, wait for the timeout until the socket is ``ready``, a function. redis-py's errors if it is not,
        or if waiting is no use.
        """
        if error.errno not in UNFINISHED:
            raise explained(error, doing)
        if self.timeout is not None and not ready([self.redis_py._sock], self.timeout):
            raise explained(error, doing)

    def is_intact(self):
        """Return True if the connection is open, and nothing has arrived since the last reply, so far as is known."""
        self._data = b""
        return not self.can_read()

    def can_read(self, seconds=0):
        """Return True if ``read`` would return or raise within ``seconds``, or at least receive a part of the reply."""
        if self._data or not self._is_tls:
            return bool(self._data or readable([self.redis_py._sock], seconds))
        deadline = monotonic() + seconds
        while self.redis_py._sock.pending() or readable([self.redis_py._sock], max(deadline - monotonic(), 0)):
            if self._receive_now():
                return True
        return False

    def _receive_now(self):
        """Receive without waiting. Return False if there was nothing for the reader, such as the tickets of TLS."""
        timeout = self.redis_py._sock.gettimeout()
        self.redis_py._sock.settimeout(0)
        try:
            self._data += self.redis_py._sock.recv(CHUNK)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except EnvironmentError:
            pass  # ``read`` raises it again
        finally:
            self.redis_py._sock.settimeout(timeout)
        return True

    def close(self):
        self.redis_py.disconnect()

    def abandon(self):
        """In a forked child, close a connection of its parent. redis-py 2 would shut it down for the parent too."""
        opened, self.redis_py._sock = self.redis_py._sock, None
        if opened is not None:
            inner = getattr(opened, "_sock", opened)
            opened.close()
            try:
                inner.close()  # Python 2 would keep it for a thread of the parent that was reading
            except EnvironmentError:
                pass  # another thread has done this, too


def explained(error, doing):
    """Return redis-py's error for ``error`` of a socket."""
    if isinstance(error, socket.timeout) or error.errno in UNFINISHED:
        return TimeoutError("Timeout %s socket" % doing)
    return ConnectionError("Error while %s socket: %s" % (doing, error))


def connect(client, options, patience=None, timeout=None):
    """
    Return a new ``Connection`` like those of ``client``'s pool. redis-py's errors, with the server's address.

    ``options``: its keyword arguments. ``patience``: how long each step of connecting may take, in seconds (default:
    the timeouts in ``options``). ``timeout``: how long replies may take afterwards (default likewise).
    """
    options = dict(options)
    if patience is not None and (UNIX_CONNECT_TIMEOUT or "path" not in options):
        options["socket_connect_timeout"] = patience
    if patience is not None or timeout is not None:
        options["socket_timeout"] = timeout if patience is None else patience  # of the replies to AUTH and SELECT
    connection = client.connection_pool.connection_class(**options)
    try:
        connection.connect()
        opened = Connection(connection)
        opened.set_timeout(options.get("socket_timeout") if timeout is None else timeout)
    except ssl.CertificateError as error:  # before Python 3.7 a ValueError, which redis-py does not catch
        connection.disconnect()
        raise with_address(ConnectionError(str(error)), client)
    except BaseException as error:
        # An interrupted handshake leaves a connection that looks intact, but is not logged in.
        connection.disconnect()
        with_address(error, client)
        raise
    return opened
