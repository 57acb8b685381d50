"""The constructor, and what it refuses; servers, and how they are named."""
from __future__ import unicode_literals

import os

import pytest
import redis
import six
from redis.exceptions import ConnectionError

from asgi_redis import RedisChannelLayer, RedisClusterChannelLayer, RedisSentinelChannelLayer, codec
from asgi_redis.core import BaseRedisChannelLayer
from asgi_redis.server.clients import REDIS_PY
from asgi_redis.tools.embedded import Server, free_port

from . import servers
from .conftest import needs_cluster


def test_positions_of_the_arguments():
    layer = RedisChannelLayer(
        30, ["redis://one:1/2"], "p:", 600, 9, {"http.*": 3}, None, "s:", {"socket_timeout": 7}
    )
    assert (layer.expiry, layer.hosts, layer.prefix, layer.group_expiry, layer.capacity) == (
        30, ["redis://one:1/2"], "p:", 600, 9
    )
    assert layer.get_capacity("http.request") == 3
    assert (layer.crypter, layer.stats_prefix) == (None, "s:")
    assert layer.connection(0).connection_pool.connection_kwargs["socket_timeout"] == 7


def test_defaults():
    layer = RedisChannelLayer()
    assert (layer.expiry, layer.hosts, layer.prefix, layer.group_expiry, layer.capacity, layer.stats_prefix) == (
        60, ["redis://localhost:6379/0"], "asgi:", 86400, 100, "asgi-meta:"
    )
    assert (layer.ring_size, layer.blpop_timeout, layer.crypter) == (1, 5, None)
    assert set(layer.extensions) >= {"groups", "flush", "statistics"}
    assert isinstance(layer, BaseRedisChannelLayer)


def address(client):
    kwargs = client.connection_pool.connection_kwargs
    return kwargs.get("host"), kwargs.get("port"), kwargs.get("db")


@pytest.mark.parametrize("arguments, expected", [
    ({"host": "redis", "db": 4}, ("redis", 6379, 4)),
    ({"port": 6380}, ("localhost", 6380, 0)),
    ({"db": 2}, ("localhost", 6379, 2)),
    ({"hosts": [("redis", 6380)]}, ("redis", 6380, 0)),
    ({"hosts": [["redis", "6380"]]}, ("redis", 6380, 0)),
    ({"hosts": ["redis://redis:6380/5"]}, ("redis", 6380, 5)),
    ({"hosts": ["redis://redis:6380"], "connection_kwargs": {"db": 3}}, ("redis", 6380, 3)),
    ({"hosts": ["redis://redis:6380"], "connection_kwargs": {"db": "3"}}, ("redis", 6380, 3)),
    ({"host": "redis", "connection_kwargs": {"db": 4}}, ("redis", 6379, 4)),
    ({"host": "redis", "db": 0, "connection_kwargs": {"db": 4}}, ("redis", 6379, 0)),
    ({"host": "redis", "port": "6380", "db": "4"}, ("redis", 6380, 4)),
])
def test_where_the_server_is(arguments, expected, caplog):
    layer = RedisChannelLayer(**{str(name): value for name, value in arguments.items()})
    assert address(layer.connection(0)) == expected
    assert caplog.text == ""


@pytest.mark.parametrize("hosts, urls", [
    ([("redis", 6380)], "redis://redis:6380/4"),
    ([["a", 1], "redis://b:2/3", ("::1", 5)], "redis://a:1/4, redis://[::1]:5/4"),
    (None, "redis://localhost:6379/4"),
])
def test_a_pair_is_database_0_as_in_release_1_4(hosts, urls, caplog):
    layer = RedisChannelLayer(hosts=hosts, connection_kwargs={"db": 4})
    assert address(layer.connection(0))[2] == 0
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [(
        "WARNING", "connection_kwargs has db 4, but a (host, port) pair means database 0, as in release 1.4. For "
        "database 4, write %s instead." % urls,
    )]


def test_sentinel_honours_db(caplog):
    layer = RedisSentinelChannelLayer(hosts=[("127.0.0.1", 26379)], services=["alpha"], connection_kwargs={"db": "4"})
    assert layer.connection(0).connection_pool.connection_kwargs["db"] == 4
    assert caplog.text == ""


def test_an_ipv6_address():
    assert RedisChannelLayer(hosts=[("::1", 6379)]).hosts == ["redis://[::1]:6379/0"]


@pytest.mark.parametrize("arguments, error, words", [
    ({"hosts": "redis://localhost:6379"}, ValueError, "hosts must be a list"),
    ({"hosts": 6379}, ValueError, "hosts must be a list"),
    ({"hosts": []}, ValueError, "at least one"),
    ({"hosts": [("localhost",)]}, ValueError, "pair"),
    ({"hosts": [6379]}, ValueError, "pair"),
    ({"hosts": [("localhost", "abc")]}, ValueError, "port must be from 1 to 65535"),
    ({"hosts": [("localhost", 65536)]}, ValueError, "port must be from 1 to 65535"),
    ({"hosts": [("localhost", None)]}, ValueError, "port must be from 1 to 65535"),
    ({"port": 0}, ValueError, "port must be from 1 to 65535"),
    ({"hosts": [("redis://localhost", 6379)]}, ValueError, "host must not have a / or an @"),
    ({"db": "x"}, TypeError, "db must be a whole number, not"),
    ({"hosts": [("localhost", 6379)], "db": 1}, ValueError, "together with hosts"),
    ({"symmetric_encryption_keys": "secret"}, ValueError, "symmetric_encryption_keys must be a list"),
    ({"symmetric_encryption_keys": [7]}, ValueError, "text or bytes"),
    ({"prefix": b"asgi:"}, TypeError, "prefix must be text"),
    ({"stats_prefix": None}, TypeError, "stats_prefix must be text"),
    ({"expiry": "60"}, TypeError, "expiry must be a number"),
    ({"expiry": 0}, ValueError, "expiry must be a positive number"),
    ({"group_expiry": -1}, ValueError, "group_expiry"),
    ({"capacity": None}, TypeError, "capacity"),
    ({"capacity": True}, TypeError, "capacity"),
    ({"channel_capacity": [("http.*", 1)]}, TypeError, "channel_capacity must be a dict, not list"),
    ({"channel_capacity": {5: 1}}, TypeError, "keys of channel_capacity must be text or compiled"),
    ({"channel_capacity": {"http.*": None}}, TypeError, "capacity in channel_capacity of "),
    ({"channel_capacity": {"http.*": "10"}}, TypeError, "capacity in channel_capacity of "),
    ({"channel_capacity": {"http.*": -1}}, ValueError, "capacity in channel_capacity of "),
    ({"channel_capacity": {"http.*": float("inf")}}, ValueError, "capacity in channel_capacity of "),
    ({"max_message_size": 0}, ValueError, "max_message_size"),
    ({"max_message_size": "1 MB"}, TypeError, "max_message_size"),
    ({"reconnect_timeout": -1}, ValueError, "reconnect_timeout"),
    ({"connection_kwargs": {"socket_timeout": 4.9}}, ValueError, "at least 5 seconds"),
    ({"connection_kwargs": {"decode_responses": True}}, ValueError, "decode_responses"),
])
def test_bad_arguments(arguments, error, words):
    with pytest.raises(error) as raised:
        RedisChannelLayer(**{str(name): value for name, value in arguments.items()})
    assert words in str(raised.value)


BAD_OPTIONS = [
    ("redis://", TypeError, "must be a dict of redis-py's options, not "),
    ([("db", 4)], TypeError, "must be a dict of redis-py's options, not list"),
    ({4: "db"}, TypeError, "must have names of options as keys, not int"),
    ({"db": "four"}, TypeError, "db must be a whole number, not "),
    ({"db": -1}, ValueError, "db must not be negative, not -1"),
    ({"db": True}, TypeError, "db must be a whole number, not bool"),
    ({"password": 1234}, TypeError, "password must be text, not int"),
    ({"username": ["user"]}, TypeError, "username must be text, not list"),
    ({"socket_timeout": "10"}, TypeError, "socket_timeout must be a number of seconds, not "),
    ({"socket_timeout": float("nan")}, ValueError, "socket_timeout must be a positive number of seconds, not nan"),
    ({"socket_connect_timeout": 0}, ValueError, "socket_connect_timeout must be a positive number of seconds, not 0"),
    ({"socket_keepalive": "no"}, TypeError, "socket_keepalive must be True or False, not "),
    ({"socket_keepalive_options": [1]}, TypeError, "socket_keepalive_options must be a dict, not list"),
    ({"max_connections": 1.5}, TypeError, "max_connections must be a whole number, not float"),
    ({"ssl": "no"}, TypeError, "ssl must be True or False, not "),
    ({"ssl": True, "ssl_cert_reqs": "CERT_NONE"}, ValueError, "ssl_cert_reqs must be one of none, optional, required"),
    ({"ssl": True, "ssl_ca_certs": 1}, TypeError, "ssl_ca_certs must be text, not int"),
    ({"ssl_ca_certs": "/ca.pem"}, ValueError, "ssl_ca_certs is for connections with TLS only: give ssl=True too"),
    ({"host": "localhost"}, ValueError, "must have no host: hosts says where the servers are"),
    ({"colour": "red"}, ValueError, "has no option 'colour'"),
]


@pytest.mark.parametrize("layer_class", [RedisChannelLayer, RedisSentinelChannelLayer])
@pytest.mark.parametrize("options, error, words", BAD_OPTIONS)
def test_bad_connection_kwargs(layer_class, options, error, words):
    if "ssl" in options and layer_class is RedisSentinelChannelLayer and REDIS_PY < (4, 1):
        pytest.skip("TLS to servers that Sentinels name needs redis-py 4.1 or newer")
    with pytest.raises(error) as raised:
        layer_class(hosts=[("127.0.0.1", 1)], connection_kwargs=options)
    assert str(raised.value).startswith("connection_kwargs") and words in str(raised.value)


@pytest.mark.parametrize("options, error, words", BAD_OPTIONS)
def test_bad_sentinel_kwargs(options, error, words):
    with pytest.raises(error) as raised:
        RedisSentinelChannelLayer(hosts=[("127.0.0.1", 1)], sentinel_kwargs=options)
    assert str(raised.value).startswith("sentinel_kwargs") and words in str(raised.value)


def test_options_of_the_manager_of_sentinels_are_accepted():
    options = {"min_other_sentinels": 1, "check_connection": True}
    layer = RedisSentinelChannelLayer(hosts=[("127.0.0.1", 1)], services=["alpha"], connection_kwargs=options)
    assert layer._sentinel.min_other_sentinels == 1
    assert layer.connection(0).connection_pool.connection_kwargs["socket_timeout"] == 5


@needs_cluster
def test_options_of_the_client_of_a_cluster_are_accepted():
    RedisClusterChannelLayer(connection_kwargs={"require_full_coverage": False, "socket_timeout": 10})


@needs_cluster
def test_bad_connection_kwargs_of_a_cluster():
    for options, words in (({"colour": "red"}, "has no option 'colour'"), ({"db": 4}, "must have no db")):
        with pytest.raises(ValueError) as raised:
            RedisClusterChannelLayer(connection_kwargs=options)
        assert words in str(raised.value)


def test_an_empty_list_of_services_means_all():
    assert RedisSentinelChannelLayer(services=[])._services is None


def test_a_socket_timeout_as_long_as_the_wait_is_accepted(make_layer, monkeypatch):
    make_layer(connection_kwargs={"socket_timeout": 5})
    monkeypatch.setattr(RedisChannelLayer, "blpop_timeout", 1)
    layer = make_layer(connection_kwargs={"socket_timeout": 1})
    assert layer.receive(["normal"], block=True) == (None, None)


def test_encryption_without_cryptography_says_what_to_install(monkeypatch):
    monkeypatch.setattr(codec, "Fernet", None)
    monkeypatch.delattr(codec, "MultiFernet")
    with pytest.raises(ValueError) as raised:
        RedisChannelLayer(symmetric_encryption_keys=["secret"])
    assert "pip install asgi_redis[cryptography]" in str(raised.value)


# Connections.


def test_connection_gives_a_redis_client(make_layer, shards):
    layer = make_layer(shards)
    for index in list(range(shards)) + [None]:
        assert layer.connection(index).get(layer.prefix + "nothing") is None
    for index in (-1, shards, "0"):
        with pytest.raises(ValueError):
            layer.connection(index)
    assert all(0 <= layer.random_index() < shards for _ in range(20))


def test_a_name_hashes_to_the_shard_of_release_1_4(make_layer):
    layer = make_layer(2)
    assert [layer.consistent_hash(name) for name in ("abc", "g", "p!", b"abc")] == [0, 1, 1, 0]


def test_a_password_and_a_database_in_the_url():
    with Server(["--requirepass", "p%40ss/word#"]) as server:
        url = "redis://:p%%2540ss%%2Fword%%23@127.0.0.1:%d/3" % server.port
        layer = RedisChannelLayer(hosts=[url])
        layer.send("normal", {"n": 1})
        client = redis.StrictRedis(port=server.port, password="p%40ss/word#", db=3)
        assert client.llen("asgi:normal") == 1
        assert layer.receive(["normal"], block=True) == ("normal", {"n": 1})


@pytest.mark.skipif(os.name == "nt", reason="Windows has no unix sockets")
def test_a_unix_socket(tmpdir):
    path = tmpdir.join("redis.sock").strpath
    with Server(["--unixsocket", path]):
        layer = RedisChannelLayer(hosts=["unix://%s?db=2" % path])
        layer.send("normal", {"n": 1})
        assert layer.receive(["normal"], block=True) == ("normal", {"n": 1})


@pytest.mark.parametrize("host", [
    "redis://:s3cr3t@127.0.0.1:%d/0", "redis://user:s3cr3t@127.0.0.1:%d/0", "redis://127.0.0.1:%d/0?password=s3cr3t",
])
def test_an_unreachable_server_is_named_and_the_password_is_not(host, hurried_outages):
    port = free_port()
    layer = RedisChannelLayer(hosts=[host % port], reconnect_timeout=0.5)
    for call in (
        lambda: layer.send("normal", {}),
        lambda: layer.receive(["normal"]),
        lambda: layer.receive(["normal"], block=True),
        lambda: layer.send_group("crowd", {}),
        lambda: layer.group_add("crowd", "normal"),
        lambda: layer.flush(),
        lambda: layer.global_statistics(),
    ):
        with pytest.raises(ConnectionError) as raised:
            call()
        assert "127.0.0.1:%d" % port in str(raised.value)
        assert "s3cr3t" not in str(raised.value)
    assert "s3cr3t" not in str(layer) + repr(layer)
    assert str(port) in str(layer)


def test_a_url_that_can_not_be_read_is_an_error_without_its_password():
    with pytest.raises(ValueError) as raised:
        RedisChannelLayer(hosts=["http://user:s3cr3t@localhost"])
    assert "s3cr3t" not in six.text_type(raised.value)
    with pytest.raises(ValueError) as raised:
        RedisChannelLayer(hosts=["redis://user:s3#cr3t@localhost:port"])
    assert "cr3t" not in six.text_type(raised.value)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows can't fork")
def test_a_forked_process_has_connections_of_its_own(make_layer):
    layer = make_layer()
    layer.send("normal", {"n": 0})
    child = os.fork()
    if child == 0:
        for number in range(200):
            layer.send("child?x", {"n": number % 100})
            layer.receive(["child?x"])
        layer.send("done", {"name": layer.new_channel("a?")})
        os._exit(0)
    for number in range(200):
        layer.send("parent?x", {"n": number})
        assert layer.receive(["parent?x"]) == ("parent?x", {"n": number})
    assert os.waitpid(child, 0)[1] == 0
    assert layer.receive(["done"])[1]["name"] != layer.new_channel("a?")
    assert servers.plain()[0].process.poll() is None
