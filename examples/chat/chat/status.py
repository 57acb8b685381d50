"""
The numbers of the page ``/status``, read once for all who look at it: ``python -m chat.status``.

A window with the page sends a look every ``BEAT`` seconds, which a consumer passes on to the channel ``LOOKS``. This
process reads while looks arrive, and sends each reading to the group ``GROUP``. So Redis is read as often for a hundred
windows as for one, and not at all if there is none.
"""
import collections
import json
import os
import threading
import time

from redis.exceptions import RedisError

from asgi_redis.tools.stats.run import readings

LOOKS = "status.look"
GROUP = "status"

#: How many seconds are between two readings, and between two looks of a window.
EVERY = 2
BEAT = 10

#: How many seconds a look lasts: one may be lost.
LASTS = 2.5 * BEAT

#: How many seconds the chart shows.
SPAN = 300

#: How many channels, processes and groups the page lists at most: a reading must stay a small message.
MOST_ROWS = 50

#: What the page learns about a process: nothing about keys and servers.
OF_PROCESSES = ("host", "process", "release", "python", "since", "seen", "channels")


class Reader:
    """Reads the numbers of ``layer`` every ``every`` seconds, until the last look is ``lasts`` seconds old."""

    def __init__(self, layer, every=EVERY, lasts=LASTS):
        self.layer = layer
        self.every = every
        self.lasts = lasts
        self.looked = threading.Event()
        self.looked_at = None
        self.throughput = Throughput()

    def run(self):
        # Another thread receives, so that the layer keeps the record of this process up to date.
        threading.Thread(target=self.listen, daemon=True).start()
        while True:
            self.looked.wait()
            self.read()

    def listen(self):
        while True:
            channel, _ = self.layer.receive([LOOKS], block=True)
            if channel:
                self.looked_at = time.monotonic()
                self.looked.set()

    def read(self):
        for found, before in readings(self.layer, self.every):
            self.tell(found, before)
            # In this order: a look that arrives in between is not missed.
            self.looked.clear()
            if time.monotonic() - self.looked_at > self.lasts:
                return

    def tell(self, found, before):
        rates = rates_of(found, before)
        self.throughput.add(rates)
        numbers = dict(
            found, **listed(found, rates), throughput=self.throughput.series(),
            waiting=sum(channel["waiting"] for channel in found["channels"]),
            counts={name: len(found[name]) for name in ("channels", "processes", "groups")},
        )
        try:
            self.layer.send_group(GROUP, {"text": json.dumps(numbers)})
        except RedisError:
            pass  # the layer logs it, and the page tells that nothing arrives


class Throughput:
    """Messages a second over the last ``SPAN`` seconds."""

    def __init__(self):
        self.points = collections.deque()

    def add(self, rates):
        now = time.monotonic()
        to_browsers = to_workers = None  # a gap in the chart
        if rates is not None:
            to_browsers = round(sum(rate for channel, rate in rates.items() if "!" in channel), 1)
            to_workers = round(sum(rate for channel, rate in rates.items() if "!" not in channel), 1)
        self.points.append((now, to_workers, to_browsers))
        while self.points[0][0] < now - SPAN:
            self.points.popleft()

    def series(self):
        """Three lists: seconds before the last reading, as negative numbers; to workers; to browsers."""
        last = self.points[-1][0]
        times, to_workers, to_browsers = zip(*self.points)
        return [[round(at - last, 1) for at in times], to_workers, to_browsers]


def rates_of(found, before):
    """{channel: messages a second} between two readings; None where they can't be compared."""
    if before is None or available(found) != available(before):
        return None
    seconds = max(found["time"] - before["time"], 0.001)  # the clock may be set back
    earlier = {channel["channel"]: channel["sent"] for channel in before["channels"]}
    return {
        # A counter starts again from 0 after an hour without messages.
        channel["channel"]: max(channel["sent"] - earlier.get(channel["channel"], channel["sent"]), 0) / seconds
        for channel in found["channels"]
    }


def available(found):
    return [number for number, shard in enumerate(found["shards"]) if "error" not in shard]


def listed(found, rates):
    """The rows of the page's long tables: the fullest channels first, the largest groups."""
    channels = [
        dict(channel, rate=None if rates is None else round(rates[channel["channel"]], 1))
        for channel in found["channels"]
    ]
    # In steps of a tenth: rows that change places with each reading can't be read.
    channels.sort(key=lambda channel: (-(channel["waiting"] * 10 // max(channel["capacity"], 1)), channel["channel"]))
    groups = sorted(found["groups"], key=lambda group: (-group["members"], group["group"]))
    return {
        "channels": channels[:MOST_ROWS],
        "groups": groups[:MOST_ROWS],
        "processes": [{key: record[key] for key in OF_PROCESSES} for record in found["processes"][:MOST_ROWS]],
    }


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chat.settings")
    from chat.asgi import layer as site_layer

    Reader(site_layer).run()
