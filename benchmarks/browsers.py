"""Visitors of a site: requests at a fixed rate, and WebSockets that stay open; all in threads of this process."""
import base64
import http.client
import os
import selectors
import socket
import threading
import time

from .errors import CannotMeasure
from .servers import PATIENCE

#: A frame with an empty pong, masked with zeros.
PONG = b"\x8a\x80" + bytes(4)


class Browsers:
    """
    ``port``: of the site on 127.0.0.1. ``rate``: requests a second; ``broadcasts``: how many of these are for the page
    that broadcasts. ``sockets``: how many WebSockets. ``size``: bytes of a request. ``counts``: what there has been so
    far: {"requests": how many, "replies": how many, "bytes": of WebSockets}.
    """

    #: How many requests there may be at a time.
    AT_ONCE = 8

    #: How often each WebSocket tells, in seconds, that it is there: Daphne closes those that don't reply to pings.
    PONG_EVERY = 10

    def __init__(self, port, rate, broadcasts, sockets, size):
        self._port, self._rate, self._every = port, rate, round(rate / broadcasts) if broadcasts else 0
        self._headers = {"X-Padding": "x" * max(size - 400, 0)}
        self.counts = {"requests": 0, "replies": 0, "bytes": 0}
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._sockets = [self._open() for _ in range(sockets)]
        self._begun = time.monotonic()
        targets = [(self._listen, ())] + [(self._visit, (number,)) for number in range(self.AT_ONCE)]
        self._threads = [threading.Thread(target=target, args=words, daemon=True) for target, words in targets]
        for thread in self._threads:
            thread.start()

    def _open(self):
        connection = socket.create_connection(("127.0.0.1", self._port), PATIENCE)
        key = base64.b64encode(os.urandom(16)).decode()
        connection.sendall((
            f"GET /room HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode())
        reply = b""
        while b"\r\n\r\n" not in reply:
            reply += connection.recv(1)  # what comes after it is for _listen
            if not reply.startswith(b"HTTP/1.1 101"[:len(reply)]):
                raise CannotMeasure(f"The site refused a WebSocket: {reply!r}")
        return connection

    def _listen(self):
        with selectors.DefaultSelector() as selector:
            for connection in self._sockets:
                selector.register(connection, selectors.EVENT_READ)
            pong_at = time.monotonic()
            while not self._ended.is_set():
                if time.monotonic() >= pong_at:
                    pong_at += self.PONG_EVERY
                    for connection in self._sockets:
                        connection.sendall(PONG)
                for key, _ in selector.select(0.5):
                    self._count("bytes", len(key.fileobj.recv(65536)))

    def _visit(self, number):
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        while not self._ended.wait(max(self._begun + number / self._rate - time.monotonic(), 0)):
            self._count("requests", 1)
            connection.request("GET", self._page(number), headers=self._headers)
            reply = connection.getresponse()
            reply.read()
            self._count("replies", reply.status == 200)
            number += self.AT_ONCE
        connection.close()

    def _page(self, number):
        return "/broadcast" if self._every and number % self._every == 0 else "/"

    def _count(self, name, number):
        with self._lock:
            self.counts[name] += number

    def stop(self):
        self._ended.set()
        for thread in self._threads:
            thread.join()
        for connection in self._sockets:
            connection.close()
