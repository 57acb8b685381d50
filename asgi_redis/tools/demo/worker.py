"""
A worker process: ``python -m asgi_redis.tools.demo.worker``, started by the front.

Its standard input is one line of JSON: ``hosts`` and ``prefix`` of the layer, and ``front`` and ``worker``, the
process-specific channels of the front and of this worker. The process ends when its input does, so it cannot outlive
the front.
"""
from __future__ import unicode_literals

import json
import logging
import os
import sys
import threading

from redis.exceptions import RedisError

from asgi_redis import UnsupportedRedis

from .traffic import NORMAL_MEMBERS, REQUESTS, make_layer, send_patiently


class Worker(object):
    """
    Replies to requests and acknowledges group messages.

    - ``layer``: the channel layer.
    - ``front``, ``own``: the process-specific channels of the front and of this worker, up to the ``!``.
    """

    def __init__(self, layer, front, own):
        self.layer = layer
        self.front = front
        self.own = own
        self.answered = 0

    def run(self):
        """Work until the front sends "stop" and all messages before it are handled."""
        self._tell_front("ready", {"worker": self.own})
        stopping = False
        while True:
            channel, message = self.layer.receive([REQUESTS, self.own] + NORMAL_MEMBERS, block=not stopping)
            if channel == self.own + "stop":
                stopping = True
            elif channel is not None:
                self._handle(channel, message)
            elif stopping:
                break
        self._tell_front("stopped", {"worker": self.own, "answered": self.answered})

    def _handle(self, channel, message):
        if channel == REQUESTS:
            self.answered += 1
            send_patiently(self.layer, message["reply_channel"], {"status": 200, "headers": [], "content": b"Hello"})
        else:
            self._tell_front("ack", {"member": channel, "broadcast": message["broadcast"]})

    def _tell_front(self, kind, message):
        send_patiently(self.layer, self.front + kind, message)


def end_with_front(read=os.read, end=os._exit):
    # Not sys.stdin: its lock, held here, is a fatal error when the main thread ends. The functions are arguments
    # because Python 2 has emptied the modules by then.
    read(0, 1)
    end(1)


def main():
    logging.basicConfig(format="%(message)s")
    logging.getLogger("asgi_redis.delivery.losses").setLevel(logging.ERROR)  # the front says how often it was full
    line = sys.stdin.readline()
    if not line:
        return
    watch = threading.Thread(target=end_with_front)
    watch.daemon = True
    watch.start()
    task = json.loads(line)
    try:
        Worker(make_layer(task["hosts"], task["prefix"]), task["front"], task["worker"]).run()
    except (RedisError, UnsupportedRedis) as error:
        sys.exit("A worker has ended: %s" % error)


if __name__ == "__main__":
    main()
