"""The lines of the log, and the errors, that the documentation quotes: real servers and layers produce each of them."""
import binascii
import contextlib
import logging
import os
import re
import tempfile
import time

import docutils.nodes
import pytest
import redis

from asgi_redis import RedisChannelLayer, RedisSentinelChannelLayer
from asgi_redis.delivery.background import Pending
from asgi_redis.tools.embedded import Server, free_port

from .. import acl, troubles
from ..servers import eventually
from ..test_whole_msgpack import errors_of, put_whole_msgpack
from .blocks import ROOT, of_kind, parse

PAGE = "docs/troubleshooting.rst"


class Log(logging.Handler):
    """The ``lines`` that layers have logged: ``WARNING text``."""

    def __init__(self):
        super(Log, self).__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append("%s %s" % (record.levelname, record.getMessage()))

    def wait_for(self, words):
        eventually(lambda: any(words in line for line in self.lines), "the log says '%s'" % words)


@pytest.fixture(scope="module")
def log():
    handler = Log()
    logger = logging.getLogger("asgi_redis")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def fail(call, *arguments):
    """Call until it fails. Return the error as the last line of a traceback has it, without the module."""
    deadline = time.time() + 60
    while time.time() < deadline:
        try:
            call(*arguments)
        except Exception as error:
            return "%s: %s" % (type(error).__name__, error)
    raise AssertionError("no error")


# What goes to the log.


def lose_data(log):
    with Server() as first, Server() as second:
        layer = RedisChannelLayer(hosts=[first.url, second.url])
        layer.global_statistics()
        first.kill()
        fail(layer.receive, ["http.request"])
        first.start()
        log.wait_for("is unavailable")

        def recover():
            with contextlib.suppress(redis.exceptions.RedisError):
                layer.receive(["http.request"])
            return any("has lost its data" in line for line in log.lines)

        eventually(recover, "the server is found to be empty")


def fill_channels(log):
    with Server() as server:
        layer = RedisChannelLayer(hosts=[server.url], capacity=1)
        fail(layer.send, "http.request", {})
        layer.group_add("room", "daphne.response.abc!1")
        for _ in range(2):
            layer.send_group("room", {})
        log.wait_for("dropped 1 group message")


def misread(log):
    with Server() as server:
        plain = RedisChannelLayer(hosts=[server.url])
        with_key = RedisChannelLayer(hosts=[server.url], symmetric_encryption_keys=["key"])
        with_other = RedisChannelLayer(hosts=[server.url], symmetric_encryption_keys=["other"])
        for sender, receiver in [(with_key, plain), (with_key, with_other), (plain, with_key)]:
            sender.send("http.request", {})
            receiver.receive(["http.request"])
        late = with_key.make_fernet("key").encrypt_at_time(plain.serialize({}), int(time.time()) - 75)
        for layer, body in [(plain, b"\xc1"), (with_key, late)]:
            key = "asgi:" + binascii.hexlify(os.urandom(16)).decode("ascii")
            layer.connection(0).set(key, body)
            layer.connection(0).rpush("asgi:http.request", key)
            layer.receive(["http.request"])
        log.wait_for("by the clocks")


def have_two_msgpacks(log):
    with tempfile.TemporaryDirectory() as folder:
        for name in ("msgpack", "msgpack-1.0.5.dist-info", "msgpack_python-0.5.6-py3.6.egg-info"):
            os.mkdir(os.path.join(folder, name))
        put_whole_msgpack(folder)
        log.lines += errors_of(folder, "import asgi_redis.codec").splitlines()


def lack_sentinels(log):
    layer = RedisSentinelChannelLayer(hosts=[("127.0.0.1", free_port())])
    layer.blpop_timeout = 1
    layer.receive(["http.request"], block=True)


def lose_cancelled_receive(log):
    with Server() as server:
        layer = RedisChannelLayer(hosts=[server.url])
        layer.send("http.request", {})

        def receive(channels, waiter):
            found = layer.receive(channels)
            pending.cancel()
            server.kill()
            return found

        pending = Pending(receive, layer.return_message, ["http.request"])
        pending.run(lambda found: None, lambda error: None)


def refuse_writes(log):
    for trouble in (troubles.is_replica, troubles.can_not_save, troubles.has_no_replicas, troubles.Stopped):
        with Server() as server:
            layer = RedisChannelLayer(hosts=[server.url])
            layer.global_statistics()
            with trouble(server):
                fail(layer.send, "http.request", {})


def load(log):
    with Server(["--appendonly", "no"]) as server:
        redis.StrictRedis(port=server.port).mset({"key%d" % number: "x" * 100 for number in range(1000)})
        redis.StrictRedis(port=server.port).save()
        slow = ["--dir", server.folder, "--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024"]
        with Server(slow) as loading:
            fail(RedisChannelLayer(hosts=[loading.url]).send, "http.request", {})
            loading.kill()


@pytest.fixture(scope="module")
def lines(log):
    """All lines that the above have produced."""
    for produce in (
        lose_data, fill_channels, misread, have_two_msgpacks, lack_sentinels, lose_cancelled_receive, refuse_writes,
        load,
    ):
        produce(log)
    return log.lines


# Errors.


@pytest.fixture(scope="module")
def errors():
    """The errors that calls raise, each as the last line of its traceback."""
    with Server() as server:
        layer = RedisChannelLayer(hosts=[server.url], capacity=1, max_message_size=100)
        acl.set_user(redis.StrictRedis(port=server.port), "limited", ["on", ">p@ss/w%rd", "~asgi:*", "+set"])
        found = [
            fail(layer.send, "x", {}),
            fail(layer.send, "y", {"text": "x" * 100}),
            fail(layer.send, "z", {"value": object()}),
            fail(RedisChannelLayer(hosts=[acl.with_user(server.url, "limited")]).send, "x", {}),
        ]
    with Server(["--requirepass", "password"]) as server:
        found.append(fail(RedisChannelLayer(hosts=[server.url]).send, "x", {}))
    with Server(["--maxmemory", "1kb"]) as server:
        found.append(fail(RedisChannelLayer(hosts=[server.url]).send, "x", {}))
    with Server(["--rename-command", "EVAL", "", "--rename-command", "EVALSHA", ""]) as server:
        found.append(fail(RedisChannelLayer(hosts=[server.url]).send, "x", {}))
    return found


# What the documentation quotes.


def pattern_of(text):
    """Return a regular expression for ``text`` with other numbers, addresses and channels, and anything for ``...``"""
    pattern = re.escape(" ".join(text.split()))
    pattern = re.sub(r"redis1:6379|(?:http|websocket|daphne)(?:\\\.[\w!]+)+", r"\\S+", pattern)
    pattern = re.sub(r"\d+", r"\\d+", pattern.replace(r"\.\.\.", ".*"))
    return pattern.replace("messages", "messages?")


def quoted():
    """Return the records in blocks, which may go over several lines."""
    text = "\n".join(block.text for block in of_kind("log"))
    return re.split(r"\n(?! )", text)


def terms(title):
    """Return what the terms of the list in the section ``title`` quote."""
    (section,) = (node for node in parse(PAGE).findall(docutils.nodes.section) if node[0].astext() == title)
    return [
        literal.astext()
        for term in section.findall(docutils.nodes.term) for literal in term.findall(docutils.nodes.literal)
    ]


def causes():
    """Return the beginnings of redis-py's errors that the first entry of the page explains."""
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    entry = text[text.index("The rest of the line is redis-py's error"):].partition("\n\n")[0]
    return re.findall("``([^`]+)``:", entry)


@pytest.mark.parametrize("text", quoted() + terms("In the log"))
def test_it_is_logged(lines, text):
    assert [line for line in lines if re.search(pattern_of(text), line)], lines


@pytest.mark.parametrize("cause", causes())
def test_it_is_a_cause(lines, cause):
    assert [line for line in lines if re.search("is unavailable, retrying: .*" + cause, line)], lines


@pytest.mark.parametrize("text", terms("Errors"))
def test_it_is_raised(errors, text):
    assert [error for error in errors if re.search(pattern_of(text), error)], errors
