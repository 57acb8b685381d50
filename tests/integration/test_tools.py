"""``asgi-redis check`` and ``stats`` as an operator runs them: on a site of a Daphne, two workers and three shards."""
from __future__ import unicode_literals

import contextlib
import json
import re
import subprocess
import tempfile

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.server.clients import REDIS_PY
from asgi_redis.tools.embedded import Server

from .. import acl
from ..commands import run, start
from ..faults.proxy import Proxy
from ..interop import environment
from ..servers import eventually
from ..terminals import Terminal
from ..test_check import ServerClock, bad, one, verdicts
from ..troubles import client_of, is_replica, set_option
from .processes import PATIENCE, SITE, Daphne, Site, Worker

for module in ("channels", "daphne"):
    pytest.importorskip(module)
requests = pytest.importorskip("requests")
websocket = pytest.importorskip("websocket")

#: How many pages were asked for when the tests begin.
PAGES = 12

#: What runworker reads.
READ = ["http.request", "numbers", "websocket.connect", "websocket.disconnect", "websocket.receive"]

RELEASED = """
import asgi_redis, sys
layer = asgi_redis.RedisChannelLayer(hosts=sys.argv[1:])
while True:
    layer.receive(["http.request"], block=True)
"""


def layer_on(hosts, **config):
    return {"BACKEND": "asgi_redis.RedisChannelLayer", "CONFIG": dict(config, hosts=hosts)}


@pytest.fixture(scope="module")
def site():
    """The site, which has answered PAGES pages, and has a WebSocket open. ``servers``: of its shards."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Server(["--save", "3600", "1"])) for _ in range(3)]
        site = stack.enter_context(Site(layer_on([server.url for server in servers])))
        site.servers = servers
        for _ in range(PAGES):
            page(site)
        address = "ws://" + site.address("/group/crowd/")
        with contextlib.closing(websocket.create_connection(address, timeout=PATIENCE)):
            yield site


def page(site):
    assert requests.get("http://" + site.address("/"), timeout=PATIENCE).status_code == 200


def options_of(site, layer=None):
    """Return the options of a command that runs in the site's folder. ``layer``: what its settings have instead."""
    variables = site._environment()
    variables.pop("PYTHONPATH")
    return {"cwd": SITE, "environ": dict(variables, **{"SITE_CHANNEL_LAYER": json.dumps(layer)} if layer else {})}


def in_a_pipe(site, *arguments):
    return run(*arguments + ("--settings", "settings"), **options_of(site))


class InTerminal(object):
    """A command in a pseudo-terminal: the attributes are those of a ``Result``."""

    def __init__(self, site, *arguments):
        self.terminal = Terminal(160, 50)
        self._process = self.terminal.run(start, *arguments + ("--settings", "settings"), **options_of(site))
        self.err = ""

    @property
    def out(self):
        return self.terminal.text.replace("\r\n", "\n")

    def end(self):
        while self.terminal.read():
            pass
        self.terminal.close()
        self.status = self._process.wait()
        return self


def in_a_terminal(site, *arguments):
    return InTerminal(site, *arguments).end()


def names(processes):
    return {":%d" % process.process.pid for process in processes}


def row(text, *words):
    """Return the cells of the line that begins with ``words``."""
    found, = [line.split() for line in text.split("\n") if line.split()[:len(words)] == list(words)]
    return found


# A healthy site.


@pytest.mark.parametrize("ran", [in_a_pipe, in_a_terminal])
def test_check_finds_nothing_wrong(site, ran):
    result = ran(site, "check")
    assert (result.status, bad(result)) == (0, set())
    assert re.findall(r"^Shard \d of 3: (.*)$", result.out, re.MULTILINE) == [
        "127.0.0.1:%d" % server.port for server in site.servers
    ]
    level, text = one(result, "processes")
    assert level == "ok" and text.startswith("3: ")
    assert set(re.findall(r":\d+", text)) - {": "} == names(site.processes)
    assert one(result, "clients")[0] == "ok"


@pytest.mark.parametrize("ran", [in_a_pipe, in_a_terminal])
def test_stats_show_channels_processes_groups_and_shards(site, ran):
    result = ran(site, "stats")
    assert result.status == 0
    waiting, capacity = row(result.out, "http.request")[1:3]
    assert (waiting, capacity) == ("0", "100")
    assert re.findall(r"^(\w+) \((\d)\)$", result.out, re.MULTILINE)[1:] == [
        ("Processes", "3"), ("Groups", "1"), ("Shards", "3")
    ]
    for worker in site.of(Worker):
        line, = [line for line in result.out.split("\n") if re.search(r" %d " % worker.process.pid, line)]
        assert "http.request, " in line
    assert row(result.out, "crowd") == ["crowd", "1"]
    for number, server in enumerate(site.servers, 1):
        assert row(result.out, "%d" % number)[1:3] == ["127.0.0.1:%d" % server.port, "ok"]


def test_json(site):
    result = in_a_pipe(site, "stats", "--json")
    found = json.loads(result.out)
    assert result.status == 0
    channels = {channel["channel"]: channel for channel in found["channels"]}
    assert channels["http.request"]["sent"] == PAGES and channels["http.request"]["waiting"] == 0
    assert channels["websocket.connect"]["sent"] == 1
    reads = {record["process"]: record["channels"] for record in found["processes"]}
    daphne, = site.of(Daphne)
    own, = reads.pop(daphne.process.pid)
    assert re.match(r"daphne\.response\.\w+!$", own) and channels[own]["sent"] == PAGES + 1
    assert reads == {worker.process.pid: READ for worker in site.of(Worker)}
    assert found["groups"] == [{"group": "crowd", "members": 1}]
    assert sum(shard["sent"] for shard in found["shards"]) == sum(channel["sent"] for channel in found["channels"])


def test_prometheus(site):
    pytest.importorskip("prometheus_client")
    result = in_a_pipe(site, "stats", "--prometheus")
    assert result.status == 0
    lines = result.out.split("\n")
    assert 'asgi_redis_messages_total{channel="http.request"} %.1f' % PAGES in lines
    assert 'asgi_redis_messages_waiting{channel="daphne.response.*!"} 0.0' in lines
    assert "asgi_redis_processes 3.0" in lines and "asgi_redis_group_members 1.0" in lines
    assert len(re.findall("^asgi_redis_shard_up.* 1.0$", result.out, re.MULTILINE)) == 3


def test_watch_shows_rates_while_requests_run_until_ctrl_c(site):
    watch = InTerminal(site, "stats", "--watch", "1")
    rate = re.compile(r"http\.request  .* (\d+\.\d)\x1b")
    while not any(float(found) > 0 for found in rate.findall(watch.out)):
        page(site)
        assert watch.terminal.read()
    watch.terminal.type(b"\x03")
    watch.end()
    assert watch.status == 130
    screens = watch.out.split("\x1b[H")
    assert len(screens) > 2 and all("Processes (3)" in screen for screen in screens[1:])
    assert watch.out.rstrip().endswith("\x1b[?1049l")


# A sick site, which recovers.


def check(site, *arguments, **config):
    layer = layer_on(config.pop("hosts"), **config) if config else None
    return run("check", *arguments + ("--settings", "settings"), **options_of(site, layer))


def heading(result, about):
    """Return the heading below which the verdict about ``about`` is."""
    return re.findall(r"^\S.*", result.out.split(" %s " % about)[0], re.MULTILINE)[-1]


def test_a_replica_in_the_place_of_a_shard(site):
    with is_replica(site.servers[1]):
        result = check(site)
        assert result.status == 2 and bad(result) == {"role", "writes"}
        assert heading(result, "ERROR    role").startswith("Shard 2 of 3: ")
        assert "use the address of the master" in one_bad(result, "role")
    eventually(lambda: requests.get("http://" + site.address("/"), timeout=PATIENCE).ok, "a page is answered again")


def one_bad(result, about):
    text, = [text for level, _, text in verdicts(result, about) if level.isupper()]
    return text


def test_an_evicting_policy(site):
    set_option(site.servers[2], ["maxmemory"], "100mb")
    set_option(site.servers[2], ["maxmemory-policy"], "allkeys-lru")
    try:
        result = check(site)
    finally:
        set_option(site.servers[2], ["maxmemory-policy"], "noeviction")
        set_option(site.servers[2], ["maxmemory"], "0")
    assert result.status == 1 and bad(result) == {"memory"}
    assert heading(result, "WARNING  memory").startswith("Shard 3 of 3: ")
    assert "set noeviction" in one_bad(result, "memory")


def test_a_user_who_lacks_a_permission(site):
    if REDIS_PY < (3, 4):
        pytest.skip("redis-py before 3.4 knows no users")
    words = [word for word in acl.fitted(acl.words(), "asgi:", "asgi-meta:") if word != "+blpop"]
    for server in site.servers:
        acl.set_user(client_of(server), "channels", words)
    result = check(site, hosts=[acl.with_user(server.url, "channels") for server in site.servers])
    assert result.status == 2 and bad(result) == {"permissions"}
    assert {text for _, _, text in verdicts(result, "permissions")} == {"The user lacks +blpop."}
    assert "+client|list" in one(result, "clients")[1]


def test_clocks_apart(site):
    proxy = Proxy(site.servers[0].port).start()
    proxy.mode = ServerClock(60)
    try:
        result = check(site, hosts=["redis://127.0.0.1:%d/0" % proxy.port] + [
            server.url for server in site.servers[1:]
        ])
    finally:
        proxy.stop()
    assert result.status == 1 and bad(result) == {"clock", "processes"}
    assert "ahead of this machine's" in one_bad(result, "clock")
    assert one_bad(result, "processes").startswith("Different hosts: ")


@pytest.fixture
def released(site):
    """A process of release 1.4.3 that waits for requests of the site."""
    process = subprocess.Popen(
        [environment.python(), "-c", RELEASED] + [server.url for server in site.servers], cwd=tempfile.gettempdir(),
        env=environment.variables(), close_fds=True,
    )
    yield process
    process.kill()
    process.wait()


def test_a_worker_of_release_1_4_leaves_no_record_but_its_connection_shows(site, released):
    def noticed():
        result = check(site)
        assert (result.status, bad(result)) == (0, set())
        return [text for level, _, text in verdicts(result, "clients") if level == "note"]

    text, = eventually(noticed, "the client is found")  # while it turns to the next shard, it waits on none
    assert text.startswith("1 client waits in BLPOP without a record, from release 1.4")


def test_a_worker_with_another_key(site):
    pytest.importorskip("cryptography")
    right = site.channel_layer
    site.channel_layer = layer_on(right["CONFIG"]["hosts"], symmetric_encryption_keys=["other"])
    try:
        worker = site.start(Worker)
    finally:
        site.channel_layer = right
    layer = RedisChannelLayer(**right["CONFIG"])
    eventually(lambda: len(layer.processes()) == 4, "the worker has written its record")
    result = check(site)
    worker.kill()
    assert result.status == 1 and bad(result) == {"processes"}
    text = one_bad(result, "processes")
    assert re.search(r"Different encryption keys: [0-9a-f]+ in \S+:%d; none in " % worker.process.pid, text)
    assert "none here" in text


def test_a_shard_that_was_killed(site):
    killed = site.servers[1]
    killed.kill()
    result = check(site)
    assert result.status == 2 and "reachable" in bad(result)
    assert "127.0.0.1:%d" % killed.port in one_bad(result, "reachable")
    assert len(verdicts(result, "role")) == 2
    stats = in_a_pipe(site, "stats")
    assert stats.status == 1 and row(stats.out, "2")[1:3] == ["127.0.0.1:%d" % killed.port, "ERROR"]
    killed.start()
