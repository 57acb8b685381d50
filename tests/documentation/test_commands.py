"""Commands of ``asgi-redis``, in blocks and in sentences, and what the documentation shows of their output."""
import re
import signal
import subprocess

import docutils.nodes
import promql_parser
import pytest
import redis
import yaml

from asgi_redis import RedisChannelLayer
from asgi_redis.tools.embedded import Server

from ..servers import eventually, is_in_sync
from .blocks import DOCUMENTS, commands_of, name_of, of_kind, parse

#: Exit statuses of commands that have worked: ``check`` warns, as no worker runs, and ``receive`` may find nothing.
WORKED = (0, 1)

(README,) = (block for block in of_kind("settings") if block.document == "README.rst")


def run(project, command):
    """Run ``command``; one that runs until Ctrl-C, until it has shown something."""
    if "--watch" in command:
        with project.start(command) as watching:
            watching.wait_for_text("Shards (1)")
            return watching.signal(signal.SIGINT)
    result = project.run(command)
    assert result.returncode in WORKED, result.stdout + result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("block", of_kind("command"), ids=name_of)
def test_blocks(project, block):
    for command in commands_of(block.text).splitlines():
        run(project, command)


def inline_commands():
    """Return the commands of ``asgi-redis`` in sentences."""
    found = set()
    for document in DOCUMENTS:
        found |= {" ".join(node.astext().split()) for node in parse(document).findall(docutils.nodes.literal)}
    return sorted(text for text in found if re.match("(asgi-redis|python -m asgi_redis) ", text))


@pytest.mark.parametrize("command", inline_commands())
def test_commands_in_sentences(project, servers, command):
    if " demo" in command:
        command = command.replace("URL", servers[0].url)
    elif "--settings" not in command and " size" not in command:
        command += " --settings mysite.settings"
    run(project, command.replace(" flush", " flush --yes"))  # there is no terminal to ask on


def test_sample_of_check(make_project):
    """A server as that of the sample. Numbers differ, and so do the lengths of lines."""
    (block,) = of_kind("sample")
    with Server(["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"]) as server:
        with Server(["--slaveof", "127.0.0.1", str(server.port)]) as replica:
            eventually(lambda: is_in_sync(replica), "the replica has its master's data")
            redis.StrictRedis(port=server.port).set("large", b"x" * 2 * 10 ** 6)
            project = make_project(README.text, port=server.port)
            output = project.run(commands_of(block.text)).stdout
    sample = " ".join(project.fill(block.text).partition("\n")[2].partition("...")[0].split())
    assert re.match(re.sub(r"\d+", r"\\d+", re.escape(sample)), " ".join(output.split())), output


# For Prometheus.


@pytest.fixture
def crontab():
    """``crontab(project)``: run the command of the line as cron would, and return the file for Prometheus."""
    (block,) = of_kind("crontab")
    fields = block.text.split(None, 5)
    assert fields[:5] == ["*"] * 5 and "%" not in fields[5]  # cron takes a % for the end of the line

    def run(project):
        subprocess.run(
            ["/bin/sh", "-c", project.fill(fields[5])], cwd="/", env={"PATH": "/usr/bin:/bin", "HOME": "/"}, timeout=60
        )
        return (project.folder / "asgi_redis.prom").read_text()

    return run


def test_crontab(project, servers, crontab):
    layer = RedisChannelLayer(hosts=[servers[0].url])
    layer.send("http.request", {})
    assert 'asgi_redis_messages_waiting{channel="http.request"} 1.0' in crontab(project)
    assert [path.name for path in project.folder.glob("asgi_redis.prom*")] == ["asgi_redis.prom"]
    assert layer.receive(["http.request"])[0]


def test_crontab_when_redis_is_unavailable(make_project, crontab):
    with Server() as gone:
        pass
    project = make_project(README.text, port=gone.port)
    assert re.search("^asgi_redis_shard_up{.*} 0.0$", crontab(project), re.MULTILINE)


def test_alerts(project, servers, crontab):
    (block,) = of_kind("alerts")
    layer = RedisChannelLayer(hosts=[servers[0].url])
    layer.send("http.request", {})
    there = crontab(project)
    layer.receive(["http.request"])
    (group,) = yaml.safe_load(block.text)["groups"]
    for rule in group["rules"]:
        assert set(rule) <= {"alert", "expr", "for"}
        assert re.match(r"\d+m$", rule.get("for", "1m"))
        promql_parser.parse(rule["expr"])
        for name, label in re.findall(r"(asgi_redis_\w+)(?:{(\w+)!?=)?", rule["expr"]):
            assert re.search(r"^%s\{.*%s=" % (name, label), there, re.MULTILINE), rule
