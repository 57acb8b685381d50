"""``asgi-redis stats``: what it shows of a site, and that it does a server no harm."""
from __future__ import unicode_literals

import json
import os
import re
import signal
import time

import pytest

from asgi_redis import RedisChannelLayer, RedisClusterChannelLayer
from asgi_redis.server.clients import call
from asgi_redis.tools.embedded import Server, free_port
from asgi_redis.tools.stats import run as stats_run
from asgi_redis.tools.stats import scan, text
from asgi_redis.tools.stats.collect import collect
from asgi_redis.tools.stats.prometheus import exposition

from . import commands, servers
from .commands import command, run, start
from .conftest import needs_cluster
from .terminals import Terminal
from .troubles import Silent, is_replica

TOP, END_OF_LINE, END_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


@pytest.fixture(scope="module")
def site():
    """Three shards, two workers that wait, a backlog of 60 messages, a full channel, and two groups."""
    with commands.Site(3, workers=2, expiry=600, channel_capacity={"full": 3}) as running:
        layer = running.layer
        running.begun = time.time()
        for number in range(60):
            layer.send("http.request", {"n": number})
        for number in range(5):
            try:
                layer.send("full", {"n": number})
            except layer.ChannelFull:
                pass
        for number in range(4):
            layer.group_add("crowd", "daphne.response.AbCdEf!%d" % number)
        layer.group_add("pair", "full")
        layer.send_group("crowd", {})
        yield running


@pytest.fixture
def gone():
    return "redis://127.0.0.1:%d/0" % free_port()


def row(out, name):
    """Return the cells of the row of a table that begins with ``name``."""
    line, = re.findall(r"^  +(%s  .*)$" % re.escape(name), out, re.MULTILINE)
    return re.split("  +", line.strip())


# As text.


def test_channels(site):
    out = command("stats", *site.hosts)
    assert row(out, "http.request")[:3] == ["http.request", "60", "100"]
    assert "  100  [######    ]  " in out
    assert row(out, "http.request")[-3:] == ["60", "0", "0"]
    assert row(out, "daphne.response.AbCdEf!")[1:3] == ["4", "100"]
    assert out.index("http.request") < out.index("daphne.response.AbCdEf!")  # fuller ones first


def test_processes(site):
    out = command("stats", *site.hosts)
    assert "Processes (2)" in out
    for worker in site.workers:
        assert re.search(r"^  .* %d  .*  busy$" % worker.process.pid, out, re.MULTILINE)


def test_groups(site):
    out = command("stats", *site.hosts)
    assert "Groups (2)" in out
    assert row(out, "crowd") == ["crowd", "4"] and row(out, "pair") == ["pair", "1"]


def test_members_that_have_expired_are_not_counted(site):
    layer = site.layer
    layer.group_add("old", "gone")
    shard = layer.connection(layer.consistent_hash("old"))
    call(shard, "ZADD", "asgi::group:old", time.time() - layer.group_expiry - 5, "gone")
    assert {"group": "old", "members": 0} in collect(layer)["groups"]
    layer.group_discard("old", "gone")


def test_shards(site):
    out = command("stats", *site.hosts)
    rows = [re.split("  +", line.strip()) for line in out.split("Shards (3)\n")[1].splitlines()[1:]]
    assert [row[:3] for row in rows] == [
        ["%d" % number, "127.0.0.1:%d" % server.port, "ok"] for number, server in enumerate(site.servers, 1)
    ]
    waiting = sum(int(row[3]) for row in rows)
    assert waiting == 60 + 4 + site.layer.channel_statistics("full")["messages_pending"]


def test_a_key_that_is_no_channel_is_left_out(site):
    client = site.layer.connection(0)
    for name in (b"\x1b[2J", b"\xff", b"two words"):
        client.set(b"asgi-meta:" + name + b":messages_count", 1, ex=100)
        call(client, "ZADD", b"asgi::group:" + name, 1, "x")
    found = collect(site.layer)
    assert {channel["channel"] for channel in found["channels"]} >= {"http.request"}
    assert all(re.match(r"[\w.!?-]+$", channel["channel"]) for channel in found["channels"])
    assert [group["group"] for group in found["groups"]] == ["crowd", "pair"]


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_lines_fit_the_terminal(site, columns):
    terminal = Terminal(columns)
    process = terminal.run(start, "stats", *site.hosts)
    while terminal.read():
        pass
    terminal.close()
    assert process.wait() == 0
    lines = terminal.text.replace("\r", "").split("\n")
    assert all(len(line) <= columns for line in lines)
    assert ("[###" in terminal.text) == (columns >= 70)
    request, = [line for line in lines if "http.request" in line]
    assert request.split()[:2] == ["http.request", "60"]


def test_a_long_name_is_shortened_in_the_middle():
    lines = text.table([["channel", "waiting"], ["daphne.response.AbCdEfGh!", "1"]], 26)
    assert lines[1] == "  daphne.r...fGh!        1"


def test_a_list_is_shortened_at_its_end():
    assert text.shortened("http.request, websocket.connect", 20) == "http.request, web..."


def figures(channels=1, processes=1, groups=1, shards=1):
    """Return what ``collect`` would, with that many of each."""
    channel = {"waiting": 3, "capacity": 100, "oldest": 1, "sent": 1234, "full": 0, "dropped": 0}
    record = {
        "host": "vm", "release": "1.5.0", "python": "3.9.18", "redis_py": "7.0.1", "since": 900, "seen": 990,
        "channels": ["http.request", "websocket.connect"],
    }
    shard = {"address": "127.0.0.1:12345", "waiting": 3, "sent": 1234, "groups": 1}
    return {
        "release": "1.5.0", "time": 1000, "is_whole": True,
        "channels": [dict(channel, channel="websocket.connect.%d" % number) for number in range(channels)],
        "processes": [dict(record, process=1000 + number) for number in range(processes)],
        "groups": [{"group": "group%d" % number, "members": 1} for number in range(groups)], "shards": [shard] * shards,
    }


#: Each table's headings, and those that are always there.
HEADINGS = {
    "channel waiting capacity oldest sent full dropped", "host pid release Python redis-py running seen reads",
    "group members", "shard address state waiting sent share groups",
}
KEPT = {"channel", "waiting", "oldest", "host", "pid", "seen", "reads", "group", "members", "shard", "address", "state"}


@pytest.mark.parametrize("columns", [39, 50, 69, 79, 200])
def test_a_narrow_terminal_gets_fewer_columns_but_whole_ones(columns):
    lines = text.tables(figures(), columns=columns)
    assert all(len(line) <= columns for line in lines)
    headings = [line.split() for above, line in zip(lines, lines[1:]) if re.match(r"\w+ \(1\)$", above)]
    assert len(headings) == 4 and KEPT <= set(sum(headings, []))
    assert set(sum(headings, [])) <= set(" ".join(HEADINGS).split())
    assert ({" ".join(words) for words in headings} == HEADINGS) == (columns >= 79)


@pytest.mark.parametrize("height, has_groups", [(22, False), (24, False), (50, True)])
def test_a_low_terminal_gets_fewer_rows_of_groups_then_processes(height, has_groups):
    lines = text.tables(figures(channels=5, processes=20, groups=20, shards=2), height=height)
    assert len(lines) <= height
    assert {"Channels (5)", "Processes (20)", "Groups (20)", "Shards (2)"} <= set(lines)
    assert sum("websocket.connect." in line for line in lines) == 5
    assert any(line.startswith("  group ") for line in lines) == has_groups
    assert any(line.startswith("  ... and ") for line in lines)


def test_a_channel_that_takes_no_messages_is_shown():
    found = figures()
    found["channels"][0].update(waiting=0, capacity=0)
    assert any("websocket.connect.0" in line for line in text.tables(found))


def test_a_long_table_is_cut():
    lines = text.table([["group", "members"]] + [["g%d" % number, "1"] for number in range(100)])
    assert len(lines) == 32 and lines[-1] == "  ... and 70 more"


def test_a_prefix_beyond_ascii(site):
    layer = RedisChannelLayer(hosts=site.config["hosts"], prefix="caf\u00e9*:", stats_prefix="caf\u00e9-meta:")
    layer.send("normal", {})
    options = ["--prefix", layer.prefix.encode("utf-8"), "--stats-prefix", layer.stats_prefix.encode("utf-8")]
    assert row(command("stats", *options + site.hosts), "normal")[1] == "1"


# For programs.


def test_json(site):
    found = json.loads(command("stats", "--json", *site.hosts))
    channels = {channel["channel"]: channel for channel in found["channels"]}
    request = channels["http.request"]
    assert [request[name] for name in ("waiting", "capacity", "sent", "full", "dropped")] == [60, 100, 60, 0, 0]
    assert 0 <= request["oldest"] <= time.time() - site.begun + 1
    assert found["groups"] == [{"group": "crowd", "members": 4}, {"group": "pair", "members": 1}]
    assert {record["process"] for record in found["processes"]} == {worker.process.pid for worker in site.workers}
    assert [shard["address"] for shard in found["shards"]] == ["127.0.0.1:%d" % server.port for server in site.servers]
    assert found["is_whole"] is True


def samples(out):
    """Return {(name, ((label, value), ...)): value}, as Prometheus reads ``out``."""
    parser = pytest.importorskip("prometheus_client.parser")
    found = {}
    for family in parser.text_string_to_metric_families(out):
        for sample in family.samples:
            found[sample[0], tuple(sorted(sample[1].items()))] = sample[2]
    return found


def test_prometheus(site):
    pytest.importorskip("prometheus_client")
    found = samples(command("stats", "--prometheus", *site.hosts))
    request = (("channel", "http.request"),)
    assert found["asgi_redis_messages_waiting", request] == 60
    assert found["asgi_redis_messages_total", request] == 60
    assert found["asgi_redis_capacity", request] == 100
    assert found["asgi_redis_processes", ()] == 2
    assert found["asgi_redis_group_members", ()] == 5
    assert [value for (name, _), value in found.items() if name == "asgi_redis_shard_up"] == [1, 1, 1]


def test_channels_of_processes_share_a_series_for_prometheus(site):
    pytest.importorskip("prometheus_client")
    found = samples(command("stats", "--prometheus", *site.hosts))
    shared = (("channel", "daphne.response.*!"),)
    assert found["asgi_redis_messages_waiting", shared] == 4
    assert not any(name.endswith("_total") and "!" in labels[0][1] for name, labels in found)


def test_prometheus_gets_no_counter_that_falls_because_a_shard_is_unavailable(site, gone):
    pytest.importorskip("prometheus_client")
    result = run("stats", "--prometheus", *site.hosts + [gone])
    found = samples(result.out)
    assert result.status == 1
    assert found["asgi_redis_messages_waiting", (("channel", "http.request"),)] == 60
    assert not any(name.endswith("_total") for name, _ in found)
    address = gone.split("/")[2]
    assert found["asgi_redis_shard_up", (("address", address), ("shard", "4"))] == 0


def test_without_prometheus_client(site, tmpdir):
    tmpdir.join("prometheus_client.py").write("raise ImportError")
    path = os.pathsep.join([str(tmpdir), commands.ROOT])
    result = run("stats", "--prometheus", *site.hosts, environ={"PYTHONPATH": path})
    assert result.status == 2 and "pip install asgi_redis[prometheus]" in result.err


# Troubles.


def test_a_shard_that_is_unavailable(site, gone):
    result = run("stats", *site.hosts + [gone])
    assert result.status == 1 and result.err == ""
    assert row(result.out, "http.request")[1] == "60"
    address = gone.split("/")[2]
    assert "  Shard 4: Error" in result.out and address in result.out


def test_all_shards_are_unavailable(gone):
    result = run("stats", "--hosts", gone, gone)
    assert result.status == 2 and result.err == ""
    assert "Channels (0)" in result.out and "Shard 2: " in result.out


def test_all_shards_are_unavailable_for_json(gone):
    result = run("stats", "--json", "--hosts", gone)
    assert result.status == 2
    assert "error" in json.loads(result.out)["shards"][0]


def test_a_server_that_accepts_and_never_replies(site):
    with Silent() as silent:
        begun = time.time()
        result = run("stats", *site.hosts + [silent.url])
        assert time.time() - begun < 20
    assert result.status == 1
    assert row(result.out, "http.request")[1] == "60"


def test_a_shard_that_wants_a_password(site):
    with Server(["--requirepass", "s3cr3t"]) as server:
        result = run("stats", *site.hosts + [server.url])
    assert result.status == 1 and result.err == ""
    assert row(result.out, "http.request")[1] == "60" and "Processes (2)" in result.out
    assert re.search(r"^  Shard 4: .*127.0.0.1:%d" % server.port, result.out, re.MULTILINE)


def test_a_replica_shows_what_it_has():
    with commands.Site() as site:
        site.layer.send("normal", {})
        with is_replica(site.servers[0]):
            assert row(command("stats", *site.hosts), "normal")[1] == "1"


def test_sentinels():
    with servers.Sentinels(["alpha"]) as running:
        out = command("stats", "--json", "--sentinels", *["%s:%d" % host for host in running.hosts])
    shard, = json.loads(out)["shards"]
    assert "alpha" in shard["address"]


@needs_cluster
def test_a_cluster():
    with servers.Cluster() as running:
        hosts = ["redis://%s:%d" % host for host in running.hosts]
        layer = RedisClusterChannelLayer(hosts=hosts)
        for _ in range(6):
            layer.send("normal", {})
        found = json.loads(command("stats", "--json", "--cluster", *hosts))
    assert [(channel["channel"], channel["waiting"]) for channel in found["channels"]] == [("normal", 6)]
    assert sum(shard["waiting"] for shard in found["shards"]) == 6


# Again and again.


def watched(terminal, process, frames):
    """Read until there are ``frames`` whole frames, and return them, each a list of lines."""
    while terminal.text.count(END_OF_SCREEN) < frames:
        assert terminal.read(), terminal.text
    parts = terminal.text.split(TOP)[1:]
    return [part.partition(END_OF_SCREEN)[0].replace("\r", "").split("\n") for part in parts if END_OF_SCREEN in part]


@pytest.fixture
def watch(site):
    """``watch(columns, rows)`` starts ``stats --watch`` in a terminal; returns both."""
    started = []

    def begin(columns=100, rows=60, hosts=None):
        terminal = Terminal(columns, rows)
        process = terminal.run(start, "stats", "--watch", "0.3", *hosts or site.hosts)
        started.append((terminal, process))
        return terminal, process

    yield begin
    for terminal, process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        terminal.close()


def test_watch_redraws_in_place(watch):
    terminal, process = watch()
    frames = watched(terminal, process, 3)
    assert all(line.endswith(END_OF_LINE) for frame in frames for line in frame)
    assert all(any("http.request" in line for line in frame) for frame in frames)
    assert "\x1b[2J" not in terminal.text  # a screen that is cleared flickers
    assert "sent/s" not in "".join(frames[0]) and "sent/s" in "".join(frames[1])


def test_watch_shows_rates(watch, site):
    terminal, process = watch()
    watched(terminal, process, 1)
    for number in range(20):
        site.layer.send("rate", {"n": number})
    watched(terminal, process, 2)
    site.layer.send("rate", {})
    for _ in range(100):
        frames = watched(terminal, process, terminal.text.count(END_OF_SCREEN) + 1)
        rates = [line.replace(END_OF_LINE, "").split()[-1] for line in frames[-1] if line.startswith("  rate ")]
        if rates and float(rates[0]) > 0:
            return
    raise AssertionError(frames[-1])


@pytest.mark.parametrize("columns, rows", [(60, 10), (100, 15)])
def test_watch_cuts_what_does_not_fit_the_terminal(watch, columns, rows):
    terminal, process = watch(columns, rows)
    for frame in watched(terminal, process, 2):
        assert len(frame) == rows
        assert all(len(line.replace(END_OF_LINE, "")) < columns for line in frame)
        assert re.match(r"\.\.\. and \d+ more lines", frame[-1])


@pytest.mark.parametrize("signum, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_watch_and_leaves_the_terminal_as_it_was(watch, signum, status):
    terminal, process = watch()
    watched(terminal, process, 2)
    if signum == signal.SIGINT:
        terminal.type(b"\x03")
    else:
        process.send_signal(signum)
    while terminal.read():
        pass
    assert process.wait() == status
    assert terminal.text.count("\x1b[?25l") == terminal.text.count("\x1b[?25h") == 1
    assert terminal.text.startswith("\x1b[?1049h") and terminal.text.endswith("\x1b[?25h\x1b[?1049l")
    assert "Traceback" not in terminal.text


def test_watch_goes_on_while_all_shards_are_unavailable(watch, gone):
    terminal, process = watch(hosts=["--hosts", gone])
    frames = watched(terminal, process, 2)
    assert any("ERROR" in line for line in frames[1])


def end_without_reader(process):
    """Close the pipe that ``process`` writes to; return its exit status, and what it wrote to standard error."""
    process.stdout.close()
    process.stdin.close()
    with process.stderr:
        return process.wait(), process.stderr.read()


def test_watch_in_a_pipe_ends_with_its_reader(site):
    process = start("stats", "--watch", "0.2", *site.hosts)
    while b"Shards" not in process.stdout.readline():
        assert process.poll() is None
    assert end_without_reader(process) == (128 + signal.SIGPIPE, b"")


def test_head(site):
    process = start("stats", "--json", *site.hosts)
    assert end_without_reader(process) == (128 + signal.SIGPIPE, b"")


def test_watch_pauses_longer_if_reading_takes_long(monkeypatch):
    now, pauses = [0], []
    monkeypatch.setattr(stats_run, "monotonic", lambda: now[0])

    def reading(layer):
        now[0] += 3
        return {}

    monkeypatch.setattr(stats_run, "collect", reading)
    monkeypatch.setattr(stats_run.time, "sleep", pauses.append)
    readings = stats_run.readings(None, 2)
    for _ in range(3):
        next(readings)
    assert pauses == [12, 12]


# Harmless.


def processor_time(client):
    """Seconds of a processor that the server has used: unlike those of its SLOWLOG, what else runs does not count."""
    used = client.info("cpu")
    return used["used_cpu_user"] + used["used_cpu_sys"]


def test_a_server_with_many_keys_is_not_held_up():
    with commands.Site() as site:
        client = site.layer.connection(0)
        for first in range(0, 200000, 10000):
            client.eval("for n = 1, 10000 do redis.call('SET', KEYS[1] .. n, n) end", 1, "asgi:x%d-" % first)
        site.layer.send("normal", {})
        client.config_resetstat()
        before = processor_time(client)
        found = json.loads(command("stats", "--json", *site.hosts))
        statistics = client.info("commandstats")
        assert [channel["channel"] for channel in found["channels"]] == ["normal"] and found["is_whole"]
        assert "cmdstat_keys" not in statistics
        steps = statistics["cmdstat_scan"]["calls"]
        assert steps >= 2 * 200000 // scan.KEYS_AT_ONCE * 0.9  # a server may look at some more in a step
        assert processor_time(client) - before < 0.001 * steps


def test_a_server_with_very_many_keys_is_sampled(site, monkeypatch):
    monkeypatch.setattr(scan, "KEYS_AT_ONCE", 1)
    monkeypatch.setattr(scan, "MOST_STEPS", 1)
    found = collect(site.layer)
    assert not found["is_whole"]
    assert "so many keys that only some were looked at" in "\n".join(text.tables(found))


def test_exposition_of_nothing():
    pytest.importorskip("prometheus_client")
    found = {"channels": [], "groups": [], "processes": [], "shards": []}
    assert samples(exposition(found)) == {
        ("asgi_redis_processes", ()): 0, ("asgi_redis_groups", ()): 0, ("asgi_redis_group_members", ()): 0,
    }
