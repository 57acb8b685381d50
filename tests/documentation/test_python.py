"""Blocks of Python: each is run as it is, and has the effect that the documentation says."""
import ast
import binascii
import doctest
import logging
import re

import msgpack
import pytest
import redis

from asgi_redis import RedisChannelLayer, RedisClusterChannelLayer

from .blocks import fill, name_of, of_kind

#: What the blocks leave to their readers.
NAMES = {
    "binascii": binascii, "RedisChannelLayer": RedisChannelLayer, "ProxyConnection": redis.Connection,
    "RedisClusterChannelLayer": RedisClusterChannelLayer, "logger": logging.getLogger("documentation"),
    "name": "daphne.response.abc!", "number": "1", "number_of_shards": 3,
}

#: {(document, section): for each of its blocks, in order, what must be true after it, of the names that it defines}.
EFFECTS = {
    ("README.rst", "Use it"): ["(channel, message) == ('my.channel', {'text': 'hello'})"],
    ("docs/getting-started.rst", "In code"): [
        "(channel, message) == ('my.channel', {'text': 'hello'})",
        "layer.receive(['my.channel']) == ('my.channel', {'text': 'hello, all'})",
        "layer.receive(['questions']) == ('questions', {'reply_channel': replies}) and '?' in replies",
    ],
    ("docs/options.rst", "Clients of your own"): [
        "layer.send('my.channel', {}) or pool.connection_kwargs['db'] == 2 and layer.receive(['my.channel'])[0]",
    ],
    ("docs/options.rst", "Observing messages"): [
        "TracedLayer(hosts=['redis://127.0.0.1:%d/0' % port], expiry=1).send('my.channel', {'text': ''}) or "
        "log.messages == [\"my.channel: ['text']\"]",
    ],
    ("docs/wire-format.rst", "Shards"): [
        "shard == RedisChannelLayer(hosts=[('localhost', 1)] * number_of_shards).consistent_hash(name)",
        "'{%s}' % number == RedisClusterChannelLayer(hosts=[('localhost', 1)], shards=number_of_shards).tag(part)",
    ],
}

SECTIONS = sorted({(block.document, block.title) for block in of_kind("python")})


@pytest.fixture(autouse=True)
def empty(servers):
    redis.StrictRedis(port=servers[0].port).flushall()


@pytest.mark.parametrize("section", SECTIONS, ids=": ".join)
def test_python(given, caplog, section):
    caplog.set_level(logging.DEBUG, "documentation")
    names = dict(NAMES, port=given["port"], log=caplog)
    blocks = [block for block in of_kind("python") if (block.document, block.title) == section]
    for block, effect in zip(blocks, EFFECTS[section]):
        exec(fill(block.text, given), names)
        assert eval(effect, names), effect
    assert len(blocks) == len(EFFECTS[section])


@pytest.mark.parametrize("block", of_kind("session"), ids=name_of)
def test_session(servers, block):
    """What is typed at a prompt. Figures differ, but not their names."""
    layer = RedisChannelLayer(hosts=[servers[0].url])
    layer.send("http.request", {})
    examples = doctest.DocTestParser().get_examples(block.text)
    assert examples
    for example in examples:
        found, shown = eval(example.source, {"layer": layer}), ast.literal_eval(example.want)
        assert list(map(type, found.values())) == list(map(type, shown.values())) and list(found) == list(shown)


@pytest.mark.parametrize("block", of_kind("body"), ids=name_of)
def test_body(servers, block):
    """The item that names the channel, as it is in Redis."""
    item = ast.literal_eval("{%s}" % block.text)
    (name,) = item.values()
    RedisChannelLayer(hosts=[servers[0].url]).send(name, {"text": "hello"})
    client = redis.StrictRedis(port=servers[0].port)
    (message_key,) = client.lrange("asgi:daphne.response.AbCdEfGh!", 0, -1)
    assert msgpack.unpackb(client.get(message_key), raw=False) == dict(item, text="hello")


@pytest.mark.parametrize("block", of_kind("reply"), ids=name_of)
def test_reply(servers, block):
    """The reply to a group send that two full queues refuse, and a batch whose reader does not understand it."""
    layer = RedisChannelLayer(hosts=[servers[0].url], capacity=2)
    for name in ("normal", "full", "full.too", "process!a", "process!b"):
        layer.group_add("room", name)
    for name in ("full", "full.too") * 2:
        layer.send(name, {})
    layer.send_group("room", {})
    client = redis.StrictRedis(port=servers[0].port)
    (reply,) = (client.get(key).decode("ascii") for key in client.scan_iter("*#reply"))
    assert re.match(re.sub(r"\d", r"\\d", re.escape(block.text)) + "$", reply), reply
