"""Which layer a command works on: its options, and the layer that they describe."""
from __future__ import unicode_literals

import importlib
import os
import sys

import six

import asgi_redis

from .arguments import at_least_one
from .internals import without_password

#: The environment variable with the encryption keys, one a line: a command line can be read by every user.
KEYS_VARIABLE = "ASGI_REDIS_KEYS"


class CannotRun(Exception):
    """A command can't begin, or go on. The text tells the user why, and what to do."""


def add_options(parser):
    """Add the options that describe a layer to an ``argparse`` parser."""
    group = parser.add_argument_group("which layer", (
        "The one in a Django project's settings, or one on the given servers. In the second case, its encryption keys, "
        "if it has any, must be in the environment variable %s, one per line." % KEYS_VARIABLE
    ))
    group.add_argument("--settings", metavar="MODULE", help="the settings of a Django project, such as mysite.settings")
    group.add_argument("--alias", metavar="NAME", help="which of its CHANNEL_LAYERS (default: default)")
    group.add_argument("--hosts", nargs="+", metavar="URL", help="servers (default: redis://localhost:6379/0)")
    group.add_argument("--sentinels", nargs="+", metavar="HOST:PORT", help="Sentinels, instead of --hosts")
    group.add_argument("--services", nargs="+", metavar="NAME", help="services of the Sentinels (default: all)")
    group.add_argument("--cluster", nargs="+", metavar="URL", help="nodes of a Redis Cluster, instead of --hosts")
    group.add_argument("--shards", type=int, metavar="N", help="shards on the Redis Cluster (default: 3)")
    group.add_argument("--prefix", metavar="TEXT", help="the layer's prefix (default: asgi:)")
    group.add_argument("--stats-prefix", metavar="TEXT", help="the layer's stats_prefix (default: asgi-meta:)")
    group.add_argument("--expiry", type=at_least_one, metavar="SECONDS", help="the layer's expiry (default: 60)")
    group.add_argument("--capacity", type=at_least_one, metavar="N", help="the layer's capacity (default: 100)")


#: Options that exclude each other, those that need one of them, and those that settings exclude.
KINDS = ["settings", "hosts", "sentinels", "cluster"]
NEEDS = [("alias", "settings"), ("services", "sentinels"), ("shards", "cluster")]
OWN = ["prefix", "stats_prefix", "expiry", "capacity"]


def on_layer(act):
    """Return a command that returns ``act(layer, options, screen)``, and that a signal ends."""
    def run(options, screen, signals):
        with signals.raised():
            return act(make_layer(options), options, screen)

    return run


def make_layer(options):
    """Return the layer that ``options`` describe. CannotRun if they are wrong, or describe none of this package."""
    given = {name for name, value in vars(options).items() if value is not None}
    kinds = [kind for kind in KINDS if kind in given]
    if len(kinds) > 1:
        raise CannotRun("--%s and --%s can't be given together." % tuple(kinds[:2]))
    for option, kind in NEEDS:
        if option in given and kind not in given:
            raise CannotRun("--%s needs --%s." % (option, kind))
    for option in OWN:
        if option in given and "settings" in given:
            raise CannotRun("--%s can't be given with --settings: the settings have it." % option.replace("_", "-"))
    try:
        return from_settings(options) if options.settings else from_options(options)
    except (ValueError, TypeError, RuntimeError) as error:
        raise CannotRun("%s" % error)


def from_options(options):
    arguments = {name: getattr(options, name) for name in OWN if getattr(options, name) is not None}
    arguments = {name: six.ensure_text(value) if isinstance(value, str) else value for name, value in arguments.items()}
    keys = [line for line in six.ensure_text(os.environ.get(KEYS_VARIABLE, "")).splitlines() if line]
    if keys:
        arguments["symmetric_encryption_keys"] = keys
    if options.sentinels:
        hosts = [address(text) for text in options.sentinels]
        return asgi_redis.RedisSentinelChannelLayer(hosts=hosts, services=options.services, **arguments)
    if options.cluster:
        if options.shards is not None:
            arguments["shards"] = options.shards
        return asgi_redis.RedisClusterChannelLayer(hosts=options.cluster, **arguments)
    return asgi_redis.RedisChannelLayer(hosts=options.hosts, **arguments)


def address(text):
    """Return (host, port) of ``host``, ``host:port`` or ``[host]:port``."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or (":" in host and not host.startswith("[")):
        host, port = text, "26379"
    if not port.isdigit() or "/" in host or "@" in host:
        raise ValueError("A Sentinel must be HOST:PORT, not %s." % without_password(text))
    return host.strip("[]"), int(port)


def from_settings(options):
    """Return the layer of a Django project. Django itself is not needed."""
    sys.path.insert(0, os.getcwd())
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", options.settings)
    layers = getattr(imported(options.settings), "CHANNEL_LAYERS", {})
    alias = options.alias or "default"
    if alias not in layers:
        known = ", ".join(sorted(layers)) or "none"
        raise CannotRun("%s has no layer %s in CHANNEL_LAYERS; it has: %s." % (options.settings, alias, known))
    path, config = layers[alias].get("BACKEND", ""), layers[alias].get("CONFIG", {})
    module, _, name = path.rpartition(".")
    layer_class = getattr(imported(module), name, None) if module else None
    if not isinstance(layer_class, type) or not issubclass(layer_class, asgi_redis.BaseRedisChannelLayer):
        raise CannotRun("The BACKEND of the layer %s is %s, which is not a channel layer of asgi_redis." % (
            alias, path or "missing",
        ))
    return layer_class(**config)


def imported(name):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise CannotRun(
            "%s can't be imported: %s. Run this in the folder of manage.py, with the site's Python." % (name, error)
        )
    except Exception as error:
        raise CannotRun("%s can't be imported: %s: %s" % (name, type(error).__name__, error))
