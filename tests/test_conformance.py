"""asgiref's conformance suite, with its capacity tests, and one ``receive`` for each message."""
from __future__ import unicode_literals

from asgiref.conformance import ConformanceTestCase

from asgi_redis import RedisChannelLayer

from . import servers


class Conformance(ConformanceTestCase):
    shards = 1
    arguments = {}
    # For more than 20 seconds, the suite does not wait.
    group_expiry = 60
    expiry_delay = 1.1
    capacity_limit = 5
    receive_tries = 1

    @classmethod
    def setUpClass(cls):
        prefixes = [cls.arguments[name] for name in ("prefix", "stats_prefix") if name in cls.arguments]
        cls.channel_layer = RedisChannelLayer(
            expiry=1, group_expiry=cls.group_expiry, capacity=5, hosts=servers.hosts(cls.shards, *prefixes),
            **cls.arguments
        )


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


del Conformance, ConformanceTestCase
