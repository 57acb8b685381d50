"""Which layer a command works on: its options, and the layer that they describe."""
from __future__ import unicode_literals

import importlib
import os
import sys

import six

import asgi_redis

#: The environment variable with the encryption keys, one a line: a command line can be read by every user.
KEYS_VARIABLE = "ASGI_REDIS_KEYS"


class CannotRun(Exception):
    """A command can't begin, or go on. The text tells the user why, and what to do."""


def add_options(parser):
    """Add the options that describe a layer to an ``argparse`` parser."""
    group = parser.add_argument_group("which layer", "the one in a Django project's settings, or one of its own:")
    group.add_argument("--settings", metavar="MODULE", help="the settings of a Django project, as mysite.settings")
    group.add_argument("--alias", default="default", metavar="NAME", help=(
        "which of its CHANNEL_LAYERS (default: default)"
    ))
    group.add_argument("--hosts", nargs="+", metavar="URL", help="servers (default: redis://localhost:6379/0)")
    group.add_argument("--sentinels", nargs="+", metavar="HOST:PORT", help="Sentinels, instead of --hosts")
    group.add_argument("--services", nargs="+", metavar="NAME", help="services of the Sentinels (default: all)")
    group.add_argument("--cluster", nargs="+", metavar="URL", help="nodes of a Redis Cluster, instead of --hosts")
    group.add_argument("--shards", type=int, metavar="N", help="shards on the Redis Cluster (default: 3)")
    group.add_argument("--prefix", metavar="TEXT", help="the layer's prefix (default: asgi:)")
    group.add_argument("--stats-prefix", metavar="TEXT", help="the layer's stats_prefix (default: asgi-meta:)")


#: Options that exclude each other, and which of the others go with which.
KINDS = ["settings", "hosts", "sentinels", "cluster"]
BELONGS_TO = {"services": "sentinels", "shards": "cluster"}


def make_layer(options):
    """Return the layer that ``options`` describe. CannotRun if they are wrong, or describe none of this package."""
    kinds = [kind for kind in KINDS if getattr(options, kind)]
    if len(kinds) > 1:
        raise CannotRun("--%s and --%s can't be given together." % tuple(kinds[:2]))
    for option, kind in BELONGS_TO.items():
        if getattr(options, option) and kind not in kinds:
            raise CannotRun("--%s needs --%s." % (option, kind))
    try:
        if kinds == ["settings"]:
            return from_settings(options)
        return from_options(options)
    except (ValueError, TypeError, RuntimeError, ImportError) as error:
        raise CannotRun(str(error))


def from_options(options):
    arguments = {}
    for name in ("prefix", "stats_prefix"):
        if getattr(options, name) is not None:
            arguments[name] = six.ensure_text(getattr(options, name))
    keys = [line for line in six.ensure_text(os.environ.get(KEYS_VARIABLE, "")).splitlines() if line]
    if keys:
        arguments["symmetric_encryption_keys"] = keys
    if options.sentinels:
        hosts = [address(text) for text in options.sentinels]
        return asgi_redis.RedisSentinelChannelLayer(hosts=hosts, services=options.services, **arguments)
    if options.cluster:
        if options.shards:
            arguments["shards"] = options.shards
        return asgi_redis.RedisClusterChannelLayer(hosts=options.cluster, **arguments)
    return asgi_redis.RedisChannelLayer(hosts=options.hosts, **arguments)


def address(text):
    """Return (host, port) of ``host``, ``host:port`` or ``[host]:port``."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, "26379"
    if not port.isdigit():
        raise ValueError("A Sentinel is host:port, not %s." % text)
    return host.strip("[]"), int(port)


def from_settings(options):
    """Return the layer of a Django project. Django itself is not needed."""
    sys.path.insert(0, os.getcwd())
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", options.settings)
    layers = getattr(importlib.import_module(options.settings), "CHANNEL_LAYERS", {})
    if options.alias not in layers:
        known = ", ".join(sorted(layers)) or "none"
        raise CannotRun("%s has no CHANNEL_LAYERS[%r]; it has: %s." % (options.settings, str(options.alias), known))
    config = layers[options.alias]
    module, _, name = config["BACKEND"].rpartition(".")
    layer = getattr(importlib.import_module(module), name)(**config.get("CONFIG", {}))
    if not isinstance(layer, asgi_redis.BaseRedisChannelLayer):
        raise CannotRun("CHANNEL_LAYERS[%r] is a %s, which is not on Redis." % (str(options.alias), config["BACKEND"]))
    return layer
