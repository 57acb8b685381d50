"""``stats`` for Prometheus, by its own library."""
from __future__ import unicode_literals

import collections

from ..target import CannotRun

try:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
except ImportError:
    CollectorRegistry = None

#: {name of a figure: (name of the metric, its kind, what it is)}.
OF_CHANNELS = collections.OrderedDict([
    ("waiting", ("asgi_redis_messages_waiting", "gauge", "Messages in the queue.")),
    ("oldest", ("asgi_redis_oldest_message_seconds", "gauge", "How long the oldest message has waited.")),
    ("capacity", ("asgi_redis_capacity", "gauge", "How many messages the queue may hold.")),
    ("sent", ("asgi_redis_messages", "counter", "Messages sent.")),
    ("full", ("asgi_redis_channel_full", "counter", "Messages refused or dropped because the channel was full.")),
    ("dropped", ("asgi_redis_messages_dropped", "counter", "Messages that their readers could not read.")),
])


def label_of(channel):
    """
    Return the label for a channel. Those of processes have random names, which would make Prometheus keep a series for
    each process there ever was: they share one, and have no counters, as their sum falls when a process has gone.
    """
    if "!" not in channel:
        return channel
    beginning, dot, _ = channel.partition("!")[0].rpartition(".")
    return beginning + dot + "*!"


class Collector(object):
    """What prometheus_client asks for. ``found``: from ``collect``."""

    def __init__(self, found):
        self._found = found
        self._is_complete = not any("error" in shard for shard in found["shards"])

    def collect(self):
        for key, (name, kind, about) in OF_CHANNELS.items():
            if kind == "gauge":
                yield with_labels(GaugeMetricFamily(name, about, labels=["channel"]), self._by_label(key))
            # A sum that falls because a part of it is missing looks like a restart, after which everything is new.
            elif self._is_complete:
                yield with_labels(CounterMetricFamily(name, about, labels=["channel"]), {
                    channel["channel"]: channel[key] for channel in self._found["channels"]
                    if "!" not in channel["channel"]
                })
        for name, about, value in self._totals():
            yield GaugeMetricFamily(name, about, value=value)
        up = GaugeMetricFamily("asgi_redis_shard_up", "1 if the shard can be read.", labels=["shard", "address"])
        for number, shard in enumerate(self._found["shards"], 1):
            up.add_metric(["%d" % number, shard["address"]], 0 if "error" in shard else 1)
        yield up

    def _by_label(self, key):
        values = {}
        for channel in self._found["channels"]:
            values.setdefault(label_of(channel["channel"]), []).append(channel[key])
        return {label: (max if key == "oldest" else sum)(found) for label, found in values.items()}

    def _totals(self):
        groups = self._found["groups"]
        return [
            ("asgi_redis_processes", "Processes that receive.", len(self._found["processes"])),
            ("asgi_redis_groups", "Groups.", len(groups)),
            ("asgi_redis_group_members", "Members of all groups.", sum(group["members"] for group in groups)),
        ]


def with_labels(family, values):
    for label, value in sorted(values.items()):
        family.add_metric([label], value)
    return family


def exposition(found):
    """Return ``found`` in the text format of Prometheus. CannotRun without prometheus_client."""
    if CollectorRegistry is None:
        raise CannotRun("--prometheus needs prometheus_client: pip install asgi_redis[prometheus]")
    registry = CollectorRegistry()
    registry.register(Collector(found))
    return generate_latest(registry).decode("utf-8")
