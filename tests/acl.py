"""Users with the permissions that docs/deploying.rst gives under "Least privilege"."""
from __future__ import unicode_literals

import binascii
import io
import os
import re

import pytest
import redis
from redis.exceptions import ResponseError

from asgi_redis.server.clients import REDIS_PY, call

PAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "docs", "deploying.rst")

#: True if the layers of all tests log in as such users.
LIMITED = bool(os.environ.get("ASGI_REDIS_TEST_USER"))

PASSWORD = "p@ss/w%rd"


def section():
    """Return the section of that page on least privilege."""
    with io.open(PAGE, encoding="utf-8") as file:
        return re.search(r"\nLeast privilege\n-+\n(.*?)\n\n\n", file.read(), re.DOTALL).group(1)


def words(place=0):
    """Return the words of a ``user`` line after the name. ``place``: 0 for that of servers, 1 for that of Sentinels."""
    return re.findall(r"^    user channels (.*)$", section(), re.MULTILINE)[place].split(" ")


def words_for_cluster():
    """Return the permissions that the nodes of a cluster need besides ``words()``."""
    always, before_5 = re.search(r"On a Redis Cluster[^`]*``([^`]*)``[^`]*``([^`]*)``", section()).groups()
    return always.split(" ") + ([before_5] if REDIS_PY < (5, 0) else [])


def pattern(prefix):
    """Return the ACL pattern, which can't contain spaces, for keys that begin with ``prefix``."""
    return "~%s*" % re.sub(r"([*?\[\\])", r"\\\1", prefix).replace(" ", "?")


def fitted(words, prefix, stats_prefix):
    """Return ``words`` for these prefixes instead of the default ones."""
    others = {">password": ">" + PASSWORD, "~asgi:*": pattern(prefix), "~asgi-meta:*": pattern(stats_prefix)}
    return [others.get(word, word) for word in words]


def set_user(client, name, words):
    """Create the user ``name``, or replace it. Skip the test if the server is too old for users."""
    try:
        call(client, "ACL", "SETUSER", name, "reset", *words)
    except ResponseError as error:
        if "unknown command" in str(error).lower():
            pytest.skip("this server is too old for users (ACL): Redis 6 or newer is needed")
        raise


def login(url, prefix, stats_prefix):
    """Create the user for these prefixes, and return ``url``, which must be an administrator's, with its login."""
    name = "channels-%08x" % (binascii.crc32((prefix + " " + stats_prefix).encode("utf-8")) & 0xFFFFFFFF)
    set_user(redis.StrictRedis.from_url(url), name, fitted(words(), prefix, stats_prefix))
    return with_user(url, name)


def with_user(url, name):
    return url.replace("://", "://%s:p%%40ss%%2Fw%%25rd@" % name)


def arguments(ports, more=()):
    """Return arguments that make layers with the default prefixes log in as such a user, if all tests do that."""
    if not LIMITED:
        return {}
    for port in ports:
        set_user(redis.StrictRedis(port=port), "channels", fitted(words(), "asgi:", "asgi-meta:") + list(more))
    return {"connection_kwargs": {"username": "channels", "password": PASSWORD}}
