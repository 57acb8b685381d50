"""URLs of servers: what can't be right is refused when a layer is made, in the same words on every redis-py."""
from __future__ import unicode_literals

import contextlib
import socket

import pytest

from asgi_redis import RedisChannelLayer, RedisClusterChannelLayer, RedisSentinelChannelLayer
from asgi_redis.server.clients import REDIS_PY
from asgi_redis.tools.embedded import Server

from . import servers
from .conftest import needs_cluster

WRONG = [
    ("redis://127.0.0.1:abc/0", "redis://127.0.0.1:***/0: the port must be a number from 1 to 65535"),
    ("redis://127.0.0.1:65536/0", "redis://127.0.0.1:65536/0: the port must be a number from 1 to 65535"),
    ("redis://127.0.0.1:0", "the port must be a number"),
    ("redis://:s3#cr3t@h/0", "redis://:***@h/0: write # as %23 in a user name or password"),
    ("redis://:s3/cr3t@h/0", "redis://:***@h/0: write / as %2F in a user name or password"),
    ("redis:///:s3cr3t@h/0", "write / as %2F"),
    ("redis://:s3?cr3t@h/0", "redis://:***@h/0: write ? as %3F in a user name or password"),
    ("redis://:s3?c=r3t@h/0", "write ? as %3F in a user name or password"),
    ("redis://:s3@x?cr3t@h/0", "redis://:***@h/0: write ? as %3F"),
    ("redis://:s3#cr3t", "has a #, which must be written as %23"),
    ("redis://h/0?password=s3#cr3t", "has a #, which must be written as %23"),
    ("redis://h?decode_responses=True", "decode_responses must be off"),
    ("rediss://h?ssl_cert_reqs=CERT_NONE", "ssl_cert_reqs must be one of none, optional, required"),
    ("redis://h?ssl_cert_reqs=none", "ssl_cert_reqs is for connections with TLS only: write rediss://"),
    ("redis://h?ssl=true", "ssl is for connections with TLS only: write rediss://"),
    ("redis://h?colour=red", "has no option 'colour'"),
    ("redis://h?db=0&passwd=s3cr3t", "has no option 'passwd'"),
    ("redis://h?host=other", "must have no host"),
    ("redis://h?socket_connect_timeout=soon", "socket_connect_timeout must be a number of seconds"),
    ("redis://h?socket_connect_timeout=-1", "socket_connect_timeout must be a positive number of seconds, not -1"),
    ("redis://h?socket_timeout=2", "socket_timeout must be at least 5 seconds"),
    ("redis://h?socket_keepalive=perhaps", "socket_keepalive must be true or false"),
    ("redis://h?max_connections=many", "max_connections must be a whole number"),
    ("redis://h/0?colour", "what follows the ? must have the form name=value"),
    ("redis://::1:6379/0", "an IPv6 address in brackets: [::1]"),
    ("redis://[::1:6379/0", "an IPv6 address in brackets: [::1]"),
    ("redis://user:s3cr3t", "redis://user:***: the port must be a number"),
    ("REDIS://h", "begins with redis://, rediss:// or unix://"),
    ("http://user:s3?cr3t@h", "http://user:***@h is not the URL of a server"),
    ("h:6379", "begins with redis://, rediss:// or unix://"),
]

#: What these mean is another matter on a cluster.
DATABASES = [
    ("redis://h/abc", "redis://h/abc: the database must be a number, not 'abc'"),
    ("redis://h/1/2", "the database must be a number, not '1/2'"),
    ("redis://h?db=abc", "db must be a whole number"),
    ("unix://run/redis.sock", "must have an absolute path, as in unix:///run/redis.sock"),
]


@pytest.fixture(params=[RedisChannelLayer, pytest.param(RedisClusterChannelLayer, marks=needs_cluster)])
def layer_class(request):
    return request.param


@pytest.mark.parametrize("url, words", WRONG + DATABASES)
def test_a_wrong_url(layer_class, url, words):
    with pytest.raises(ValueError) as raised:
        layer_class(hosts=[url])
    assert words in str(raised.value)
    for part in ("s3", "cr3t", "r3t"):
        assert part not in str(raised.value)


@needs_cluster
@pytest.mark.parametrize("url", ["redis://h/4", "unix:///run/redis.sock"])
def test_a_cluster_has_no_databases_and_no_unix_sockets(url):
    with pytest.raises(ValueError) as raised:
        RedisClusterChannelLayer(hosts=[url])
    assert "%s must be a redis:// or rediss:// URL without a database" % url in str(raised.value)


@pytest.mark.parametrize("url, expected", [
    ("redis://", {"host": "localhost", "port": 6379}),
    ("redis:///3", {"host": "localhost", "db": 3}),
    ("redis://h:1/2/", {"host": "h", "port": 1, "db": 2}),
    ("redis://h/1?db=4&socket_timeout=10", {"db": 4, "socket_timeout": 10}),
    ("redis://:p%23%2F%3F%25%40%C3%A9@h", {"host": "h", "password": "p#/?%@\xe9"}),
    ("redis://:p:@@h", {"host": "h", "password": "p:@"}),
    ("redis://h?password=a@b%20c", {"host": "h", "password": "a@b c"}),
    ("redis://h?socket_keepalive=no", {"socket_keepalive": False}),
    ("redis://[::1]:6380", {"host": "::1", "port": 6380}),
    ("rediss://h?ssl_cert_reqs=none", {"host": "h", "ssl_cert_reqs": "none"}),
    ("unix:///run/a%20b.sock?db=2", {"path": "/run/a b.sock", "db": 2}),
    ("unix://:pass@/run/redis.sock", {"path": "/run/redis.sock", "password": "pass"}),
])
def test_what_a_url_means(url, expected):
    options = RedisChannelLayer(hosts=[url]).connection(0).connection_pool.connection_kwargs
    assert {name: options[name] for name in expected} == expected


@pytest.mark.skipif(REDIS_PY < (3, 4), reason="redis-py before 3.4 knows no users")
def test_a_user_in_a_url():
    options = RedisChannelLayer(hosts=["redis://u%2Fser:pass@h"]).connection(0).connection_pool.connection_kwargs
    assert (options["username"], options["password"]) == ("u/ser", "pass")


def test_an_option_of_the_url_has_precedence():
    layer = RedisChannelLayer(hosts=["redis://h/4?socket_timeout=10"], connection_kwargs={"socket_timeout": 7, "db": 1})
    options = layer.connection(0).connection_pool.connection_kwargs
    assert (options["socket_timeout"], options["db"]) == (10, 4)


# IPv6.


def has_ipv6():
    try:
        with contextlib.closing(socket.socket(socket.AF_INET6)) as probe:
            probe.bind(("::1", 0))
        return True
    except (AttributeError, EnvironmentError):
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


def listens_on_ipv6(server):
    """``server``, which must not run yet, on ::1 as well."""
    server.options += ["--bind", "127.0.0.1", "::1"]
    return server


class IPv6Sentinel(servers.SentinelServer):

    def _popen(self, command):
        super(IPv6Sentinel, self)._popen(command + ["--bind", "127.0.0.1", "::1"])


def assert_delivers(layer):
    layer.send("normal", {"n": 1})
    assert layer.receive(["normal"], block=True) == ("normal", {"n": 1})


@pytest.fixture(scope="module")
def on_ipv6():
    with listens_on_ipv6(Server()) as server:
        yield server


@needs_ipv6
@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_ipv6_pair(on_ipv6, host):
    layer = RedisChannelLayer(hosts=[(host, on_ipv6.port)])
    assert_delivers(layer)
    assert layer.hosts == ["redis://[::1]:%d/0" % on_ipv6.port]


@needs_ipv6
def test_an_ipv6_url(on_ipv6):
    assert_delivers(RedisChannelLayer(hosts=["redis://[::1]:%d/1" % on_ipv6.port]))


@needs_ipv6
def test_an_ipv6_address_as_host(on_ipv6):
    assert_delivers(RedisChannelLayer(host="::1", port=on_ipv6.port, db=2))


@needs_ipv6
@needs_cluster
def test_ipv6_nodes_of_a_cluster():
    node = Server(["--cluster-enabled", "yes"])
    with listens_on_ipv6(node):
        client = RedisChannelLayer(hosts=[node.url]).connection(0)
        servers.call(client, "CLUSTER", "ADDSLOTS", *range(16384))
        servers.eventually(
            lambda: b"cluster_state:ok" in servers.call(client, "CLUSTER", "INFO"), "the cluster of one node is ready"
        )
        for host in (("::1", node.port), "redis://[::1]:%d" % node.port):
            assert_delivers(RedisClusterChannelLayer(hosts=[host]))


@needs_ipv6
def test_ipv6_sentinels():
    with Server() as master:
        with IPv6Sentinel({"alpha": master}) as sentinel:
            assert_delivers(RedisSentinelChannelLayer(hosts=[("::1", sentinel.port)]))
