"""What the property tests share: the profiles of hypothesis, and layers made anew for every example."""
from __future__ import unicode_literals

import binascii
import contextlib
import os

import six
from hypothesis import HealthCheck, settings

from asgi_redis import RedisChannelLayer

from . import servers
from .patience import silence

COMMON = {
    str("database"): None,
    str("deadline"): None,
    str("suppress_health_check"): [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
}

#: How many examples a routine run tries. Making them takes longer on Python 2.
ROUTINE = 10 if six.PY2 else 20

# A routine run tries the same examples every time; ASGI_REDIS_FUZZ=long others every time, for about ten minutes.
settings.register_profile(
    "routine", settings(max_examples=ROUTINE, stateful_step_count=30, derandomize=True, **COMMON)
)
settings.register_profile(
    "thorough", settings(max_examples=50, stateful_step_count=30, derandomize=True, **COMMON)
)
settings.register_profile("long", settings(max_examples=1000, stateful_step_count=50, **COMMON))
settings.load_profile(os.environ.get("ASGI_REDIS_FUZZ", "routine"))


def examples(share):
    """Settings for ``share`` times as many examples as the profile has, where one takes longer or is worth less."""
    return settings(max_examples=max(1, int(settings.default.max_examples * share)))


@contextlib.contextmanager
def making_layers(shards=1):
    """
    Gives ``make(cls=RedisChannelLayer, **arguments)``, for layers with the same prefixes, which are those of this
    example alone. In the end what they left in Redis is deleted, and their connections are closed.
    """
    own = binascii.hexlify(os.urandom(4)).decode("ascii")
    made = []

    def make(cls=RedisChannelLayer, **arguments):
        arguments.setdefault("hosts", servers.hosts(shards))
        arguments.setdefault("prefix", "fuzz-%s:" % own)
        arguments.setdefault("stats_prefix", "fuzz-meta-%s:" % own)
        made.append(cls(**arguments))
        return made[-1]

    try:
        yield make
    finally:
        for layer in made:
            layer.flush()
            silence(layer)
            for index in range(layer.ring_size):
                layer.connection(index).connection_pool.disconnect()
