"""TLS: which servers and clients are trusted, which are refused, and that everything works over it."""
from __future__ import unicode_literals

import contextlib
import os
import shutil
import ssl
import tempfile
import threading
import time

import pytest
import redis
import six
from redis.exceptions import ConnectionError
from twisted.internet import defer, threads
from twisted.trial import unittest

from asgi_redis import RedisChannelLayer, RedisSentinelChannelLayer
from asgi_redis.server.clients import REDIS_PY
from asgi_redis.tools.embedded import Server

from . import servers
from .patience import AT_ONCE, LONG_WAIT, hurry_outages
from .test_blocking import Reader, wait_until_blocked
from .tls import DAY, Authority, Proxy, TlsSentinel, TlsServer, server_context

#: Where the name of the host is wrong, Python before 3.7 has an error of its own, which redis-py lets through.
REFUSALS = (ConnectionError, ssl.CertificateError)

needs_host_names = pytest.mark.skipif(REDIS_PY < (3, 4), reason="redis-py before 3.4 does not check host names")


@pytest.fixture(autouse=True)
def no_other_authorities(monkeypatch):
    """None of the system's authorities: each connection of redis-py reads all of them, for twenty milliseconds."""
    monkeypatch.setenv(str("SSL_CERT_FILE"), str(os.devnull))


@pytest.fixture(scope="module")
def authority(tmpdir_factory):
    return Authority(tmpdir_factory.mktemp("tls").strpath, "authority")


@pytest.fixture(scope="module")
def certificate(authority):
    """A good one, for servers as for clients."""
    return authority.issue("good")


@pytest.fixture
def trusting(authority):
    """Return ``connection_kwargs`` that trust the authority. redis-py before 3 trusts any server by default."""
    return {"ssl_ca_certs": authority.path, "ssl_cert_reqs": "required"}


@contextlib.contextmanager
def proxies(certificate, count=1, client_authority=None, piece=None):
    """The ports of ``count`` proxies with TLS, each in front of a server of its own."""
    context = server_context(certificate, client_authority)
    opened = [Proxy(server.port, context) for server in servers.plain(count)]
    if piece:
        opened += [Proxy(proxy.port, piece=piece) for proxy in opened]
    try:
        for proxy in opened:
            proxy.__enter__()
        yield opened[-count:]
    finally:
        for proxy in opened:
            proxy.__exit__()


@contextlib.contextmanager
def built_in(authority, certificate, count=1, clients="no"):
    """``count`` servers with TLS of their own. Skips where the binary has none."""
    started = [TlsServer(authority, certificate, clients) for _ in range(count)]
    try:
        for server in started:
            server.start()
    except RuntimeError:
        pytest.skip("this server has no TLS of its own")
    else:
        yield started
    finally:
        for server in started:
            server.stop()


@pytest.fixture(scope="module", params=["proxy", "built in"])
def tls_ports(request, authority, certificate):
    """Ports that speak TLS, of three servers."""
    if request.param == "proxy":
        with proxies(certificate, 3) as opened:
            yield [proxy.port for proxy in opened]
    else:
        with built_in(authority, certificate, 3) as started:
            yield [server.tls_port for server in started]


def urls(ports):
    return ["rediss://127.0.0.1:%d/0" % port for port in ports]


@contextlib.contextmanager
def layer_at(ports, options, **arguments):
    """A layer on servers that end sooner than those of ``make_layer``."""
    layer = RedisChannelLayer(
        hosts=urls(ports), connection_kwargs=options, prefix="tls:", stats_prefix="tls-meta:", **arguments
    )
    yield layer
    layer.flush()


@pytest.fixture
def make_secure_layer(tls_ports, trusting, make_layer):
    """``make_layer``, over TLS."""
    def make(shards=1, **arguments):
        return make_layer(hosts=urls(tls_ports[:shards]), connection_kwargs=trusting, **arguments)

    return make


def test_a_client_of_the_layer(make_secure_layer):
    for _ in range(10):
        assert make_secure_layer().connection(0).ping()


# Trusted servers and clients.


def exchange(layer):
    layer.send("normal", {"n": 1})
    assert layer.receive(["normal"]) == ("normal", {"n": 1})


def test_a_url_of_rediss(make_secure_layer):
    exchange(make_secure_layer())


def test_a_url_that_says_what_to_trust(tls_ports, authority, make_layer):
    url = "rediss://127.0.0.1:%d/0?ssl_ca_certs=%s&ssl_cert_reqs=required" % (tls_ports[0], authority.path)
    exchange(make_layer(hosts=[url]))


def test_a_pair_and_ssl(tls_ports, trusting, make_layer):
    layer = make_layer(hosts=[("127.0.0.1", tls_ports[0])], connection_kwargs=dict(trusting, ssl=True))
    exchange(layer)


def test_a_client_of_a_site(tls_ports, trusting, make_layer):
    client = redis.StrictRedis(host="127.0.0.1", port=tls_ports[0], ssl=True, **trusting)
    layer = make_layer(hosts=[client])
    exchange(layer)
    assert layer.hosts == urls(tls_ports[:1])


@needs_host_names
@pytest.mark.parametrize("host", ["localhost"] + (["127.0.0.1"] if six.PY3 else []))  # the one of Python 2 knows names
def test_a_host_that_the_certificate_names(tls_ports, trusting, make_layer, host):
    options = dict(trusting, ssl_check_hostname=True)
    exchange(make_layer(hosts=["rediss://%s:%d/0" % (host, tls_ports[0])], connection_kwargs=options))


def test_what_goes_over_the_wire_can_not_be_read(certificate, trusting):
    with proxies(certificate) as (proxy,), Proxy(proxy.port) as tap, layer_at([tap.port], trusting) as layer:
        layer.send("normal", {"text": "plain words"})
        assert layer.receive(["normal"]) == ("normal", {"text": "plain words"})
        for way in ("received", "sent"):
            assert b"plain words" in getattr(proxy, way)
            assert getattr(tap, way) and b"plain words" not in getattr(tap, way)


# Refused servers and clients.


@pytest.fixture
def refused(monkeypatch):
    """``refused(port, options)``: the texts of the errors of a send, and of both kinds of receive, through TLS."""
    # Later tries have less time, and on a busy machine fail because of that.
    hurry_outages(monkeypatch, repeat=0)

    def texts_of_errors(port, options):
        texts = []
        for call in (
            lambda layer: layer.send("normal", {"n": 1}),
            lambda layer: layer.receive(["normal"]),
            lambda layer: layer.receive(["normal"], block=True),
        ):
            layer = RedisChannelLayer(hosts=urls([port]), connection_kwargs=options, reconnect_timeout=1e-9)
            with pytest.raises(REFUSALS) as raised:
                call(layer)
            texts.append(six.text_type(raised.value))
        return texts

    return texts_of_errors


@pytest.fixture
def assert_refused(refused):
    def assert_refused(certificate, options, words="", **arguments):
        with proxies(certificate, **arguments) as (proxy,):
            for text in refused(proxy.port, options):
                assert words in text
            assert not proxy.received

    return assert_refused


def test_a_server_of_an_unknown_authority(certificate, assert_refused):
    assert_refused(certificate, {"ssl_cert_reqs": "required"}, "verify failed")


def test_a_server_of_another_authority(tmpdir, trusting, assert_refused):
    impostor = Authority(tmpdir.strpath, "authority").issue("impostor")  # even one of the same name
    assert_refused(impostor, trusting, "verify failed")


def test_a_server_whose_certificate_has_expired(authority, trusting, assert_refused):
    assert_refused(authority.issue("expired", lives=-DAY), trusting, "verify failed")


@needs_host_names
def test_a_server_with_the_certificate_of_another_host(authority, trusting, assert_refused):
    other = authority.issue("other", hosts=["redis.example.com", "127.0.0.2"])
    assert_refused(other, dict(trusting, ssl_check_hostname=True))


def test_a_client_without_tls(tls_ports):
    layer = RedisChannelLayer(hosts=["redis://127.0.0.1:%d/0" % tls_ports[0]])
    with pytest.raises(ConnectionError):
        layer.send("normal", {"n": 1})


def test_tls_that_is_refused_is_not_replaced_by_none(certificate, refused):
    with proxies(certificate) as (proxy,), Proxy(proxy.port) as tap:
        refused(tap.port, {"ssl_cert_reqs": "required", "password": "s3cr3t"})
        for words in (b"AUTH", b"s3cr3t", b"EVALSHA", b"CLIENT"):
            assert tap.received and words not in tap.received


# Clients with a certificate.


@pytest.fixture
def presenting(trusting, certificate):
    """``trusting``, with a certificate of the client."""
    return dict(trusting, ssl_certfile=certificate.path, ssl_keyfile=certificate.key_path)


def test_a_client_with_the_certificate_that_the_server_wants(authority, certificate, presenting):
    with proxies(certificate, client_authority=authority) as (proxy,):
        with layer_at([proxy.port], presenting) as layer:
            exchange(layer)


def test_a_client_with_the_certificate_that_a_real_server_wants(authority, certificate, presenting, trusting, refused):
    with built_in(authority, certificate, clients="yes") as (server,):
        with layer_at([server.tls_port], presenting) as layer:
            exchange(layer)
        refused(server.tls_port, trusting)
        assert redis.StrictRedis(port=server.port).dbsize() == 0


def test_a_client_without_a_certificate(authority, certificate, trusting, assert_refused):
    assert_refused(certificate, trusting, client_authority=authority)


def test_a_client_with_a_certificate_of_another_authority(tmpdir, authority, certificate, trusting, assert_refused):
    other = Authority(tmpdir.strpath, "other").issue("stranger")
    options = dict(trusting, ssl_certfile=other.path, ssl_keyfile=other.key_path)
    assert_refused(certificate, options, client_authority=authority)


# Everything works as without.


def test_what_goes_out_comes_in(make_secure_layer, shards):
    layer = make_secure_layer(shards)
    for channel, receivable in (("normal", "normal"), ("reader?x", "reader?x"), ("process!x", "process!")):
        for block in (False, True):
            layer.send(channel, {"text": "\u00e9", "bytes": b"\x00\xff"})
            assert layer.receive([receivable], block) == (channel, {"text": "\u00e9", "bytes": b"\x00\xff"})


@pytest.mark.parametrize("channel", ["normal", "reader?x", "process!x"])
def test_a_blocking_receive_wakes_at_once(make_secure_layer, shards, channel):
    layer = make_secure_layer(shards)
    receivable = channel.split("!")[0] + "!" if "!" in channel else channel
    layer.blpop_timeout = LONG_WAIT
    for number in range(5):
        reader = Reader(layer, ["other", receivable])
        wait_until_blocked(layer, shards)
        layer.send(channel, {"n": number})
        reader.join()
        assert reader.found == (channel, {"n": number})
        assert reader.took < AT_ONCE


def test_a_blocking_receive_returns_nothing_when_its_time_is_up(make_secure_layer, shards):
    layer = make_secure_layer(shards)
    layer.blpop_timeout = 1
    begun = time.time()
    assert layer.receive(["normal"], block=True) == (None, None)
    assert 0.9 < time.time() - begun < AT_ONCE


def test_no_message_is_lost_or_doubled_if_all_shards_reply_at_once(make_secure_layer):
    layer = make_secure_layer(3, capacity=1000)
    found = []

    def read():
        while len(found) < 300:
            _, message = layer.receive(["normal"], block=True)
            if message:
                found.append(message["n"])

    readers = [threading.Thread(target=read) for _ in range(3)]
    layer.blpop_timeout = 1
    for thread in readers:
        thread.start()
    for number in range(300):
        layer.send("normal", {"n": number})
    for thread in readers:
        thread.join()
    assert sorted(found) == list(range(300))


@pytest.mark.parametrize("block", [False, True])
def test_megabytes_arrive(make_secure_layer, shards, block):
    layer = make_secure_layer(shards)
    for size in (16000, 17000, 65536, 1000000, 5000000):  # below and above a record of TLS, and a read of redis-py
        layer.send("large", {"body": b"\x00\xfe" * (size // 2)})
        assert layer.receive(["large"], block)[1]["body"] == b"\x00\xfe" * (size // 2)


def test_megabytes_arrive_at_who_waits_for_them(make_secure_layer, shards):
    layer = make_secure_layer(shards)
    layer.blpop_timeout = LONG_WAIT
    reader = Reader(layer, ["large"])
    wait_until_blocked(layer, shards)
    layer.send("large", {"body": b"\x00\xfe" * 1000000})
    reader.join()
    assert reader.found[1]["body"] == b"\x00\xfe" * 1000000
    assert reader.took < AT_ONCE


def test_long_names_in_the_reply_to_a_wait(make_secure_layer, shards):
    layer = make_secure_layer(shards, prefix="test-" + "long" * 10000 + ":")  # more than two records of TLS
    layer.blpop_timeout = LONG_WAIT
    reader = Reader(layer, ["normal"])
    wait_until_blocked(layer, shards)
    layer.send("normal", {"n": 1})
    reader.join()
    assert reader.found == ("normal", {"n": 1})
    assert reader.took < AT_ONCE


@pytest.mark.parametrize("piece", [4, 30])  # a record of TLS begins with five bytes that say its length
def test_replies_that_arrive_in_pieces(certificate, trusting, make_layer, piece):
    # Whoever polls the socket finds something to read, and yet no record that is whole.
    sender = make_layer(2)
    with proxies(certificate, 2, piece=piece) as slow:
        hosts = urls(proxy.port for proxy in slow)
        # On a busy machine the handshake takes seconds, and so does a message.
        patient = dict(trusting, socket_connect_timeout=LONG_WAIT)
        layer = RedisChannelLayer(hosts=hosts, connection_kwargs=patient, prefix=sender.prefix)
        layer.blpop_timeout = LONG_WAIT
        for number in range(4):
            reader = Reader(layer, ["normal"])
            wait_until_blocked(sender, 2)
            sender.send("normal", {"n": number})
            reader.join()
            assert reader.found == ("normal", {"n": number})


def test_groups_and_statistics(make_secure_layer, shards):
    layer = make_secure_layer(shards)
    names = ["normal.%d" % number for number in range(300)] + ["process!%d" % number for number in range(10)]
    for name in names:
        layer.group_add("crowd", name)
    layer.receive(["process!"])
    layer.send_group("crowd", {"body": b"x" * 10000})
    assert layer.channel_statistics("process!")["messages_pending"] == 1
    assert layer.global_statistics() == {"messages_count": 310, "channel_full_count": 0}
    found = [layer.receive(["process!"]) for _ in range(10)] + [layer.receive([name]) for name in names[:300]]
    assert sorted(found) == sorted((name, {"body": b"x" * 10000}) for name in names)


@pytest.mark.skipif(six.PY2, reason="Python 2 has no asyncio")
def test_receive_async(make_secure_layer, shards):
    import asyncio  # novm: not on Python 2

    layer = make_secure_layer(shards)
    loop = asyncio.new_event_loop()
    done = asyncio.Future(loop=loop)

    def receive():
        layer.receive_async(["normal"]).add_done_callback(lambda future: done.set_result(future.result()))

    loop.call_soon(receive)
    layer.blpop_timeout = LONG_WAIT
    sender = threading.Timer(0.3, layer.send, ["normal", {"n": 1}])
    sender.start()
    try:
        assert loop.run_until_complete(asyncio.wait_for(done, AT_ONCE)) == ("normal", {"n": 1})
    finally:
        sender.join()
        loop.close()


class TwistedOverTls(unittest.TestCase):
    timeout = 60

    def setUp(self):
        folder = six.ensure_text(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        authority = Authority(folder, "authority")
        opened = proxies(authority.issue("good"), 2)
        ports = [proxy.port for proxy in opened.__enter__()]
        self.addCleanup(opened.__exit__, None, None, None)
        self.layer = RedisChannelLayer(
            hosts=urls(ports), prefix="twisted-tls:", stats_prefix="twisted-tls-meta:",
            connection_kwargs={"ssl_ca_certs": authority.path},
        )
        self.addCleanup(self.layer.flush)

    @defer.inlineCallbacks
    def test_receive_twisted(self):
        self.layer.blpop_timeout = LONG_WAIT
        for number in range(4):
            waiting = self.layer.receive_twisted(["normal", "process!"])
            yield threads.deferToThread(wait_until_blocked, self.layer, 2)
            begun = time.time()
            self.layer.send("normal" if number % 2 else "process!x", {"n": number})
            channel, message = yield waiting
            self.assertEqual(message, {"n": number})
            self.assertLess(time.time() - begun, AT_ONCE)


# Servers that fail.


def restart(layer, sender, server):
    """What a blocking receive finds, that waited while ``server`` was started again."""
    layer.send("normal", {"n": 0})
    assert layer.receive(["normal"]) == ("normal", {"n": 0})
    reader = Reader(layer, ["normal"])
    wait_until_blocked(sender, 1)
    server.kill()
    time.sleep(0.3)
    assert reader.is_alive()
    server.start()
    sender.send("normal", {"n": 1})
    reader.join()
    return reader.found


def test_a_server_behind_a_proxy_is_started_again(certificate, trusting):
    with Server() as server, Proxy(server.port, server_context(certificate)) as proxy:
        layer = RedisChannelLayer(hosts=urls([proxy.port]), connection_kwargs=trusting)
        sender = RedisChannelLayer(hosts=urls([proxy.port]), connection_kwargs=trusting)
        assert restart(layer, sender, server) == ("normal", {"n": 1})


def test_a_server_with_tls_of_its_own_is_started_again(authority, certificate, trusting):
    with built_in(authority, certificate) as (server,):
        layer = RedisChannelLayer(hosts=urls([server.tls_port]), connection_kwargs=trusting)
        sender = RedisChannelLayer(hosts=urls([server.tls_port]), connection_kwargs=trusting)
        assert restart(layer, sender, server) == ("normal", {"n": 1})


def test_the_certificate_is_looked_at_again_after_an_outage(tmpdir, certificate, trusting):
    impostor = Authority(tmpdir.strpath, "authority").issue("impostor")
    port = servers.plain()[0].port
    with Proxy(port, server_context(certificate)) as proxy:
        layer = RedisChannelLayer(hosts=urls([proxy.port]), connection_kwargs=trusting, prefix="tls:")
        exchange(layer)
    other = Proxy(port, server_context(impostor))
    other.port = proxy.port
    with other:
        with pytest.raises(ConnectionError):
            layer.send("normal", {"n": 1})
        assert not other.received


# Sentinel.


@pytest.mark.skipif(REDIS_PY < (4, 1), reason="redis-py before 4.1 can't")
def test_sentinel_with_tls_to_the_servers(authority, certificate, trusting):
    with built_in(authority, certificate) as (master,):
        with TlsSentinel(authority, certificate, master) as sentinel:
            layer = RedisSentinelChannelLayer(
                hosts=[("127.0.0.1", sentinel.port)], services=["alpha"], connection_kwargs=dict(trusting, ssl=True),
            )
            exchange(layer)
            reader = Reader(layer, ["normal"])
            wait_until_blocked(layer, 1)
            layer.send("normal", {"n": 2})
            reader.join()
            assert reader.found == ("normal", {"n": 2})


@pytest.mark.skipif(REDIS_PY >= (4, 1), reason="redis-py can")
def test_sentinel_with_tls_to_the_servers_is_refused():
    with pytest.raises(ValueError) as raised:
        RedisSentinelChannelLayer(services=["alpha"], connection_kwargs={"ssl": True})
    assert "TLS" in str(raised.value) and "redis-py 4.1" in str(raised.value)
