"""What a run of the suite was made with, and how many tests passed: ``docs/compatibility.py`` makes a page of it."""
from __future__ import unicode_literals

import importlib
import io
import json
import os
import platform
import re
import subprocess

from asgi_redis.tools.embedded import server_binary

OUTCOMES = ("passed", "failed", "error", "skipped")


def version_of(name):
    """The version of the package ``name``, or None if it is not installed."""
    try:
        module = importlib.import_module(name)
    except ImportError:
        return None
    version = getattr(module, "__version__", None) or module.version
    return version if not isinstance(version, tuple) else ".".join(str(part) for part in version)


def msgpack_version():
    import msgpack

    compiled = msgpack.Packer.__module__ != "msgpack.fallback"
    return version_of("msgpack") + ("" if compiled else ", pure Python")


def server_version():
    """Such as "Redis 7.0.15"."""
    words = subprocess.check_output([server_binary(), "--version"]).decode("utf-8")
    return "%s %s" % re.match(r"(\w+) server v=(\S+)", words).groups()


def made_with():
    return {
        "python": "%s %s" % (platform.python_implementation(), platform.python_version()),
        "redis-py": version_of("redis"),
        "hiredis": version_of("hiredis"),
        "msgpack": msgpack_version(),
        "cryptography": version_of("cryptography"),
        "server": server_version(),
        "django": version_of("django"),
        "channels": version_of("channels"),
        "daphne": version_of("daphne"),
    }


def write(path, reporter):
    """Write to ``path``, as JSON, what the run that ``reporter`` has counted was made with, and its outcomes."""
    record = dict(made_with(), **{outcome: len(reporter.stats.get(outcome, [])) for outcome in OUTCOMES})
    if not os.path.isdir(os.path.dirname(path)):
        os.makedirs(os.path.dirname(path))
    with io.open(path, "w", encoding="utf-8") as file:
        file.write("%s\n" % json.dumps(record, indent=2, sort_keys=True))
