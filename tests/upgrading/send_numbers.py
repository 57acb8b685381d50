"""
A program for the site's environment: ``send_numbers.py PATH FIRST`` sends numbered messages to the channel ``numbers``
until SIGTERM, and writes each number that was sent, with the time, into the file PATH.
"""
from __future__ import unicode_literals

import io
import signal
import sys
import threading
import time

import django
from channels import Channel

#: Seconds between two messages.
INTERVAL = 0.02


def send(number):
    """Send a number, if need be again while the channel is full: then nothing was sent."""
    channel = Channel("numbers")
    while True:
        try:
            return channel.send({"number": number}, immediately=True)
        except channel.channel_layer.ChannelFull:
            time.sleep(INTERVAL)


def run(path, number):
    told_to_end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told_to_end.set())
    with io.open(path, "a", encoding="ascii") as sent:
        while not told_to_end.wait(INTERVAL):
            begun = time.time()
            send(number)
            sent.write("%d %r\n" % (number, begun))
            sent.flush()
            number += 1


if __name__ == "__main__":
    django.setup()
    run(sys.argv[1], int(sys.argv[2]))
