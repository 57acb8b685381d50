"""A TCP proxy in front of a real server. What it does to the bytes that pass can be changed while it runs."""
from __future__ import unicode_literals

import collections
import itertools
import random
import socket
import threading
import time

LOCALHOST = "127.0.0.1"


class Requests(object):
    """
    The stream of requests of one connection.

    ``last``: the name of the last whole command in it; ``longest``: the bytes of the longest one.
    """

    def __init__(self):
        self.last = b""
        self.longest = 0
        self._rest = b""

    def feed(self, data):
        self._rest += data
        words, length = first_command(self._rest)
        while words:
            self.last = words[0].upper()
            self.longest = max(self.longest, length)
            self._rest = self._rest[length:]
            words, length = first_command(self._rest)


def first_command(data):
    """(words, length in bytes) of the RESP array of strings that ``data`` begins with; (None, 0) if it isn't whole."""
    end = data.find(b"\r\n")
    if end < 0:
        return None, 0
    words, place = [], end + 2
    for _ in range(int(data[1:end])):
        end = data.find(b"\r\n", place)
        if end < 0:
            return None, 0
        start = end + 2
        place = start + int(data[place + 1:end]) + 2
        words.append(data[start:place - 2])
    return (words, place) if place <= len(data) else (None, 0)


# What a proxy does. ``request`` and ``answer`` get a link and what came on it, and return what goes on from there.


class Pass(object):
    """Forward everything at once."""

    def request(self, link, data):
        return data

    def answer(self, link, data):
        return data


class Cut(Pass):
    """
    Let requests pass; swallow every ``every``th answer, and close both sides.

    ``swallowed``: {command: how many answers}; ``messages``: how many of them were those of a BLPOP that had popped.
    """

    def __init__(self, every):
        self.every = every
        self.swallowed = collections.Counter()
        self.messages = 0
        self._answers = itertools.count(1)
        self._lock = threading.Lock()

    def answer(self, link, data):
        with self._lock:
            if next(self._answers) % self.every:
                return data
            self.swallowed[link.requests.last] += 1
            self.messages += link.requests.last == b"BLPOP" and brings_message(data)
        link.close()
        return b""


def brings_message(answer):
    """Whether the answer of a BLPOP has popped a message, not what a layer has put there to end its own wait."""
    return answer.startswith(b"*2") and b"#wake#" not in answer


class Delay(Pass):
    """Forward everything late, each way by a random time between ``shortest`` and ``longest`` seconds."""

    def __init__(self, shortest, longest):
        self.shortest = shortest
        self.longest = longest

    def request(self, link, data):
        time.sleep(random.uniform(self.shortest, self.longest))
        return data

    answer = request


class Hold(Pass):
    """
    Forward nothing until ``let_go``, then everything that came meanwhile, as networks do that were away for a while:
    also the requests of clients that have gone.
    """

    def __init__(self):
        self._gone_on = threading.Event()

    def let_go(self):
        self._gone_on.set()

    def request(self, link, data):
        self._gone_on.wait()
        return data

    answer = request


class Drop(Pass):
    """Forward nothing, ever: a link on which something comes is dead from then on, and its client is not told."""

    def request(self, link, data):
        link.sever()
        return b""

    answer = request


class Link(object):
    """A client's connection and the one to the server that belongs to it."""

    def __init__(self, proxy, client):
        self.proxy = proxy
        self.client = client
        self.server = socket.create_connection((LOCALHOST, proxy.target))
        self.requests = Requests()
        self.severed = False
        self.abandoned = False

    def start(self):
        for work in (self._forward_requests, self._forward_answers):
            thread = threading.Thread(target=work)
            thread.daemon = True
            thread.start()

    def _forward_requests(self):
        try:
            for data in chunks(self.client):
                self.requests.feed(data)
                data = b"" if self.severed else self.proxy.mode.request(self, data)
                if data and not self.severed:
                    self.server.sendall(data)
        except socket.error:
            pass
        if not self.abandoned:
            # The server reads what was sent before, then sees the end, and ends the link.
            shut(self.server, socket.SHUT_WR)
        if self.severed:
            self.close()

    def _forward_answers(self):
        try:
            for data in chunks(self.server):
                data = self.proxy.mode.answer(self, data)
                if data and not self.severed:
                    self.client.sendall(data)
        except socket.error:
            pass
        if not self.severed:
            self.close()

    def sever(self):
        """Cut off the server; the client gets neither data nor the connection's end."""
        self.severed = True
        shut(self.server, socket.SHUT_RDWR)

    def abandon(self):
        """Cut off the client; the server sees no end, and goes on with its last request until it has a reply."""
        self.abandoned = True
        shut(self.client, socket.SHUT_RDWR)

    def close(self):
        self.proxy.links.discard(self)
        for end in (self.client, self.server):
            shut(end, socket.SHUT_RDWR)
            end.close()


def chunks(end):
    """What comes in at one end of a link, until that is closed."""
    return iter(lambda: end.recv(65536), b"")


def shut(end, how):
    try:
        end.shutdown(how)
    except socket.error:
        pass  # its other side was faster


class Proxy(object):
    """
    Listens on ``port``, and is a connection to the server on ``target`` for all who come, from ``start`` to ``stop``.

    ``mode``: what is done to the bytes, at first ``Pass()``.
    """

    def __init__(self, target):
        self.target = target
        self.mode = Pass()
        self.links = set()
        self._listener = socket.socket()
        self._listener.bind((LOCALHOST, 0))
        self._listener.listen(100)
        self.port = self._listener.getsockname()[1]

    def start(self):
        self._thread = threading.Thread(target=self._accept)
        self._thread.daemon = True
        self._thread.start()
        return self

    def _accept(self):
        while True:
            try:
                client = self._listener.accept()[0]
            except socket.error:
                return
            self._link(client)

    def _link(self, client):
        try:
            link = Link(self, client)
        except socket.error:
            client.close()  # as a port where nobody listens
            return
        self.links.add(link)
        link.start()

    def sever(self):
        """Leave all connections of now half open; those that follow are not concerned."""
        for link in list(self.links):
            link.sever()

    def abandon(self):
        """Close all connections of now on their clients' side only."""
        for link in list(self.links):
            link.abandon()

    def cut(self):
        """Close all connections of now, on both sides."""
        for link in list(self.links):
            link.close()

    def stop(self):
        shut(self._listener, socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for link in list(self.links):
            link.close()
