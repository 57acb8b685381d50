"""Blocks of settings: a layer is made from them in a Django project, and messages pass through it."""
import json
import re

import pytest
import redis

from asgi_redis import cluster
from asgi_redis.server.clients import call

from ..servers import Cluster, Sentinels
from .blocks import name_of, of_kind

#: What is around a block that is only a part of CHANNEL_LAYERS, or of CONFIG.
LAYERS = """
%s
CHANNEL_LAYERS = {"default": {
    "BACKEND": "asgi_redis.RedisChannelLayer", "ROUTING": "mysite.routing.channel_routing",
    %s
}}
"""

#: More messages than any of the layers has shards.
TALK = """
import json
from mysite.asgi import channel_layer as layer
for number in range(8):
    layer.send("my.channel", {"number": number})
numbers = sorted(layer.receive(["my.channel"], block=True)[1]["number"] for _ in range(8))
layer.group_add("room", "my.channel")
layer.send_group("room", {"text": "hello"})
print(json.dumps([numbers, layer.receive(["my.channel"], block=True)[1]]))
"""


def complete(text):
    """Return ``text`` with what the documentation leaves out around it."""
    if "CHANNEL_LAYERS" in text:
        return text
    if text.startswith("CONFIG = "):
        return LAYERS % (text, '"CONFIG": CONFIG,')
    before, options = re.match(r'(?s)(.*?)(^"[^"]+": .*)', text, re.MULTILINE).groups()
    if '"CONFIG"' in text:
        # The page has the name of the backend only in its first block on the local layer.
        backend = '"BACKEND": "asgi_redis.RedisLocalChannelLayer",\n' if '"local_layer"' in text else ""
        return LAYERS % (before, backend + options)
    if '"hosts"' not in options:
        options = '"hosts": ["%s"], %s' % ("rediss://redis1:6379" if "ssl_" in text else "redis://redis1:6379", options)
    return LAYERS % (before, '"CONFIG": {%s}' % options)


def assert_messages_pass(project):
    result = project.run("python -c '%s'" % TALK)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == [list(range(8)), {"text": "hello"}]


@pytest.mark.parametrize("block", of_kind("settings"), ids=name_of)
def test_settings(make_project, block):
    project = make_project(complete(block.text))
    if "ssl_" in block.text:
        project.variables["REDIS_URL"] = project.fill("rediss://redis1:6379")
    if "Token" in block.text:  # for a service whose authority all machines trust
        project.variables["SSL_CERT_FILE"] = project.values["authority"]
    assert_messages_pass(project)


def set_password(port, password):
    """Let the server want a password. Connections that are open stay so, those of replicas and Sentinels among them."""
    call(redis.StrictRedis(port=port), "ACL", "SETUSER", "default", "resetpass", ">" + password)


@pytest.mark.parametrize("block", of_kind("settings of Sentinel"), ids=name_of)
def test_settings_of_sentinel(make_project, block):
    with Sentinels(["shard-a", "shard-b"]) as running:
        project = make_project(complete(block.text), sentinels=str(running.hosts)[1:-1])
        for port in running.ports():
            set_password(port, "of the servers")
        for _, port in running.hosts:
            set_password(port, "of the Sentinels")
        assert_messages_pass(project)


@pytest.mark.parametrize("block", of_kind("settings of a cluster"), ids=name_of)
@pytest.mark.skipif(cluster.RedisCluster is None, reason="redis-py before 4.1 knows no Redis Cluster")
def test_settings_of_a_cluster(make_project, given, block):
    with Cluster() as running:
        ports = [server.port for server in running.servers]
        project = make_project(complete(block.text), **{"port": ports[0], "other_port": ports[1]})
        for port in ports:
            set_password(port, "password")
        assert_messages_pass(project)
