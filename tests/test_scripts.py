"""
The keys that scripts use. Dragonfly refuses keys that a script does not declare, unless its first line permits them.
"""
from __future__ import unicode_literals

import codecs
import hashlib
import io
import os
import re

import pytest
import redis

from asgi_redis import RedisChannelLayer
from asgi_redis.server import scripts
from asgi_redis.tools.embedded import Server

from .test_acl import everything

FOLDER = os.path.dirname(scripts.__file__)

PERMISSION = b"--!df flags=allow-undeclared-keys\n"


def sources():
    """[(name, source), ...] of all scripts."""
    found = []
    for name in sorted(os.listdir(FOLDER)):
        if name.endswith(".lua"):
            with io.open(os.path.join(FOLDER, name), "rb") as file:
                found.append((name[:-len(".lua")], file.read()))
    return found


def commands_of(client, work):
    """Do ``work()``, and return [(True if by a script, words), ...] of the commands that the server runs during it."""
    connection = client.connection_pool.make_connection()
    try:
        connection.send_command("MONITOR")
        connection.read_response()
        work()
        client.echo("the end")
        commands = []
        while not commands or commands[-1][1] != ["ECHO", "the end"]:
            line = connection.read_response()
            line = line.decode("ascii") if isinstance(line, bytes) else line
            words = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
            commands.append((" lua] " in line, [codecs.decode(word, "unicode_escape") for word in words]))
        return commands
    finally:
        connection.disconnect()


@pytest.fixture(scope="module")
def undeclared():
    """{name of a script: the keys that it used, but did not declare} of everything that a layer does."""
    names, found = {}, {}
    for name, source in sources():
        names[hashlib.sha1(source).hexdigest()] = names[source.decode("ascii")] = name
    with Server() as server:
        layer = RedisChannelLayer(hosts=[server.url], capacity=3)
        commands = commands_of(redis.StrictRedis.from_url(server.url), lambda: everything(layer))
    for is_by_script, words in commands:
        command = words[0].upper()
        if command in ("EVAL", "EVALSHA"):
            name = names[words[1]]
            declared = words[3:3 + int(words[2])]
            found.setdefault(name, set())
        elif is_by_script:
            keys = words[1:3] if command == "RENAME" else words[1:2]
            found[name].update(set(keys) - set(declared))
    return found


@pytest.mark.parametrize("name, source", sources(), ids=[name for name, _ in sources()])
def test_a_script_permits_keys_that_are_not_declared_if_it_has_any(undeclared, name, source):
    if name in ("announce", "wake"):
        undeclared = {name: set()}  # they run only if a wait is long, or is ended early
    assert source.startswith(PERMISSION) == bool(undeclared[name])
