"""``asgi-redis check``: a healthy site, and each of the ways in which one may be sick."""
from __future__ import unicode_literals

import contextlib
import json
import os
import re
import signal
import threading
import time

import pytest
import redis
from redis.exceptions import ResponseError

from asgi_redis import RedisChannelLayer, cluster
from asgi_redis.server.clients import REDIS_PY
from asgi_redis.tools.check import messages as check_messages
from asgi_redis.tools.check.permissions import is_about_keys, permissions
from asgi_redis.tools.embedded import Server, free_port

from . import acl, commands, servers
from .commands import run
from .conftest import needs_cluster
from .faults.proxy import Delay, Pass, Proxy
from .servers import eventually
from .terminals import Terminal
from .troubles import Silent, can_not_save, is_replica, set_option
from .troubles import Worker as Receiving

ACL_WORDS = acl.words()


@pytest.fixture
def site():
    """A site of one server, without workers."""
    with commands.Site() as running:
        yield running


def verdicts(result, about=None):
    """Return [(level, about, text), ...] of a result; only those about one subject if that is given."""
    assert "Traceback" not in result.out + result.err
    found = re.findall(r"^  (ok|note|WARNING|ERROR) +(.{13}) (.*)$", result.out, re.MULTILINE)
    found = [(level, subject.strip(), text) for level, subject, text in found]
    return [verdict for verdict in found if about in (None, verdict[1])]


def bad(result):
    """
    Return {what warnings and errors are about}, without that no process waits, and that round trips are slow: on a busy
    machine they are.
    """
    found = {about for level, about, text in verdicts(result) if level.isupper() and "No process" not in text}
    return found - {"round trip"}


def one(result, about):
    found, = verdicts(result, about)
    return found[0], found[2]


# A healthy site.


def check_with_backlog(site):
    """Check ``site`` while 20 new messages wait. On a very busy machine they are old before that is done."""
    while True:
        begun = time.time()
        for number in range(20):
            site.layer.send("backlog", {"n": number})
        result = run("check", *site.hosts)
        if time.time() - begun < 10:
            return result
        while site.layer.receive(["backlog"])[0]:
            pass


def test_a_healthy_site():
    with commands.Site(3, workers=2) as site:
        site.layer.group_add("crowd", "daphne!x")
        result = check_with_backlog(site)
        assert (result.status, result.err, bad(result)) == (0, "", set())
        assert sorted(int(text.split(",")[0]) for _, _, text in verdicts(result, "messages")) == [6, 7, 7]
        level, text = one(result, "processes")
        assert level == "ok" and text.startswith("2: ")
        assert all(":%d" % worker.process.pid in text for worker in site.workers)
        assert [len(verdicts(result, about)) for about in ("role", "memory", "persistence", "clock")] == [3] * 4
        assert result.out.rstrip().endswith("WARNING: 0, ERROR: 0")
        assert site.layer.channel_statistics("backlog")["messages_pending"] == 20


def test_check_leaves_no_key_that_does_not_expire(site):
    run("check", *site.hosts)
    client = site.layer.connection(0)
    assert all(client.ttl(key) > 0 for key in client.keys("*"))


@pytest.mark.parametrize("columns", [40, 70, 200])
def test_a_verdict_is_broken_into_the_lines_of_a_terminal(site, columns):
    terminal = Terminal(columns)
    process = terminal.run(commands.start, "check", *site.hosts)
    while terminal.read():
        pass
    terminal.close()
    assert process.wait() == 1
    assert re.search("\x1b\\[33m  WARNING .*\x1b\\[0m", terminal.text)
    lines = re.sub("\x1b\\[[0-9]*m", "", terminal.text.replace("\r", "")).split("\n")
    assert "WARNING: 1" in terminal.text
    shard = lines.index("Shard 1 of 1: 127.0.0.1:%d" % site.servers[0].port)
    assert all(len(line) <= columns for line in lines[shard:])
    assert any(re.match(" {11,}\\S", line) for line in lines) == (columns < 100)


def test_a_prefix_beyond_ascii(site):
    layer = RedisChannelLayer(hosts=site.config["hosts"], prefix="caf\u00e9*:")
    layer.send("normal", {})
    result = run("check", "--prefix", layer.prefix.encode("utf-8"), *site.hosts)
    assert result.out.startswith("RedisChannelLayer, prefix caf\u00e9*:\n")
    assert bad(result) == set() and one(result, "messages") == ("ok", "1, all can be read")


# Servers that are unavailable.


def test_a_shard_that_is_unavailable(site):
    port = free_port()
    result = run("check", *site.hosts + ["redis://127.0.0.1:%d/0" % port])
    assert result.status == 2 and bad(result) == {"reachable"}
    assert "127.0.0.1:%d" % port in one(result, "reachable")[1]
    assert one(result, "permissions")[0] == "ok"  # of the other shard


def test_all_shards_are_unavailable():
    result = run("check", "--hosts", *["redis://127.0.0.1:%d/0" % free_port() for _ in range(2)])
    assert result.status == 2
    assert [about for _, about, _ in verdicts(result)] == ["reachable"] * 2


def test_a_server_that_accepts_and_never_replies(site):
    with Silent() as silent:
        begun = time.time()
        result = run("check", *site.hosts + [silent.url])
        assert time.time() - begun < 20
    assert result.status == 2 and bad(result) == {"reachable"}
    assert "Timeout" in one(result, "reachable")[1] or "timed out" in one(result, "reachable")[1]


def test_sentinels_none_of_which_replies():
    ports = [free_port() for _ in range(2)]
    sentinels = ["127.0.0.1:%d" % port for port in ports]
    result = run("check", "--sentinels", *sentinels)
    assert result.status == 2
    assert all(address in one(result, "reachable")[1] for address in sentinels)
    result = run("check", "--sentinels", *sentinels + ["--services", "alpha"])
    assert result.status == 2 and "alpha" in one(result, "reachable")[1]


def test_sentinels_that_reply():
    with servers.Sentinels(["alpha"]) as running:
        result = run("check", "--sentinels", *["%s:%d" % host for host in running.hosts])
        assert bad(result) == {"persistence"}
        assert one(result, "role") == ("ok", "master of 1 replicas")


@needs_cluster
def test_a_cluster():
    with servers.Cluster() as running:
        hosts = ["redis://%s:%d" % host for host in running.hosts]
        result = run("check", "--cluster", *hosts)
        assert bad(result) == {"persistence"}
        assert [level for level, _, _ in verdicts(result, "permissions")] == ["ok"] * 3
    result = run("check", "--cluster", *hosts)
    assert (result.status, bad(result)) == (2, {"reachable"})


# Servers that need to be set up otherwise.


def test_a_replica(site):
    with is_replica(site.servers[0]):
        result = run("check", *site.hosts)
    assert result.status == 2 and bad(result) == {"role", "writes"}
    assert "use the address of the master" in one(result, "role")[1]


def test_an_evicting_policy(site):
    set_option(site.servers[0], ["maxmemory"], "100mb")
    set_option(site.servers[0], ["maxmemory-policy"], "allkeys-lru")
    result = run("check", *site.hosts)
    assert result.status == 1 and bad(result) == {"memory"}
    assert "allkeys-lru" in one(result, "memory")[1] and "set noeviction" in one(result, "memory")[1]


def test_memory_near_its_limit(site):
    used = site.layer.connection(0).info("memory")["used_memory"]
    set_option(site.servers[0], ["maxmemory"], int(used * 1.06) + 20000)
    result = run("check", *site.hosts)
    assert one(result, "memory")[0] == "WARNING" and "sends fail" in one(result, "memory")[1]


def test_no_persistence():
    with Server() as server:
        result = run("check", "--hosts", server.url)
    assert result.status == 1 and bad(result) == {"persistence"}


def test_a_server_that_can_not_save(site):
    with can_not_save(site.servers[0]):
        result = run("check", *site.hosts)
    assert result.status == 2 and bad(result) == {"writes"}
    assert "MISCONF" in one(result, "writes")[1]


class ServerClock(Pass):
    """Let the server's clock be ``seconds`` ahead."""

    def __init__(self, seconds):
        self._seconds = seconds

    def answer(self, link, data):
        if link.requests.last != b"TIME":
            return data
        now = ("%d" % (time.time() + self._seconds)).encode("ascii")
        return b"*2\r\n$%s\r\n%s\r\n$1\r\n0\r\n" % (b"10", now)


@pytest.mark.parametrize("seconds, word", [(60, "ahead of"), (-60, "behind")])
def test_clocks_apart(site, seconds, word):
    proxy = Proxy(site.servers[0].port).start()
    proxy.mode = ServerClock(seconds)
    try:
        result = run("check", "--hosts", "redis://127.0.0.1:%d/0" % proxy.port)
    finally:
        proxy.stop()
    assert result.status == 1 and bad(result) == {"clock"}
    assert re.match(r"(59|60|61)\.\d s %s this machine's" % word, one(result, "clock")[1])


def test_a_slow_network(site):
    proxy = Proxy(site.servers[0].port).start()
    proxy.mode = Delay(0.01, 0.02)
    try:
        result = run("check", "--hosts", "redis://127.0.0.1:%d/0" % proxy.port)
    finally:
        proxy.stop()
    level, text = one(result, "round trip")
    assert (result.status, level) == (1, "WARNING")
    assert float(text.split()[0]) >= 20 and "each send and receive takes that long" in text


# Users.


def check_as(site, words):
    """Check the site as a user with the permissions ``words``."""
    if REDIS_PY < (3, 4):
        pytest.skip("redis-py before 3.4 knows no users")
    acl.set_user(site.layer.connection(0), "channels", acl.fitted(words, "asgi:", "asgi-meta:"))
    return run("check", "--hosts", acl.with_user(site.servers[0].url, "channels"))


def test_the_user_of_least_privilege_gets_notes(site):
    result = check_as(site, ACL_WORDS)
    assert bad(result) == set()
    assert {about for level, about, _ in verdicts(result) if level == "note"} == {
        "server", "clock", "clients",
    }
    assert "+info" in one(result, "server")[1] and "+time" in one(result, "clock")[1]
    assert {about for level, about, _ in verdicts(result) if level == "ok"} == {
        "round trip", "writes", "permissions", "messages", "other layers", "channels",
    }


def test_a_user_without_config(site):
    result = check_as(site, ACL_WORDS + ["+info", "+time"])
    assert bad(result) == set()
    assert [about for level, about, _ in verdicts(result) if level == "note"] == ["persistence", "clients"]
    assert "+config|get" in one(result, "persistence")[1]
    assert "+client|list" in one(result, "clients")[1]


@pytest.mark.parametrize("permission", ["+blpop", "+evalsha", "+scan", "+mget", "+type"])
def test_a_missing_permission_is_named(site, permission):
    result = check_as(site, [word for word in ACL_WORDS if word != permission])
    level = "WARNING" if permission in ("+scan", "+mget", "+type") else "ERROR"
    found, text = one(result, "permissions")
    assert (found, re.match(r"The user lacks [+a-z]+", text).group(0)) == (level, "The user lacks " + permission)
    assert result.status == {"WARNING": 1, "ERROR": 2}[level]


def test_each_missing_permission_is_found(site):
    if REDIS_PY < (3, 4):
        pytest.skip("redis-py before 3.4 knows no users")
    words = [word for word in ACL_WORDS if word[0] == "+"]
    for permission in words:
        acl.set_user(site.layer.connection(0), "channels", acl.fitted(
            [word for word in ACL_WORDS if word != permission], "asgi:", "asgi-meta:"
        ))
        layer = RedisChannelLayer(hosts=[acl.with_user(site.servers[0].url, "channels")])
        assert re.findall(r"\+[a-z]+", permissions(layer.connection(0), ["asgi:", "asgi-meta:"]).text) == [permission]


@pytest.mark.parametrize("closed", ["asgi:", "asgi-meta:"])
def test_closed_keys_are_named(site, closed):
    result = check_as(site, [word for word in ACL_WORDS if word != "~%s*" % closed])
    assert one(result, "permissions") == ("ERROR", "The user lacks the keys ~%s*." % closed)


def test_a_user_that_lacks_set_and_del_leaves_no_key(site):
    check_as(site, [word for word in ACL_WORDS if word not in ("+set", "+del")])
    assert site.layer.connection(0).keys("*#check*") == []


@pytest.mark.parametrize("password", ["", "wr0ng"])
def test_a_password(site, password):
    site.layer.connection(0).config_set("requirepass", "s3cr3t")
    result = run("check", "--hosts", site.servers[0].url.replace("//", "//:%s@" % password if password else "//"))
    assert result.status == 2 and bad(result) == {"login"}
    assert "wr0ng" not in result.out


# Messages and their keys.


def check_messages_of(site, sender_keys, own_keys):
    pytest.importorskip("cryptography")
    config = {"symmetric_encryption_keys": sender_keys} if sender_keys else {}
    RedisChannelLayer(hosts=site.config["hosts"], **config).send("normal", {"text": "c0ntent"})
    result = run("check", *site.hosts, environ={"ASGI_REDIS_KEYS": "\n".join(own_keys)})
    assert "c0ntent" not in result.out
    return result


def test_the_right_key(site):
    result = check_messages_of(site, ["first"], ["second", "first"])
    assert one(result, "messages") == ("ok", "1, all can be read")


def test_a_wrong_key(site):
    result = check_messages_of(site, ["first"], ["second"])
    assert result.status == 2
    level, text = one(result, "messages")
    assert level == "ERROR" and text.startswith("1 of 1: encrypted with a key that this process does not have")


def test_no_key(site):
    level, text = one(check_messages_of(site, ["first"], []), "messages")
    assert level == "ERROR" and "encrypted, but this process has no keys" in text


def test_only_some_messages_are_read(site, monkeypatch):
    monkeypatch.setattr(check_messages, "MOST", 3)
    for number in range(5):
        site.layer.send("normal", {"n": number})
    client = site.layer.connection(0)
    keys = check_messages.Keys(client, b"asgi:")
    assert check_messages.read_waiting(site.layer, client, keys).text == "3, all can be read"


def test_messages_are_read_up_to_a_number_of_bytes(site, monkeypatch):
    monkeypatch.setattr(check_messages, "MOST_BYTES", 2500)
    for _ in range(5):
        site.layer.send("normal", {"text": "x" * 1000})
    client = site.layer.connection(0)
    keys = check_messages.Keys(client, b"asgi:")
    assert check_messages.read_waiting(site.layer, client, keys).text == "3, all can be read"


def test_only_some_keys_are_looked_at(site, monkeypatch):
    monkeypatch.setattr(check_messages, "STEPS", 2)
    client = site.layer.connection(0)
    client.mset({"other%d" % number: "" for number in range(5000)})
    keys = check_messages.Keys(client, b"asgi:")
    for verdict in (
        check_messages.read_waiting(site.layer, client, keys), check_messages.other_layers(site.layer, keys)
    ):
        assert verdict.text == "none among the keys that were looked at"


# Processes.


def test_no_process_waits(site):
    result = run("check", *site.hosts)
    assert result.status == 1
    assert one(result, "processes")[0] == "WARNING"
    assert one(result, "processes")[1].startswith("No process of this release is waiting.")


def differences(result):
    return [text for _, _, text in verdicts(result, "processes") if text.startswith("Different")]


def test_processes_of_different_keys(site):
    pytest.importorskip("cryptography")
    first = site.add_worker(symmetric_encryption_keys=["first"])
    second = site.add_worker(symmetric_encryption_keys=["second"])
    result = run("check", *site.hosts, environ={"ASGI_REDIS_KEYS": "second"})
    text, = differences(result)
    assert result.status == 1 and text.startswith("Different encryption keys: ")
    fingerprints = [RedisChannelLayer(symmetric_encryption_keys=[key]).describe()["keys"][0] for key in (
        "first", "second"
    )]
    for fingerprint, worker in zip(fingerprints, (first, second)):
        assert re.search(r"%s in [^ ;]+:%d\b" % (fingerprint, worker.process.pid), text)
    assert "%s here" % fingerprints[1] in text


def test_processes_of_different_hosts(site):
    site.add_worker()
    with Server() as other:
        site.add_worker(hosts=site.config["hosts"] + [other.url])
        result = run("check", *site.hosts)
    assert result.status == 1
    assert [text.split(":")[0] for text in differences(result)] == ["Different hosts", "Different numbers of shards"]


def test_another_name_of_a_user_is_no_difference(site):
    site.add_worker()
    result = run("check", "--hosts", site.servers[0].url.replace("//", "//:@"))
    assert differences(result) == []


def test_expiry_is_compared_between_processes_but_not_with_a_command_that_was_not_told(site):
    site.add_worker(expiry=20)
    assert differences(run("check", *site.hosts)) == []
    site.add_worker(expiry=30)
    text, = differences(run("check", *site.hosts))
    assert re.match(r"Different expiry: 20 in \S+; 30 in \S+\.$", text)


def test_processes_with_another_prefix_on_the_same_server(site):
    other = RedisChannelLayer(hosts=site.config["hosts"], prefix="other:")
    other.send("normal", {})
    other.receive(["normal"], block=True)
    result = run("check", *site.hosts)
    text = one(result, "counters")[1]
    assert "(asgi-meta:)" in text and "other:" in text
    level, text = one(result, "other layers")
    assert level == "note" and text.endswith(": other: (1 now)")
    assert bad(result) == set()


def record_of(site):
    """Return the key and the record of the only process."""
    client = site.layer.connection(0)
    key, = client.keys("asgi:#presence#*")
    return key, json.loads(client.get(key).decode("utf-8"))


def test_a_process_that_has_not_renewed_its_record(site):
    site.add_worker()
    key, record = record_of(site)
    site.layer.connection(0).set(key, json.dumps(dict(record, seen=record["seen"] - 60)), ex=90)
    result = run("check", *site.hosts)
    assert result.status == 0
    text, = [text for level, _, text in verdicts(result, "processes") if level == "note"]
    assert text.startswith("No sign of life for 45 s or more from ")
    assert ":%d" % site.workers[0].process.pid in text


def test_a_server_that_lost_its_data_while_an_interface_server_was_running(site):
    site.add_worker(["daphne.response.x!"])
    site.add_worker()
    client = site.layer.connection(0)
    kept = {key: client.get(key) for key in client.keys("asgi:#presence#*")}
    client.flushall()
    for key, record in kept.items():  # as if the processes had renewed them, half a minute later
        client.set(key, record, ex=90)
        client.execute_command("ZADD", "asgi:#presence", 1, key.rpartition(b"#")[2])
    result = run("check", *site.hosts)
    assert result.status == 1 and bad(result) == {"groups"}
    text = one(result, "groups")[1]
    assert text.startswith("Lost on 127.0.0.1:%d, with all data," % site.servers[0].port)
    assert ":%d." % site.workers[0].process.pid in text and ":%d" % site.workers[1].process.pid not in text


def test_nothing_is_said_of_groups_on_a_server_that_the_user_may_not_ask(site):
    site.add_worker(["daphne.response.x!"])
    result = check_as(site, [word for word in ACL_WORDS if word != "+get"])
    assert len(verdicts(result, "processes")) == 1 and verdicts(result, "groups") == []


# Clients without a record.


@contextlib.contextmanager
def waits(site, database=0):
    """A client that waits in BLPOP, as a process of release 1.4 does."""
    client = redis.StrictRedis(port=site.servers[0].port, db=database)
    thread = threading.Thread(target=client.blpop, args=(["asgi:http.request"],))
    thread.start()
    seen = site.layer.connection(0)
    eventually(lambda: any(
        found["cmd"] == "blpop" and found["db"] == "%d" % database for found in seen.client_list()
    ), "it waits")
    try:
        yield
    finally:
        client.rpush("asgi:http.request", "end")
        thread.join()


def test_a_client_that_waits_without_a_record(site):
    site.add_worker()
    with waits(site):
        result = run("check", *site.hosts)
    assert (result.status, one(result, "clients")[0]) == (0, "note")
    assert one(result, "clients")[1].startswith("1 client waits in BLPOP without a record, from release 1.4")


def test_a_client_that_waits_in_another_database(site):
    site.add_worker()
    with waits(site, 1):
        result = run("check", *site.hosts)
    assert one(result, "clients")[0] == "note"
    assert one(result, "clients")[1].startswith("1 client waits in BLPOP in database 1")


def test_threads_of_a_process_and_processes_of_other_layers_have_records(site):
    other = RedisChannelLayer(hosts=site.config["hosts"], prefix="other:")
    first, second, third = [Receiving(site.layer, ["busy"]) for _ in range(3)]
    with Receiving(other, ["busy"]), first, second, third:
        eventually(lambda: [record["waits"] for record in site.layer.processes().values()] == [3], "all are recorded")
        assert one(run("check", *site.hosts), "clients") == ("ok", "none waits without a record")


# Channels.


def wait_for_long(site, channel, count=1, seconds=30):
    """Let messages wait on ``channel`` that seem to have been sent some seconds ago."""
    client = site.layer.connection(0)
    for _ in range(count):
        site.layer.send(channel, {})
    client.expire(client.lindex("asgi:" + channel.partition("!")[0] + "!" * ("!" in channel), 0), 60 - seconds)


@pytest.mark.parametrize("channel, what", [
    ("lonely", "None of the processes above reads it."), ("gone!x", "Its process hangs or has ended."),
])
def test_messages_that_wait_for_long_without_a_reader(site, channel, what):
    site.add_worker()
    wait_for_long(site, channel, 2)
    result = run("check", *site.hosts)
    assert result.status == 1 and bad(result) == {"channels"}
    queue = channel.partition("!")[0] + "!" * ("!" in channel)
    assert re.match(r"%s: 2 of 100 wait, the oldest for [3-9]\d s\. %s" % (queue, what), one(result, "channels")[1])


def test_messages_that_wait_for_long_for_a_reader_name_it(site):
    worker = site.add_worker()
    os.kill(worker.process.pid, signal.SIGSTOP)
    wait_for_long(site, "busy", 3)
    result = run("check", *site.hosts)
    assert result.status == 1 and bad(result) == {"channels"}
    assert one(result, "channels")[1].startswith("busy: ")
    assert ":%d" % worker.process.pid in one(result, "channels")[1]


def test_a_full_channel(site):
    site.add_worker()
    for _ in range(100):
        site.layer.send("lonely", {})
    result = run("check", *site.hosts)
    assert bad(result) == {"channels"} and one(result, "channels")[1].startswith("lonely: 100 of 100 wait, ")


def test_http_disconnect_without_a_reader_is_harmless(site):
    site.add_worker()
    wait_for_long(site, "http.disconnect")
    result = run("check", *site.hosts)
    assert (result.status, one(result, "channels")[0]) == (0, "note")
    assert "harmless" in one(result, "channels")[1]


@pytest.mark.skipif(cluster.RedisCluster is None, reason="redis-py before 4.1 knows no Redis Cluster")
def test_the_shards_of_a_cluster_are_no_other_layers():
    with servers.Cluster() as running:
        hosts = ["redis://%s:%d" % host for host in running.hosts]
        layer = cluster.RedisClusterChannelLayer(hosts=hosts)
        layer.send("normal", {})
        layer.receive(["normal"], block=True)
        assert {text for _, _, text in verdicts(run("check", "--cluster", *hosts), "other layers")} == {"none"}


def test_a_command_that_the_server_has_renamed():
    with Server(["--rename-command", "CONFIG", ""]) as server:
        result = run("check", "--hosts", server.url)
    assert one(result, "persistence")[0] == "note"
    assert bad(result) == set()


def test_records_that_the_user_may_not_read(site):
    site.add_worker()
    result = check_as(site, [word for word in ACL_WORDS if word != "+mget"])
    level, text = one(result, "processes")
    assert level == "note" and text.startswith("Unknown: ")


@pytest.mark.parametrize("reply, expected", [
    ("NOPERM No permissions to access a key", True),
    ("NOPERM this user has no permissions to access one of the keys used as arguments", True),
    ("NOPERM this user has no permissions to run the 'blpop' command or its subcommand", False),
    ("User monkey has no permissions to run the 'blpop' command", False),
])
def test_how_servers_refuse_keys(reply, expected):
    assert is_about_keys(ResponseError(reply)) is expected
