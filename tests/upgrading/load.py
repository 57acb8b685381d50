"""Load on a site, and what became of it: requests, each with an answer of its own, and broadcasts to WebSockets."""
import collections
import hashlib
import http.client
import json
import socket
import threading
import time

import pytest

websocket = pytest.importorskip("websocket")

#: Seconds until a client gives up: its message is lost.
GIVES_UP = 20

#: Seconds between two requests of a client, and between two broadcasts.
BETWEEN_REQUESTS, BETWEEN_BROADCASTS = 0.05, 0.2

#: Seconds after which a client that was refused, or cut off, comes again.
COMES_AGAIN = 0.1

#: A message of which nothing came back: what it was, and when it was sent.
Lost = collections.namedtuple("Lost", "what time")


class Clients(object):
    """Threads that go on until ``stop``."""

    def __init__(self, port):
        self.port = port
        self.stopped = threading.Event()
        self.lost = []
        self.cut_off = 0
        self._threads, self._errors = [], []

    def start(self, target, *args):
        thread = threading.Thread(target=self._run, args=(target,) + args)
        thread.daemon = True
        thread.start()
        self._threads.append(thread)

    def _run(self, target, *args):
        try:
            target(*args)
        except BaseException as error:
            self._errors.append(error)

    def stop(self):
        self.stopped.set()
        for thread in self._threads:
            thread.join(3 * GIVES_UP)
            assert not thread.is_alive()
        self.raise_error()

    def raise_error(self):
        """Raise what has ended one of the threads, if anything has."""
        for error in self._errors:
            raise error

    def post(self, path, body):
        """Return the answer to a request, or None if the client was refused, cut off, or gave up."""
        connection, begun = http.client.HTTPConnection("127.0.0.1", self.port, timeout=GIVES_UP), time.time()
        try:
            connection.request("POST", path, body)
            answer = connection.getresponse()
            text = answer.read()
        except socket.timeout:
            self.lost.append(Lost("POST " + path, begun))
        except (ConnectionError, http.client.HTTPException):
            self.cut_off += 1
        else:
            assert answer.status in (200, 204), "%s: %s, %s" % (path, answer.status, text)
            return text
        finally:
            connection.close()


class Requests(Clients):
    """
    Clients that send requests, each until it was answered.

    ``wrong``: answers that are another's. ``answered``: how many processes of each release have answered.
    """

    def __init__(self, port, clients):
        super().__init__(port)
        self.answered, self.wrong = collections.Counter(), []
        for client in range(clients):
            self.start(self._go_on, client)

    def _go_on(self, client):
        number = 0
        while not self.stopped.wait(BETWEEN_REQUESTS):
            number += 1
            self._ask("%d.%d" % (client, number))

    def _ask(self, name):
        body = name.encode("ascii") * 100
        while True:
            answer = self.post("/echo/?name=" + name, body)
            if answer is not None:
                return self._check(json.loads(answer), name, body)
            time.sleep(COMES_AGAIN)

    def _check(self, answer, name, body):
        if (answer["query"], answer["sha256"]) != ({"name": name}, hashlib.sha256(body).hexdigest()):
            self.wrong.append((name, answer))
        self.answered[answer["release"]] += 1


class Connection(object):
    """
    A WebSocket, from when it was open. ``first`` and ``last``: which broadcasts it must get; ``last`` is None until
    Daphne is told to end.
    """

    def __init__(self, first):
        self.first, self.last = first, None
        self.received = []


class Broadcasts(Clients):
    """
    Sockets that stay in a group, and a client that sends numbers to all of them.

    ``acknowledged``: numbers that the site says it has sent.
    """

    def __init__(self, port, sockets):
        super().__init__(port)
        self.number, self.acknowledged = 0, []
        self.current, self.connections = [None] * sockets, []
        for place in range(sockets):
            self.start(self._stay, place)
        self.start(self._broadcast)

    def _broadcast(self):
        while not self.stopped.wait(BETWEEN_BROADCASTS):
            self.number += 1
            if self.post("/broadcast/crowd/", b"%d" % self.number) is not None:
                self.acknowledged.append(self.number)

    def _stay(self, place):
        while not self.stopped.wait(COMES_AGAIN):
            opened = self._connect()
            if opened is not None:
                # It may have missed a broadcast that had begun by now.
                connection = self.current[place] = Connection(self.number + 1)
                self.connections.append(connection)
                self._read(opened, connection.received)
                opened.close()

    def _connect(self):
        begun = time.time()
        try:
            return websocket.create_connection("ws://127.0.0.1:%d/group/crowd/" % self.port, timeout=GIVES_UP)
        except websocket.WebSocketTimeoutException:
            self.lost.append(Lost("a WebSocket", begun))
        except (OSError, websocket.WebSocketException):
            self.cut_off += 1

    def _read(self, opened, received):
        opened.settimeout(BETWEEN_BROADCASTS)
        while not self.stopped.is_set():
            try:
                text = opened.recv()
            except websocket.WebSocketTimeoutException:
                continue
            except (OSError, websocket.WebSocketException):
                return
            if not text:
                return
            received.append(int(text))

    def all_open(self):
        return all(connection is not None and connection.last is None for connection in self.current)

    def settle(self):
        """Wait until all sockets have what was sent by now, or time is up: what they get later is not counted."""
        last, deadline = self.acknowledged[-1], time.time() + GIVES_UP
        for connection in self.current:
            connection.last = last
        while any(map(self.missed, self.current)) and time.time() < deadline:
            time.sleep(0.01)

    def missed(self, connection):
        """The broadcasts that a socket should have got, and has not."""
        received = set(connection.received)
        return [
            number for number in list(self.acknowledged)
            if connection.first <= number <= connection.last and number not in received
        ]

    def repeated(self):
        return [number for connection in self.connections
                for number, count in collections.Counter(connection.received).items() if count > 1]

    def delivered(self):
        return sum(len(connection.received) for connection in self.connections)
