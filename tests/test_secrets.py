"""No password and no encryption key in a text that a layer makes: of itself, of an error, or in a log."""
from __future__ import unicode_literals

import logging
import sys
import time
import traceback

import pytest
import six

from asgi_redis import (
    RedisChannelLayer,
    RedisClusterChannelLayer,
    RedisLocalChannelLayer,
    RedisSentinelChannelLayer,
    cluster,
)
from asgi_redis.server.clients import REDIS_PY
from asgi_redis.tools.embedded import Server, free_port

from . import servers
from .patience import attempt, until
from .test_blocking import Reader

#: Kept out of the lines of this file that do something, for tracebacks show those.
SECRET = "s3cr3t"
OTHER = "0th3r-s3cr3t"
WRONG = "wr0ng-s3cr3t"

needs_cluster = pytest.mark.skipif(cluster.RedisCluster is None, reason="redis-py before 4.1 knows no Redis Cluster")

pytestmark = pytest.mark.usefixtures("hurried_outages")

KINDS = ["plain", "pair", "query", "local", "sentinel", pytest.param("cluster", marks=needs_cluster)]


def make(kind, port, password=SECRET, **arguments):
    """A layer of each kind that has ``password`` for the server, or Sentinel, at ``port``, and keys that are secret."""
    arguments = dict({
        "symmetric_encryption_keys": [SECRET, OTHER], "reconnect_timeout": 0.5, "connection_kwargs": {},
    }, **arguments)
    url = "redis://:%s@127.0.0.1:%d/0" % (password, port)
    if kind == "pair":
        arguments["connection_kwargs"] = dict(arguments["connection_kwargs"], password=password)
        return RedisChannelLayer(hosts=[("127.0.0.1", port)], **arguments)
    if kind == "query":
        return RedisChannelLayer(hosts=["redis://127.0.0.1:%d/0?password=%s" % (port, password)], **arguments)
    if kind == "local":
        local = RedisChannelLayer(hosts=[url], prefix="local:", symmetric_encryption_keys=[SECRET, OTHER])
        return RedisLocalChannelLayer(hosts=[url], local_layer=local, **arguments)
    if kind == "sentinel":
        arguments["connection_kwargs"] = dict(arguments["connection_kwargs"], password=password)
        return RedisSentinelChannelLayer(
            hosts=[("127.0.0.1", port)], sentinel_kwargs={"password": password}, **arguments
        )
    return {"plain": RedisChannelLayer, "cluster": RedisClusterChannelLayer}[kind](hosts=[url], **arguments)


def texts(error):
    """All that error and traceback, with what they are chained to, say to who prints them."""
    lines = traceback.format_exception(type(error), error, sys.exc_info()[2] or getattr(error, "__traceback__", None))
    return "".join(six.ensure_text(line, errors="replace") for line in lines) + repr(error) + repr(error.args)


def assert_keeps_secrets(text):
    text = text if isinstance(text, six.text_type) else text.decode("utf-8", "replace")
    for secret in (SECRET, OTHER, WRONG, "s3%63r3t"):
        assert secret not in text


def everything(layer):
    """What may fail, a call each."""
    return [
        lambda: layer.send("normal", {}),
        lambda: layer.send("reader?x", {}),
        lambda: layer.receive(["reader?x"]),
        lambda: layer.receive(["reader?x"], block=True),
        lambda: layer.send_group("crowd", {}),
        lambda: layer.group_add("crowd", "normal"),
        lambda: layer.group_discard("crowd", "normal"),
        lambda: layer.group_channels("crowd"),
        lambda: layer.global_statistics(),
        lambda: layer.channel_statistics("reader?x"),
        lambda: layer.flush(),
        lambda: layer.connection(0).get("x"),
        lambda: layer.connection(99),
        lambda: layer.ring_size and layer.connection(0).ping(),
    ]


def assert_all_fail_and_keep_secrets(layer, caplog):
    """Each call of ``everything`` fails, and no error, and no log of any package, has a secret in it."""
    with caplog.at_level(logging.DEBUG):
        for call in everything(layer):
            with pytest.raises(Exception) as raised:
                call()
            assert_keeps_secrets("".join(
                six.ensure_text(line, errors="replace")
                for line in traceback.format_exception(raised.type, raised.value, raised.tb)
            ))
            assert_keeps_secrets(repr(raised.value) + repr(raised.value.args))
    assert_keeps_secrets(caplog.text)
    assert_keeps_secrets(repr([(record.msg, record.args) for record in caplog.records]))


@pytest.fixture
def locked():
    """A server that wants the password SECRET."""
    with Server(["--requirepass", SECRET]) as server:
        yield server


# What layers say of themselves.


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_of_a_layer(kind):
    layer = make(kind, 6379)
    for text in (str(layer), repr(layer), "%s %r" % (layer, [layer]), six.text_type(layer)):
        assert_keeps_secrets(text)
    assert "127.0.0.1" in str(layer)


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_of_what_a_layer_holds(kind):
    # Not of its clients: those of redis-py 7.0 show their password.
    layer = make(kind, 6379)
    for part in (layer.codec, layer.crypter, layer._parts, layer._parts.shards, layer.make_fernet(SECRET)):
        assert_keeps_secrets(str(part) + repr(part))


@pytest.mark.parametrize("url", [
    "redis://:%s@h", "redis://user:%s@h:1/2", "redis://user:%s@h/2?password=%s", "rediss://h?db=1&password=%s",
    "unix://:%s@/run/redis.sock?db=2", "unix:///run/redis.sock?password=%s&db=2", "redis://:x@%s@h", "redis://:x:%s@h",
    "redis://:%s@[::1]:6379/0", "redis://user:x%%2F%s@h", "redis://:x%%40%s@h",
])
def test_the_text_of_a_layer_with_a_url(url):
    layer = RedisChannelLayer(hosts=[url.replace("%s", SECRET).replace("%%", "%")])
    assert_keeps_secrets(str(layer) + repr(layer))


def test_a_user_and_a_server_are_no_secrets():
    layer = RedisChannelLayer(hosts=["redis://user:%s@redis1:6379/2" % SECRET])
    assert "redis://user:***@redis1:6379/2" in str(layer)


# Servers that refuse, or are unavailable.


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_password(locked, caplog, kind):
    assert_all_fail_and_keep_secrets(make(kind, locked.port, WRONG), caplog)


@pytest.mark.parametrize("kind", KINDS)
def test_a_user_who_does_not_exist(locked, caplog, kind):
    if REDIS_PY < (3, 4):
        pytest.skip("redis-py before 3.4 knows no users")
    layer = make(kind, locked.port, WRONG, connection_kwargs={"username": "user"})
    assert_all_fail_and_keep_secrets(layer, caplog)


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_wants_no_password(caplog, kind):
    layer = make(kind, servers.plain()[0].port, WRONG)
    with caplog.at_level(logging.DEBUG):
        for call in everything(layer):
            try:
                call()
            except Exception as error:
                assert_keeps_secrets(texts(error))
    assert_keeps_secrets(caplog.text)


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_unavailable(caplog, kind):
    layer = make(kind, free_port())
    assert_all_fail_and_keep_secrets(layer, caplog)


def test_a_server_that_does_not_speak_tls(locked, caplog, monkeypatch):
    monkeypatch.setattr(RedisChannelLayer, "blpop_timeout", 1)  # which the other must not be below
    url = "redis://:%s@127.0.0.1:%d/0" % (SECRET, locked.port)
    layer = RedisChannelLayer(hosts=[url.replace("redis", "rediss")], connection_kwargs={"socket_timeout": 1})
    with caplog.at_level(logging.DEBUG), pytest.raises(Exception) as raised:
        layer.receive(["normal"])
    assert_keeps_secrets(repr(raised.value) + caplog.text)


@pytest.mark.parametrize("kind", ["plain", "pair", "local"])
def test_an_outage_and_its_end(locked, caplog, kind):
    layer = make(kind, locked.port, reconnect_timeout=20)
    with caplog.at_level(logging.DEBUG):
        layer.send("reader?x", {"n": 0})
        assert layer.receive(["reader?x"]) == ("reader?x", {"n": 0})
        reader = Reader(layer, ["reader?x"])
        time.sleep(0.2)
        locked.kill()
        until(lambda: "WARNING" in [record.levelname for record in caplog.records], "the outage is logged")
        locked.start()
        servers.eventually(lambda: attempt(layer.send, "reader?x", {"n": 1}) is None, "a send succeeds again")
        reader.join()
        assert reader.found == ("reader?x", {"n": 1})
    assert {"WARNING", "INFO"} <= {record.levelname for record in caplog.records if "asgi_redis" in record.name}
    assert_keeps_secrets(caplog.text)


@pytest.mark.parametrize("arguments", [
    {"hosts": ["redis://:%s@127.0.0.1:%d/99"]}, {"hosts": ["redis://:%s@127.0.0.1:%d/0?db=99"]},
    {"hosts": ["redis://:%s@127.0.0.1:%d"], "connection_kwargs": {"db": 99}},
])
def test_a_database_that_does_not_exist(locked, caplog, arguments):
    arguments = dict(arguments, hosts=[host % (SECRET, locked.port) for host in arguments["hosts"]])
    layer = RedisChannelLayer(reconnect_timeout=0.5, **{str(name): value for name, value in arguments.items()})
    with caplog.at_level(logging.DEBUG):
        for receive in (lambda: layer.receive(["normal"]), lambda: layer.receive(["normal"], block=True)):
            with pytest.raises(Exception) as raised:
                receive()
            assert_keeps_secrets(texts(raised.value))
    assert_keeps_secrets(caplog.text)


def test_a_message_for_other_keys(caplog):
    reader, writer = [
        RedisChannelLayer(hosts=servers.hosts(1, "secrets:"), prefix="secrets:", symmetric_encryption_keys=keys)
        for keys in ([SECRET, OTHER], [WRONG])
    ]
    writer.send("normal", {"text": SECRET})
    with caplog.at_level(logging.DEBUG):
        assert reader.receive(["normal"]) == (None, None)
    assert "normal" in caplog.text
    assert_keeps_secrets(caplog.text)
    reader.flush()


# Arguments that are wrong.

URL = "redis://user:%s@localhost:6379/0" % SECRET


def construct_and_use(layer_class, arguments, caplog):
    """Make a layer, print it, and use it: none of that shows a secret, whether it fails or not."""
    with caplog.at_level(logging.DEBUG):
        try:
            layer = layer_class(**{str(name): value for name, value in arguments.items()})
            assert_keeps_secrets(str(layer) + repr(layer))
            layer.receive(["reader?x"])
        except AssertionError:
            raise
        except Exception as error:
            assert_keeps_secrets(texts(error))
    assert_keeps_secrets(caplog.text)


@pytest.fixture(params=["plain", "local", "sentinel", pytest.param("cluster", marks=needs_cluster)])
def layer_class(request):
    return {
        "plain": RedisChannelLayer, "local": RedisLocalChannelLayer, "sentinel": RedisSentinelChannelLayer,
        "cluster": RedisClusterChannelLayer,
    }[request.param]


BAD_HOSTS = [
    URL, URL.encode("ascii"), {"host": URL}, {URL: 1}, [{"host": URL}], [{"localhost": SECRET}], [[URL, 6379, 0]],
    [("localhost", 6379, SECRET)], [(URL,)], [None, URL], [" " + URL], ["user:%s@localhost" % SECRET],
    ["REDIS" + URL[5:]], ["http" + URL[5:]], [URL.replace("//", "/")], [URL.replace("6379", "port")],
    [URL.replace("6379/0", "99999999")], [URL + "?socket_timeout=soon"], [URL.replace(SECRET, SECRET + "#x")],
    [URL.replace(SECRET, SECRET + "/x")], [URL.replace(SECRET, SECRET + "?x")], [URL.replace("localhost", "[::1")],
    [URL, ("localhost",)], [URL + "?password=%s&x=y" % SECRET],
    [URL.replace(SECRET, "a/" + SECRET)], [URL.replace(SECRET, "a?" + SECRET)], [URL.replace(SECRET, "a#" + SECRET)],
    [URL.replace(SECRET, "a?b=" + SECRET)], [URL.replace(SECRET, "a@b?c=" + SECRET)],
    [URL.replace(SECRET, "[" + SECRET)],
    [URL.replace(SECRET, "a/b?db=" + SECRET)], [URL.replace("//", "//@") + "/x"], [URL + "?passwd=" + SECRET],
    [URL + "?db=x&pass=" + SECRET], [URL + "?db=x&password=" + SECRET],
]


BAD_PAIRS = [
    [("localhost", SECRET)],
    [(URL, 6379)],
    [("user:%s@localhost" % SECRET, 6379)],
]


@pytest.mark.parametrize("hosts", BAD_HOSTS + BAD_PAIRS)
def test_bad_hosts(layer_class, caplog, hosts):
    construct_and_use(layer_class, {"hosts": hosts, "reconnect_timeout": 0.1}, caplog)


@pytest.mark.parametrize("url", [
    "redis://localhost:%s" % SECRET,
    "redis://%s@localhost" % SECRET,
    "rediss://localhost?ssl_password=%s" % SECRET,
])
@pytest.mark.parametrize("url_class", [
    RedisChannelLayer, RedisLocalChannelLayer, pytest.param(RedisClusterChannelLayer, marks=needs_cluster)
])
def test_urls_with_a_password_in_another_place(url_class, caplog, url):
    construct_and_use(url_class, {"hosts": [url], "reconnect_timeout": 0.1}, caplog)


@pytest.mark.parametrize("arguments", [
    {"host": URL}, {"host": URL, "port": 6379},
    {"port": SECRET}, {"db": SECRET}, {"host": "localhost", "hosts": [URL]}, {"expiry": URL},
    {"prefix": SECRET.encode("ascii")}, {"capacity": SECRET},
])
def test_secrets_in_the_place_of_something_else(caplog, arguments):
    construct_and_use(RedisChannelLayer, arguments, caplog)


@pytest.mark.parametrize("options", [
    SECRET, [SECRET], [("password", SECRET)], {"password": SECRET, "socket_timeout": 1}, {"passwd": SECRET},
    {"password": [SECRET]}, {"password": SECRET.encode("ascii")}, {"password": {"x": SECRET}}, {"url": URL},
    {"password": SECRET, "decode_responses": True}, {"password": SECRET, "port": "x"}, {"socket_timeout": SECRET},
    {"username": "user", "password": SECRET}, {"password": SECRET, "db": "x"},
])
def test_bad_connection_kwargs(layer_class, caplog, options):
    construct_and_use(layer_class, {"connection_kwargs": options, "hosts": [("127.0.0.1", 1)]}, caplog)


@pytest.mark.parametrize("options", [
    SECRET, [SECRET], [("password", SECRET)], {"passwd": SECRET}, {"password": [SECRET]},
    {"username": "user", "password": SECRET}, {"password": SECRET, "db": "x"},
])
def test_bad_sentinel_kwargs(caplog, options):
    construct_and_use(RedisSentinelChannelLayer, {"sentinel_kwargs": options, "hosts": [("127.0.0.1", 1)]}, caplog)


@pytest.mark.parametrize("services", [
    URL, SECRET.encode("ascii"), [{"password": SECRET}],
])
def test_bad_services(caplog, services):
    construct_and_use(RedisSentinelChannelLayer, {"services": services, "hosts": [("127.0.0.1", 1)]}, caplog)


@pytest.mark.parametrize("keys", [
    SECRET, SECRET.encode("ascii"), 7, [7, SECRET], [SECRET, None], [[SECRET]], [{"key": SECRET}], {"key": SECRET},
    [bytearray(SECRET.encode("ascii"))], [memoryview(SECRET.encode("ascii"))],
])
def test_bad_keys(layer_class, caplog, keys):
    construct_and_use(layer_class, {"symmetric_encryption_keys": keys, "hosts": [("127.0.0.1", 1)]}, caplog)


def test_a_bad_local_layer(caplog):
    for local in (URL, [URL], {"hosts": [URL]}):
        construct_and_use(RedisLocalChannelLayer, {"local_layer": local}, caplog)


# Sentinels.


def test_sentinels_that_do_not_know_the_service(caplog):
    # Any server stands for a Sentinel: it does not know the command.
    layer = RedisSentinelChannelLayer(
        hosts=[("127.0.0.1", servers.plain()[0].port)], services=[str("alpha")], reconnect_timeout=0.2,
        connection_kwargs={"password": SECRET}, sentinel_kwargs={"socket_timeout": 1},
        symmetric_encryption_keys=[OTHER],
    )
    assert_all_fail_and_keep_secrets(layer, caplog)
