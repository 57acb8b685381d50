"""
A process of a simulated site, which does to its layer what the real one does, without HTTP: ``python roles.py JSON``.

The JSON has ``role``, "worker" or "daphne"; ``server``, as ``workloads.make_layer`` wants it; ``prefix``; ``size``, the
bytes of a message. For a Daphne also ``name``; ``rate``, requests a second; ``broadcasts``, how many of these lead to
one; ``members``, how many sockets of the room are its own. It writes "ready", and then what it has counted, ten times
a second, until it is killed.
"""
import itertools
import json
import sys
import threading
import time

import workloads

#: As many channels as a worker of a small site listens to.
REQUEST, DISCONNECT = "http.request", "http.disconnect"
CHANNELS = [REQUEST, "websocket.connect", "websocket.receive", "websocket.disconnect"]

#: The capacity of channels: http.disconnect, which nothing reads, is soon full.
CAPACITY = 100

#: Bytes of a message beside its text.
FRAME = 60


def work(layer, size, **options):
    """A worker: replies to each request."""
    text = "x" * (size - FRAME)
    print("ready", flush=True)
    while True:
        channel, message = layer.receive(CHANNELS, block=True)
        if channel is None:
            continue
        if message["broadcast"]:
            layer.send_group("room", {"text": text})
        layer.send(message["reply_channel"], {"content": text})


class Daphne(object):
    """An interface server: sends requests at a fixed rate, and counts those with a reply, and what its sockets get."""

    def __init__(self, layer, name, rate, broadcasts, members, size):
        self._layer, self._queue = layer, name + "!"
        self._rate, self._share = rate, broadcasts / rate if rate else 0
        self._text = "x" * (size - FRAME)
        self.counts = {"requests": 0, "frames": 0}
        for number in range(members):
            layer.group_add("room", "%smember%d" % (self._queue, number))

    def read(self):
        while True:
            channel, message = self._layer.receive([self._queue], block=True)
            if channel is not None:
                self.counts["requests" if "content" in message else "frames"] += 1

    def write(self):
        begun, due = time.perf_counter(), 0.0
        for number in itertools.count() if self._rate else ():
            time.sleep(max(begun + number / self._rate - time.perf_counter(), 0))
            due += self._share
            self.request("%sreply%d" % (self._queue, number), due >= 1)
            due %= 1

    def request(self, reply_channel, broadcast):
        for channel, message in (
            (REQUEST, {"reply_channel": reply_channel, "broadcast": broadcast, "text": self._text}),
            (DISCONNECT, {"reply_channel": reply_channel, "path": "/"}),
        ):
            try:
                self._layer.send(channel, message)
            except self._layer.ChannelFull:
                pass


def serve(layer, **options):
    """A Daphne."""
    daphne = Daphne(layer, **options)
    for target in (daphne.read, daphne.write):
        thread = threading.Thread(target=target)
        thread.daemon = True
        thread.start()
    print("ready", flush=True)
    while True:
        time.sleep(0.1)
        print(json.dumps(daphne.counts), flush=True)


def main():
    options = json.loads(sys.argv[1])
    layer = workloads.make_layer(options.pop("server"), options.pop("prefix"), channel_capacity={"*": CAPACITY})
    {"worker": work, "daphne": serve}[options.pop("role")](layer, **options)


if __name__ == "__main__":
    main()
