"""redis-py clients of a site's own in ``hosts``: connections like theirs, with the layer's rules."""
from __future__ import unicode_literals

import os
import threading

import pytest
import redis
from redis.exceptions import ConnectionError, RedisError, TimeoutError
from redis.sentinel import Sentinel

from asgi_redis import RedisChannelLayer, RedisClusterChannelLayer, RedisSentinelChannelLayer, cluster
from asgi_redis.server.clients import REDIS_PY
from asgi_redis.tools.embedded import Server, free_port

from . import acl, servers
from .conftest import needs_cluster
from .patience import attempt
from .troubles import Silent

SECRET = "s3cr3t"
OTHER = "0th3r"

#: Since release 6, redis-py asks a Sentinel that is not there again for up to ten seconds.
NO_RETRY = {"retry": None} if REDIS_PY >= (6, 0) else {}

pytestmark = pytest.mark.skipif(acl.LIMITED, reason="the clients here have no user")

needs_providers = pytest.mark.skipif(REDIS_PY < (4, 5), reason="redis-py before 4.5 has no credential providers")


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


def client_of(server, **options):
    return redis.StrictRedis(host="127.0.0.1", port=server.port, **options)


def assert_delivers(layer):
    layer.send("normal", {"n": 1})
    layer.group_add("crowd", "process!x")
    layer.send_group("crowd", {"n": 2})
    assert layer.receive(["normal"], block=True) == ("normal", {"n": 1})
    assert layer.receive(["process!"], block=True) == ("process!x", {"n": 2})


class Recording(redis.Connection):
    """A connection class of a site's own; ``made``: the arguments of each connection."""

    made = []

    def __init__(self, **options):
        self.made.append(options)
        super(Recording, self).__init__(**options)


@pytest.fixture
def recorded(server):
    """A function that makes a client with options, whose connections are in ``Recording.made``."""
    del Recording.made[:]
    return lambda **options: redis.StrictRedis(connection_pool=redis.ConnectionPool(
        connection_class=Recording, host="127.0.0.1", port=server.port, **options
    ))


# What works.


@pytest.mark.parametrize("make", [
    lambda port: redis.Redis(port=port),
    lambda port: redis.StrictRedis(host="127.0.0.1", port=port, db=3),
    lambda port: redis.StrictRedis(host="127.0.0.1", port="%d" % port, db="3"),  # from environment variables
    lambda port: redis.Redis.from_url("redis://127.0.0.1:%d/2" % port),
    lambda port: redis.Redis(connection_pool=redis.BlockingConnectionPool(port=port, max_connections=1)),
], ids=["Redis", "StrictRedis", "texts", "from_url", "BlockingConnectionPool"])
def test_messages_and_groups(server, make):
    client = make(server.port)
    layer = RedisChannelLayer(hosts=[client])
    layer.flush()
    assert_delivers(layer)
    assert client.exists("asgi::group:crowd")
    assert layer.connection(0) is client


def test_clients_urls_and_pairs_in_one_list(server):
    client = client_of(server, db=1)
    layer = RedisChannelLayer(hosts=[client, server.url.replace("/0", "/2"), ("127.0.0.1", server.port)])
    assert_delivers(layer)
    assert layer.hosts == ["redis://127.0.0.1:%d/%d" % (server.port, db) for db in (1, 2, 0)]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no unix sockets")
def test_a_unix_socket(tmpdir):
    path = tmpdir.join("redis.sock").strpath
    with Server(["--unixsocket", path]):
        layer = RedisChannelLayer(hosts=[redis.StrictRedis(unix_socket_path=path, db=2)])
        assert_delivers(layer)
        assert layer.hosts == ["unix://%s?db=2" % path]


@pytest.mark.skipif(REDIS_PY < (5, 0), reason="redis-py before 5 knows only RESP 2")
def test_a_client_that_speaks_resp_3(server):
    assert_delivers(RedisChannelLayer(hosts=[client_of(server, protocol=3)]))


@pytest.mark.skipif(REDIS_PY < (5, 0), reason="redis-py before 5 knows only RESP 2")
def test_resp_3_is_not_used(server):
    assert_delivers(RedisChannelLayer(hosts=[server.url], connection_kwargs={"protocol": 3}))


def test_connections_are_of_its_class_with_its_arguments(recorded):
    assert_delivers(RedisChannelLayer(hosts=[recorded(db=3, socket_timeout=30, socket_connect_timeout=7)]))
    assert Recording.made
    for options in Recording.made:
        assert (options["db"], options["socket_connect_timeout"]) == (3, 7)
    assert 30 in [options["socket_timeout"] for options in Recording.made]


@pytest.mark.parametrize("options", [{}, {"socket_timeout": None, "socket_connect_timeout": None}])
def test_timeouts_that_it_leaves_open_are_those_of_the_layer(recorded, options):
    assert_delivers(RedisChannelLayer(hosts=[recorded(**options)]))
    for options in Recording.made:
        assert 0 < options["socket_timeout"] <= 5
        assert options["socket_connect_timeout"] == 2


def test_a_server_that_does_not_reply_holds_nothing_up(hurried_outages):
    with Silent() as silent:
        layer = RedisChannelLayer(hosts=[client_of(silent)])
        errors = []
        thread = threading.Thread(target=lambda: errors.append(attempt(layer.send, "normal", {})))
        thread.daemon = True
        thread.start()
        thread.join(30)
        assert [isinstance(error, (ConnectionError, TimeoutError)) for error in errors] == [True]
        assert "127.0.0.1:%d" % silent.port in str(errors[0])


@pytest.mark.skipif(REDIS_PY < (6, 0), reason="clients of redis-py before 6 do not retry by default")
def test_the_default_retries_of_redis_py_are_off():
    layer = RedisChannelLayer(hosts=[client_of(Server())])
    place = layer.place(0)
    assert place.client().connection_pool.connection_kwargs["retry"]._retries > 0
    assert place.options(place.client())["retry"]._retries == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows can't fork")
def test_a_forked_process_has_connections_of_its_own(server):
    layer = RedisChannelLayer(hosts=[client_of(server)], prefix="fork:")
    layer.send("normal", {"n": 0})
    assert layer.receive(["normal"]) == ("normal", {"n": 0})
    child = os.fork()
    if child == 0:
        try:
            for number in range(100):
                layer.send("child?x", {"n": number})
                assert layer.receive(["child?x"]) == ("child?x", {"n": number})
            assert layer.connection(0).ping()
            layer.send("done", {})
        finally:
            os._exit(0)
    for number in range(100):
        layer.send("parent?x", {"n": number})
        assert layer.receive(["parent?x"]) == ("parent?x", {"n": number})
    os.waitpid(child, 0)
    assert layer.receive(["done"]) == ("done", {})


# What is refused.


def refused(client):
    with pytest.raises(ValueError) as raised:
        RedisChannelLayer(hosts=[client])
    return str(raised.value)


@pytest.mark.parametrize("options, words", [
    ({"decode_responses": True}, "must have decode_responses off: messages are bytes"),
    ({"socket_timeout": 4.9}, "socket_timeout must be at least 5 seconds"),
    pytest.param({"retry_on_timeout": True}, "must have no retry", marks=pytest.mark.skipif(
        REDIS_PY >= (6, 0) or REDIS_PY == (4, 1), reason="redis-py makes no difference between this and its default"
    )),
    pytest.param({"retry_on_error": [ConnectionError]}, "must have no retry", marks=pytest.mark.skipif(
        REDIS_PY < (4, 1), reason="redis-py before 4.1 has no retry_on_error"
    )),
])
def test_options_that_do_not_suit(server, options, words):
    assert words in refused(client_of(server, **options))


@pytest.mark.skipif(REDIS_PY < (4, 1), reason="redis-py before 4.1 has no Retry")
def test_retries(server):
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    assert "must have no retry" in refused(client_of(server, retry=Retry(NoBackoff(), 2)))
    RedisChannelLayer(hosts=[client_of(server, retry=Retry(NoBackoff(), 0))])


@pytest.mark.skipif(REDIS_PY < (4, 2), reason="redis-py before 4.2 has no client for asyncio")
def test_a_client_for_asyncio():
    import redis.asyncio

    assert "nor a synchronous redis-py client of one server" in refused(redis.asyncio.Redis())


def test_sentinels_are_pairs_only(server):
    with pytest.raises(ValueError) as raised:
        RedisSentinelChannelLayer(hosts=[client_of(server)])
    assert "A Sentinel must be a (host, port) pair" in str(raised.value)


# Secrets.


@pytest.mark.parametrize("make", [
    lambda: redis.StrictRedis(port=free_port(), password=SECRET),
    lambda: redis.StrictRedis.from_url("redis://:%s@127.0.0.1:%d" % (SECRET, free_port())),
    lambda: redis.StrictRedis(unix_socket_path="/nonexistent/redis.sock", password=SECRET),
    lambda: Sentinel([("127.0.0.1", free_port())], sentinel_kwargs=NO_RETRY, password=SECRET).master_for("alpha"),
], ids=["Redis", "from_url", "unix socket", "Sentinel"])
def test_texts_have_no_password(make, hurried_outages, caplog):
    layer = RedisChannelLayer(hosts=[make()], reconnect_timeout=0.2)
    texts = [str(layer), repr(layer.hosts)]
    for call in (lambda: layer.send("normal", {}), lambda: layer.receive(["normal"], block=True)):
        with pytest.raises(RedisError) as raised:
            call()
        texts.append(repr(raised.value))
    assert SECRET not in "".join(texts) + caplog.text


# Passwords that pass.


def change_password(server, client, password):
    """Let ``server`` accept only ``password`` from now on, and close all connections but this one of ``client``."""
    client.config_set("requirepass", password)
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


@pytest.fixture
def locked():
    with Server(["--requirepass", SECRET]) as server:
        yield server


def test_arguments_that_the_pool_changes_count_for_new_connections(locked):
    client = client_of(locked, password=SECRET)
    layer = RedisChannelLayer(hosts=[client])
    assert_delivers(layer)
    change_password(locked, client_of(locked, password=SECRET), OTHER)
    client.connection_pool.connection_kwargs["password"] = OTHER
    assert_delivers(layer)


class Token(object):
    """A credential provider; ``asked``: how often it was asked."""

    def __init__(self):
        self.token = SECRET
        self.asked = 0

    def get_credentials(self):
        self.asked += 1
        return "default", self.token


WITH_PROVIDER = {
    "client": lambda port, token: RedisChannelLayer(hosts=[redis.Redis(port=port, credential_provider=token)]),
    "url": lambda port, token: RedisChannelLayer(
        hosts=["redis://127.0.0.1:%d" % port], connection_kwargs={"credential_provider": token}
    ),
    "pair": lambda port, token: RedisChannelLayer(
        hosts=[("127.0.0.1", port)], connection_kwargs={"credential_provider": token}
    ),
}


def make_token():
    """A ``Token``, which redis-py from 4.5 on accepts."""
    return type(str("ProvidedToken"), (Token, redis.CredentialProvider), {})()


@needs_providers
@pytest.mark.parametrize("kind", sorted(WITH_PROVIDER))
def test_a_credential_provider_is_asked_for_each_new_connection(locked, kind):
    token = make_token()
    layer = WITH_PROVIDER[kind](locked.port, token)
    assert_delivers(layer)
    asked = token.asked
    assert asked
    layer.send("normal", {"n": 3})
    assert layer.receive(["normal"]) == ("normal", {"n": 3})
    assert token.asked == asked  # the connections are kept
    token.token = OTHER
    change_password(locked, client_of(locked, password=SECRET), OTHER)
    assert_delivers(layer)
    assert token.asked > asked


@needs_providers
@pytest.mark.parametrize("kind", sorted(WITH_PROVIDER))
def test_an_outdated_token_is_an_error_without_it(locked, kind, caplog):
    token = make_token()
    token.token = OTHER
    with pytest.raises(RedisError) as raised:
        WITH_PROVIDER[kind](locked.port, token).send("normal", {})
    assert OTHER not in repr(raised.value) + caplog.text


@needs_providers
@pytest.mark.parametrize("kind", ["sentinel", "redis_cluster"])
def test_a_credential_provider_for_masters_that_others_name(kind, request):
    token = make_token()  # the user "default" of these servers accepts any password
    layer = request.getfixturevalue(kind).make(prefix="own:", connection_kwargs={"credential_provider": token})
    assert_delivers(layer)
    assert token.asked or layer.connection(0).connection_pool.connection_kwargs["credential_provider"].asked


# Clients that find their server themselves.


def test_a_client_of_sentinel(sentinel):
    hosts = sentinel.servers.hosts
    manager = Sentinel(hosts, socket_timeout=5)
    layer = RedisChannelLayer(hosts=[manager.master_for("alpha", redis_class=redis.StrictRedis)], prefix="own:")
    assert_delivers(layer)
    assert layer.hosts[0].startswith("alpha, a service of the Sentinels 127.0.0.1:%d" % hosts[0][1])
    assert layer.hosts[0] in str(layer)


def test_a_client_of_sentinel_after_a_failover():
    with servers.Sentinels(["alpha"]) as sentinels:
        manager = Sentinel(sentinels.hosts, socket_timeout=5)
        layer = RedisChannelLayer(hosts=[manager.master_for("alpha", redis_class=redis.StrictRedis)])
        assert_delivers(layer)
        sentinels.servers["alpha"][0].kill()
        servers.eventually(lambda: attempt(layer.send, "after", {"n": 1}) is None, "a send reaches the new master")
        assert layer.receive(["after"], block=True) == ("after", {"n": 1})


# Redis Cluster.


@pytest.fixture
def own_cluster(redis_cluster):
    """A function that makes a RedisCluster with options."""
    host, port = redis_cluster.servers.hosts[0]
    return lambda **options: cluster.RedisCluster(host=host, port=port, **options)


@needs_cluster
def test_a_client_of_a_cluster(own_cluster, redis_cluster):
    layer = RedisClusterChannelLayer(hosts=[own_cluster(socket_timeout=None)], prefix="own:")
    layer.flush()
    assert_delivers(layer)
    ports = {"redis://127.0.0.1:%d/0" % port for _, port in redis_cluster.servers.hosts}
    assert set(layer.hosts) <= ports and layer.hosts
    assert all(options["socket_timeout"] for options in [
        layer.place(number).options(layer.connection(number)) for number in range(layer.ring_size)
    ])


@needs_cluster
@pytest.mark.parametrize("options, words", [
    ({"decode_responses": True}, "must have decode_responses off"),
    ({"socket_timeout": 1}, "socket_timeout must be at least 5 seconds"),
])
def test_a_client_of_a_cluster_that_does_not_suit(own_cluster, options, words):
    with pytest.raises(ValueError) as raised:
        RedisClusterChannelLayer(hosts=[own_cluster(**options)])
    assert words in str(raised.value)


@needs_cluster
def test_a_cluster_has_one_client_and_nothing_else(own_cluster, server):
    for hosts in ([client_of(server)], [own_cluster(), own_cluster()], [("127.0.0.1", 1), own_cluster()]):
        with pytest.raises(ValueError) as raised:
            RedisClusterChannelLayer(hosts=hosts)
        assert "must be a RedisCluster, and the only item" in str(raised.value)


@needs_cluster
def test_a_client_of_a_cluster_follows_a_slot(own_cluster, redis_cluster):
    layer = RedisClusterChannelLayer(hosts=[own_cluster()], prefix="own:", shards=1)
    assert_delivers(layer)
    slot = cluster.key_slot(("own:" + layer.tag(0)).encode("ascii"))
    running = redis_cluster.servers
    source = running.master_of_slot(slot)
    running.move_slot(slot, next(master for master in running.masters() if master is not source))
    assert_delivers(layer)
