"""A server that wants a password: errors say so in words, with its address, and never with a password."""
from __future__ import unicode_literals

import logging
import re
import traceback

import pytest
import six
from redis.exceptions import RedisError

from asgi_redis import RedisChannelLayer

from .servers import Server
from .troubles import Worker, error_of

SECRET = "s3cr3t"
WRONG = "wr0ng"

CALLS = {
    "send": lambda layer: layer.send("normal", {"n": 1}),
    "send to a process": lambda layer: layer.send("process!x", {"n": 1}),
    "send a long message": lambda layer: layer.send("normal", {"bytes": b"x" * 10 ** 6}),
    "receive": lambda layer: layer.receive(["normal"]),
    "receive from many channels": lambda layer: layer.receive(["normal%d" % number for number in range(50)]),
    "blocking receive": lambda layer: layer.receive(["normal"], block=True),
    "group_add": lambda layer: layer.group_add("crowd", "normal"),
    "group_discard": lambda layer: layer.group_discard("crowd", "normal"),
    "group_channels": lambda layer: layer.group_channels("crowd"),
    "send_group": lambda layer: layer.send_group("crowd", {"n": 1}),
    "send_group a long message": lambda layer: layer.send_group("crowd", {"bytes": b"x" * 10 ** 6}),
    "global_statistics": lambda layer: layer.global_statistics(),
    "channel_statistics": lambda layer: layer.channel_statistics("normal"),
    "flush": lambda layer: layer.flush(),
}


@pytest.fixture(scope="module")
def server():
    with Server(["--requirepass", SECRET]) as server:
        yield server


def make(server, password=None, **arguments):
    login = ":%s@" % password if password else ""
    layer = RedisChannelLayer(hosts=["redis://%s127.0.0.1:%d/0" % (login, server.port)], **arguments)
    layer.blpop_timeout = 1
    return layer


def assert_keeps_secrets(text):
    assert SECRET not in text and WRONG not in text


def assert_says_what_is_wrong(error, server, words):
    assert isinstance(error, RedisError)
    assert re.search(words, str(error), re.IGNORECASE), str(error)
    assert "127.0.0.1:%d" % server.port in str(error)
    lines = traceback.format_exception(type(error), error, getattr(error, "__traceback__", None))
    assert_keeps_secrets("".join(six.ensure_text(line, errors="replace") for line in lines) + repr(error.args))


@pytest.mark.parametrize("call", sorted(CALLS))
def test_no_password(server, call, caplog):
    layer = make(server, reconnect_timeout=1)
    for _ in range(2):
        assert_says_what_is_wrong(error_of(CALLS[call], layer), server, "authentication required: give a password")
    assert_keeps_secrets(caplog.text)


@pytest.mark.parametrize("call", sorted(CALLS))
def test_a_wrong_password(server, call, caplog):
    layer = make(server, WRONG, reconnect_timeout=1)
    words = "WRONGPASS|invalid password|invalid username-password"
    for _ in range(2):
        assert_says_what_is_wrong(error_of(CALLS[call], layer), server, words)
    assert_keeps_secrets(caplog.text)


@pytest.mark.parametrize("password", [None, WRONG])
def test_a_worker_ends_with_it_or_logs_it(server, password, caplog):
    with caplog.at_level(logging.DEBUG):
        with Worker(make(server, password), ["normal"]) as worker:
            assert worker.wait_for(lambda: worker.error or "127.0.0.1:%d" % server.port in caplog.text)
    assert re.search("NOAUTH|authentication required|WRONGPASS|invalid", caplog.text + str(worker.error), re.IGNORECASE)
    assert_keeps_secrets(caplog.text)


def test_the_right_password(server):
    layer = make(server, SECRET)
    layer.send("normal", {"n": 1})
    assert layer.receive(["normal"], block=True) == ("normal", {"n": 1})
    layer.flush()


@pytest.mark.parametrize("call", sorted(set(CALLS) - {"blocking receive"}))
def test_a_password_that_is_set_while_the_layer_works(call):
    with Server() as server:
        layer = make(server, reconnect_timeout=1)
        layer.send("normal", {"n": 1})
        client = make(server).connection(0)
        client.config_set("requirepass", SECRET)
        make(server, SECRET).connection(0).execute_command("CLIENT", "KILL", "TYPE", "normal")
        assert_says_what_is_wrong(error_of(CALLS[call], layer), server, "authentication required: give a password")
