"""asgiref's conformance suite, with its capacity tests, and one ``receive`` for each message."""
from __future__ import unicode_literals

from asgi_redis import RedisChannelLayer

from . import old_asgiref, servers


def lives(name, group_expiry):
    """Arguments of the layer for a test of the suite: only those that wait for it have what expires soon."""
    if "expiry" in name:
        return {str("expiry"): 1, str("group_expiry"): group_expiry}
    return {}


class Conformance(old_asgiref.ConformanceTestCase):
    shards = 1
    arguments = {}
    # For more than 20 seconds, the suite does not wait.
    group_expiry = 60
    expiry_delay = 1.1
    capacity_limit = 5
    receive_tries = 1

    def setUp(self):
        prefixes = [self.arguments[name] for name in ("prefix", "stats_prefix") if name in self.arguments]
        self.channel_layer = RedisChannelLayer(
            capacity=5, hosts=servers.hosts(self.shards, *prefixes),
            **dict(self.arguments, **lives(self.id(), self.group_expiry))
        )
        old_asgiref.ConformanceTestCase.setUp(self)


class TestOneHost(Conformance):
    group_expiry = 2


class TestTwoShards(Conformance):
    shards = 2


class TestThreeShards(Conformance):
    shards = 3
    group_expiry = 2


class TestEncrypted(Conformance):
    arguments = {str("symmetric_encryption_keys"): ["new", "old"]}


class TestOddPrefix(Conformance):
    shards = 2
    arguments = {str("prefix"): "o*d [d]? \\ \u00e9:", str("stats_prefix"): "o*d m[e]ta:"}


del Conformance
