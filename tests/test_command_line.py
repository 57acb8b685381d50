"""``asgi-redis``: which layer it works on, messages, groups, flush, and its end."""
from __future__ import unicode_literals

import json
import re
import signal
import subprocess
import time

import pytest

from asgi_redis import RedisChannelLayer, __version__
from asgi_redis.tools.embedded import free_port
from asgi_redis.tools.messages import shown

from . import servers
from .commands import command, end, run, start, start_program
from .conftest import needs_cluster
from .terminals import Terminal
from .troubles import Silent

SECRET = "s3cr3t"


@pytest.fixture
def target(layer):
    """The options for ``layer``."""
    return ["--prefix", layer.prefix, "--stats-prefix", layer.stats_prefix, "--hosts"] + servers.hosts()


@pytest.fixture
def gone():
    return "redis://127.0.0.1:%d/0" % free_port()


def error_of(*arguments, **options):
    """Run a command that must end with status 2, and one line on standard error. Returns that line."""
    result = run(*arguments, **options)
    assert result.status == 2 and len(result.err.splitlines()) == 1, result
    return result.err.rstrip("\n")


# The command itself.


@pytest.mark.parametrize("arguments", [[], ["other"], ["send"], ["group"], ["receive"], ["stats", "--watch", "0"]])
def test_wrong_arguments(arguments):
    result = run(*arguments)
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("usage: asgi-redis")


def test_version():
    result = run("--version")
    assert result.status == 0
    assert (result.out + result.err).strip() == "asgi_redis " + __version__  # argparse of Python 2 uses the other


#: A command that a signal ends before all is written.
ENDED = """
import argparse, signal, sys
from asgi_redis import __main__
from asgi_redis.tools.signals import Stopped

def command(options, screen, signals):
    screen.write("text")
    sys.stdin.read()
    raise Stopped(signal.SIGTERM)

parser = argparse.ArgumentParser()
parser.set_defaults(run=command)
__main__.make_parser = lambda: parser
sys.exit(__main__.main([]))
"""


def test_the_exit_status_is_that_of_the_signal_even_if_the_reader_is_gone():
    process = start_program(ENDED, **dict.fromkeys(["stdin", "stdout", "stderr"], subprocess.PIPE))
    process.stdout.close()
    process.stdin.close()
    assert process.stderr.read() == b""
    assert process.wait() == 128 + signal.SIGTERM


@pytest.mark.parametrize("words", [["check"], ["stats"], ["send"], ["receive"], ["group", "list"], ["flush"], ["demo"]])
def test_help_tells_the_exit_statuses(words):
    assert "Exit status: 0" in command(*words + ["--help"])


# Messages.


def test_send(layer, target):
    assert command("send", "normal", '{"text": "h\\u00e9llo", "n": [1, null]}', *target) == ""
    assert layer.receive(["normal"]) == ("normal", {"text": "h\u00e9llo", "n": [1, None]})


def test_send_from_standard_input(layer, target):
    assert command("send", "normal", "-", *target, text='{"text": "h\u00e9llo"}') == ""
    assert layer.receive(["normal"]) == ("normal", {"text": "h\u00e9llo"})


@pytest.mark.parametrize("message, reason", [
    ("{", "not JSON"), ("[1]", "must be a JSON object"), ('{"__asgi_channel__": 1}', "must not have the key"),
])
def test_a_bad_message(target, message, reason):
    assert reason in error_of("send", "normal", message, *target)


def test_a_bad_channel(target):
    assert "'two words'" in error_of("send", "two words", "{}", *target)


def test_a_full_channel(make_layer, target):
    layer = make_layer()
    for _ in range(100):
        layer.send("normal", {})
    result = run("send", "normal", "{}", *target)
    # Python 2 may report on other lines that it ends while the layer's log waits for more.
    assert result.status == 2 and result.err.startswith("asgi-redis send: normal holds 100 messages, its capacity.\n")


def test_receive(layer, target):
    layer.send("normal", {"text": "h\u00e9llo"})
    layer.send("process!x", {"n": 1})
    found = [json.loads(command("receive", "normal", "process!", *target)) for _ in range(2)]
    assert sorted(found, key=lambda each: each["channel"]) == [
        {"channel": "normal", "message": {"text": "h\u00e9llo"}}, {"channel": "process!x", "message": {"n": 1}},
    ]


def test_receive_without_a_message(target):
    result = run("receive", "normal", *target)
    assert (result.status, result.out, result.err) == (1, "", "")


def test_receive_several(layer, target):
    for number in range(5):
        layer.send("normal", {"n": number})
    lines = command("receive", "normal", "--count", "3", *target).splitlines()
    assert [json.loads(line)["message"]["n"] for line in lines] == [0, 1, 2]
    assert layer.channel_statistics("normal")["messages_pending"] == 2


def test_receive_waits(layer, target):
    process = start("receive", "normal", "--wait", *target)
    servers.eventually(lambda: layer.processes() or process.poll() is not None, "it waits")
    layer.send("normal", {"n": 1})
    result = end(process)
    assert (result.status, json.loads(result.out)) == (0, {"channel": "normal", "message": {"n": 1}})


def test_a_message_that_is_nested_too_deeply():
    nested = '{"a": %s%s}' % (100000 * "[", 100000 * "]")
    result = run("send", "normal", "-", "--hosts", "redis://127.0.0.1:1", text=nested)
    assert result.status == 2
    assert "nested too deeply" in result.err and "Traceback" not in result.err


def test_what_json_lacks_is_shown():
    message = {"bytes": b"\xff", 1: [b"x", None], b"key": 1.5, "text": "\u00e9"}
    assert json.loads(json.dumps(shown(message), sort_keys=True)) == {
        "bytes": "b'\\xff'", "1": ["b'x'", None], "b'key'": 1.5, "text": "\u00e9",
    }


def test_receive_tells_of_a_message_that_it_drops(layer, target):
    pytest.importorskip("cryptography")
    RedisChannelLayer(
        hosts=servers.hosts(), prefix=layer.prefix, stats_prefix=layer.stats_prefix, symmetric_encryption_keys=["first"]
    ).send("normal", {"text": SECRET})
    result = run("receive", "normal", *target)
    assert result.status == 1
    assert re.match(r"Dropped 1 message on normal .*: encrypted.*\n", result.err)
    assert SECRET not in result.err


def test_keys_from_the_environment(make_layer, layer, target):
    pytest.importorskip("cryptography")
    command("send", "normal", '{"n": 1}', *target, environ={"ASGI_REDIS_KEYS": "first\nsecond\n"})
    assert make_layer(symmetric_encryption_keys=["first"]).receive(["normal"]) == ("normal", {"n": 1})


# Groups.


def test_groups(layer, target):
    for channel in ("normal", "process!x"):
        assert command("group", "add", "crowd", channel, *target) == ""
    assert command("group", "list", "crowd", *target) == "normal\nprocess!x\n"
    assert command("group", "send", "crowd", '{"n": 1}', *target) == ""
    assert layer.receive(["normal"]) == ("normal", {"n": 1})
    assert command("group", "discard", "crowd", "normal", *target) == ""
    assert layer.group_channels("crowd") == ["process!x"]


def test_a_group_send_tells_of_full_members(make_layer, target):
    layer = make_layer()
    for _ in range(100):
        layer.send("normal", {})
    layer.group_add("crowd", "normal")
    result = run("group", "send", "crowd", "{}", *target)
    assert result.status == 0 and result.err.startswith("Channel normal is full (capacity 100)")


# flush.


def test_flush_asks_nobody_if_there_is_no_terminal(layer, target):
    layer.send("normal", {})
    result = run("flush", *target)
    assert result.status == 2 and "add --yes" in result.err
    assert layer.channel_statistics("normal")["messages_pending"] == 1


def test_flush(layer, target):
    layer.send("normal", {})
    layer.group_add("crowd", "normal")
    out = command("flush", "--yes", *target)
    assert "prefixes %s and %s" % (layer.prefix, layer.stats_prefix) in out
    assert "1 messages in 1 channels, 1 groups with 1 members" in out and out.endswith("Deleted.\n")
    assert layer.receive(["normal"]) == (None, None)


@pytest.mark.parametrize("typed, status, answer", [
    (b"y\n", 0, "Deleted."), (b"n\n", 1, "Nothing"), (b"\x04", 1, "Nothing"),
])
def test_flush_asks(layer, target, typed, status, answer):
    layer.send("normal", {})
    terminal = Terminal(100)
    process = terminal.run(start, "flush", *target)
    while "[y/N] " not in terminal.text:
        assert terminal.read(), terminal.text
    terminal.type(typed)
    while terminal.read():
        pass
    terminal.close()
    assert process.wait() == status
    assert answer in terminal.text and "Traceback" not in terminal.text
    assert layer.channel_statistics("normal")["messages_pending"] == status


def test_flush_deletes_nothing_if_a_shard_is_unavailable(layer, target, gone):
    layer.send("normal", {})
    assert "Nothing was deleted: " in error_of("flush", "--yes", *target + [gone])
    assert layer.channel_statistics("normal")["messages_pending"] == 1


# Unavailable servers.


@pytest.mark.parametrize("words", [
    ["send", "normal", "{}"], ["receive", "normal"], ["receive", "normal", "--wait"],
    ["group", "add", "crowd", "normal"], ["group", "discard", "crowd", "normal"], ["group", "list", "crowd"],
    ["group", "send", "crowd", "{}"], ["flush", "--yes"],
])
def test_an_unavailable_server_is_named(gone, words):
    line = error_of(*words + ["--hosts", gone.replace("//", "//:%s@" % SECRET)])
    assert gone.split("/")[2] in line
    assert line.startswith("asgi-redis %s: " % words[0]) and SECRET not in line


def test_a_server_that_accepts_and_never_replies():
    with Silent() as silent:
        begun = time.time()
        line = error_of("send", "normal", "{}", "--hosts", silent.url)
        assert time.time() - begun < 20
    assert "127.0.0.1:%d" % silent.port in line


def test_sentinels_none_of_which_replies():
    address = "127.0.0.1:%d" % free_port()
    for words in (["stats"], ["send", "normal", "{}"]):
        assert error_of(*words + ["--sentinels", address]).endswith("No Sentinel replies: " + address)


@needs_cluster
def test_a_cluster_none_of_whose_nodes_replies(gone):
    result = run("stats", "--cluster", gone)
    assert result.status == 2 and "Traceback" not in result.err
    assert gone.split("/")[2] in result.out


@pytest.mark.parametrize("words", [
    ["send", "normal", "{}"], ["group", "list", "crowd"], ["check"], ["stats"], ["receive", "normal", "--wait"],
])
def test_ctrl_c_ends_a_command_at_once(words):
    with Silent() as silent:
        process = start(*words + ["--hosts", silent.url])
        servers.eventually(lambda: silent.accepted, "it connects")
        process.send_signal(signal.SIGINT)
        result = end(process)
    assert (result.status, result.err) == (130, "")


# Which layer.


@pytest.mark.parametrize("options, words", [
    (["--hosts", "redis://a", "--sentinels", "b"], "--hosts and --sentinels can't be given together"),
    (["--settings", "x", "--cluster", "redis://b"], "--settings and --cluster can't be given together"),
    (["--services", "alpha"], "--services needs --sentinels"), (["--shards", "2"], "--shards needs --cluster"),
    (["--alias", "other"], "--alias needs --settings"),
    (["--settings", "x", "--stats-prefix", "y"], "--stats-prefix can't be given with --settings"),
    (["--hosts", "http://:%s@localhost" % SECRET], "http://:***@localhost is not the URL"),
    (["--sentinels", "redis://:%s@localhost:26379" % SECRET], "A Sentinel must be HOST:PORT"),
    (["--sentinels", "localhost:%s" % SECRET], "A Sentinel must be HOST:PORT"),
    pytest.param(["--cluster", "redis://localhost", "--shards", "0"], "shards must be", marks=needs_cluster),
    pytest.param(["--cluster", "redis://localhost", "--prefix", "{x}"], "prefix must have no {", marks=needs_cluster),
])
def test_options_that_describe_no_layer(options, words):
    line = error_of("stats", *options)
    assert words in line and SECRET not in line


SETTINGS = """
from __future__ import unicode_literals

CHANNEL_LAYERS = {
    "default": {"BACKEND": "asgi_redis.RedisChannelLayer", "CONFIG": %(config)r},
    "secret": {"BACKEND": "asgi_redis.RedisChannelLayer", "CONFIG": {"hosts": %(secret)r}},
    "other": {"BACKEND": "collections.OrderedDict"},
    "missing": {"BACKEND": "asgi_redis.NoSuchLayer"},
    "nothing": {},
    "dotless": {"BACKEND": "RedisChannelLayer"},
    "wrong": {"BACKEND": "asgi_redis.RedisChannelLayer", "CONFIG": {"capacity": -1}},
}
"""


@pytest.fixture
def project(tmpdir, layer):
    """The folder of a project with settings."""
    config = {"hosts": servers.hosts(), "prefix": layer.prefix, "stats_prefix": layer.stats_prefix}
    config = {str(name): [str(host) for host in value] if name == "hosts" else str(value)
              for name, value in config.items()}
    tmpdir.mkdir("mysite").join("__init__.py").write("")
    tmpdir.join("mysite", "settings.py").write(SETTINGS % {"config": config, "secret": str(SECRET)})
    tmpdir.join("broken.py").write("raise KeyError('DATABASE')")
    return str(tmpdir)


def test_settings_in_the_working_directory(layer, project):
    assert command("send", "normal", '{"n": 1}', "--settings", "mysite.settings", cwd=project) == ""
    assert layer.receive(["normal"]) == ("normal", {"n": 1})


@pytest.mark.parametrize("options, words", [
    (["mysite.settings", "--alias", "unknown"], "no layer unknown in CHANNEL_LAYERS; it has: default, dotless"),
    (["mysite.settings", "--alias", "other"], "collections.OrderedDict, which is not a channel layer of asgi_redis"),
    (["mysite.settings", "--alias", "missing"], "asgi_redis.NoSuchLayer, which is not a channel layer of asgi_redis"),
    (["mysite.settings", "--alias", "nothing"], "is missing"),
    (["mysite.settings", "--alias", "dotless"], "is RedisChannelLayer, which is not a channel layer"),
    (["mysite.settings", "--alias", "wrong"], "capacity must be"),
    (["mysite.settings", "--alias", "secret"], "a list is needed"),
    (["other.settings"], "Run this in the folder of manage.py"),
    (["broken"], "broken can't be imported: KeyError: 'DATABASE'"),
])
def test_settings_that_describe_no_layer(project, options, words):
    line = error_of("check", "--settings", *options, cwd=project)
    assert SECRET not in line
    assert words in line or words == "a list is needed" and "list" in line


# Secrets.


@pytest.mark.parametrize("words", [
    ["check"], ["stats"], ["stats", "--json"], ["send", "normal", "{}"], ["receive", "normal"],
    ["group", "send", "crowd", "{}"], ["flush", "--yes"],
])
@pytest.mark.parametrize("kind", ["--hosts", pytest.param("--cluster", marks=needs_cluster)])
def test_no_command_shows_a_password_or_a_key(words, kind):
    pytest.importorskip("cryptography")
    url = "redis://:%s@127.0.0.1:%d/0" % (SECRET, servers.plain()[0].port)  # which wants none
    for host in (url, url.replace(":%d" % servers.plain()[0].port, ":%d" % free_port())):
        result = run(*words + [kind, host, "--prefix", "secrets:"], environ={"ASGI_REDIS_KEYS": "k3y-" + SECRET})
        assert "Traceback" not in result.err
        assert SECRET not in result.out + result.err
