"""What the front and its workers share: the layer, channel names, group members."""
from __future__ import unicode_literals

import time

from asgi_redis import RedisChannelLayer

#: How long, in seconds, a server may take to reply. Longer than a blocking receive, so that it never cuts one short.
SOCKET_TIMEOUT = 10

REQUESTS = "http.request"
GROUP = "demo"

#: How many messages are sent to the group, one after the other.
BROADCASTS = 20

#: Group members on the front, on all workers together, and on normal channels. A channel holds 100 messages; all
#: members together are fewer, so that no group message is dropped because a queue is full.
FRONT_MEMBERS = 40
WORKER_MEMBERS = 24
NORMAL_MEMBERS = ["demo.member.%d" % number for number in range(12)]


def make_layer(hosts, prefix):
    return RedisChannelLayer(
        hosts=hosts, prefix=prefix, stats_prefix=prefix + "stats:", connection_kwargs={"socket_timeout": SOCKET_TIMEOUT}
    )


def make_request(number, reply_channel):
    return {
        "reply_channel": reply_channel, "http_version": "1.1", "method": "GET", "path": "/%d" % number,
        "query_string": b"", "headers": [[b"host", b"demo"]], "body": b"",
    }


def member_channels(front, workers):
    """Return the channels of all group members. ``front``, ``workers``: process-specific channels up to the ``!``."""
    members = ["%ssocket%d" % (front, number) for number in range(FRONT_MEMBERS)] + NORMAL_MEMBERS
    return members + ["%ssocket%d" % (workers[n % len(workers)], n) for n in range(WORKER_MEMBERS)]


def send_patiently(layer, channel, message):
    """Send; if the channel is full, retry until it is not."""
    while True:
        try:
            return layer.send(channel, message)
        except layer.ChannelFull:
            time.sleep(0.01)
