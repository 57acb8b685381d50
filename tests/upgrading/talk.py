"""
A program for the environments: a message there and back, with the asgi_redis that is installed.

``talk.py serve URL CHANNEL`` replies to all messages, and never ends; ``talk.py ask URL CHANNEL`` sends one, and writes
the reply.
"""
from __future__ import unicode_literals

import json
import sys
import time

import msgpack
import six

from asgi_redis import RedisChannelLayer, __version__

#: How long a reply may take, in seconds.
PATIENCE = 50


def receive(layer, channel, seconds):
    deadline = time.time() + seconds
    while time.time() < deadline:
        message = layer.receive([channel], block=True)[1]
        if message is not None:
            return message
    raise SystemExit("Nothing arrived on %s in %s seconds." % (channel, seconds))


def serve(layer, channel):
    while True:
        message = receive(layer, channel, float("inf"))
        layer.send(message["reply_channel"], {
            "sent": message["sent"], "release": six.ensure_text(__version__), "msgpack": list(msgpack.version),
            "compiled": not msgpack.Packer.__module__.endswith("fallback"),
        })


def ask(layer, channel):
    sent = {"text": "\N{EURO SIGN}", "bytes": b"\xff\x00"}
    reply_channel = layer.new_channel("reply?")
    layer.send(channel, {"sent": sent, "reply_channel": reply_channel})
    reply = receive(layer, reply_channel, PATIENCE)
    if reply.pop("sent") != sent:
        raise SystemExit("The reply differs from what was sent.")
    print(json.dumps(reply))


if __name__ == "__main__":
    what, url, channel = sys.argv[1:]
    {"serve": serve, "ask": ask}[what](RedisChannelLayer(hosts=[url]), channel + "")
