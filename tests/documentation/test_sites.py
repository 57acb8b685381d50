"""Blocks that start a site: Daphne and workers run, and a page comes through both."""
import configparser
import re
import shutil
import subprocess

import pytest
import yaml

from asgi_redis.tools.embedded import Server

from .blocks import ROOT, commands_of, of_kind

HELLO = "Hello from mysite."

#: What a test's supervisor has besides the programs of the documentation.
SUPERVISOR = """
[supervisord]
nodaemon=true
[unix_http_server]
file=%(folder)s/socket
[supervisorctl]
serverurl=unix://%(folder)s/socket
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""


def test_commands(make_project):
    (settings,) = (block for block in of_kind("settings") if block.document == "docs/getting-started.rst")
    (block,) = of_kind("site")
    with Server() as gone:  # its port is free
        pass
    project = make_project(settings.text, port=gone.port)
    with project.start(commands_of(block.text)) as site:
        assert site.wait_for_page(project.address) == HELLO


# systemd. It does not run here, but verifies units, and enables them in a folder.


@pytest.fixture
def units(project):
    """The folder with the units of the documentation, by the paths in their first lines."""
    for block in of_kind("units"):
        path = project.folder / re.match("# /(.+)", block.text).group(1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(project.fill(block.text))
    return project.folder / "etc" / "systemd" / "system"


needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd's programs")


@needs_systemd
@pytest.mark.parametrize("name", ["mysite-daphne.service", "mysite-worker@1.service"])
def test_systemd_verifies_units(units, name):
    if "@" in name:
        (units / "mysite-worker@.service").rename(units / name)
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(units / name)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        universal_newlines=True,
    )
    assert [line for line in verified.stdout.splitlines() if str(units) in line or name in line] == []


@needs_systemd
def test_systemd_enables_units(units, project):
    (block,) = of_kind("systemctl")
    command = commands_of(block.text).replace("systemctl enable --now", "systemctl --root=%s enable" % project.folder)
    assert project.run(command).returncode == 0
    enabled = {path.name for path in (units / "multi-user.target.wants").iterdir()}
    assert enabled == {name + ".service" for name in re.findall(r"mysite-\S+", block.text)}


def test_what_units_start(units, project):
    commands = []
    for unit in sorted(units.iterdir()):
        parser = configparser.ConfigParser(interpolation=None)
        parser.optionxform = str
        parser.read(str(unit))
        service = parser["Service"]
        commands.append("(cd %s && exec %s) &" % (service["WorkingDirectory"], service["ExecStart"]))
    with project.start("\n".join(commands)) as site:
        assert site.wait_for_page(project.address) == HELLO


# Others.


def test_supervisor(project):
    (block,) = of_kind("supervisor")
    configuration = project.folder / "supervisord.conf"
    configuration.write_text(project.fill(block.text + "\n") + SUPERVISOR % {"folder": project.folder})
    with project.start("exec supervisord -c supervisord.conf") as site:
        assert site.wait_for_page(project.address) == HELLO
        states = [line.split()[:2] for line in project.run("supervisorctl status || true").stdout.splitlines()]
        assert states == [["daphne", "RUNNING"], ["worker:worker-0", "RUNNING"], ["worker:worker-1", "RUNNING"]]


def test_compose_file_is_valid(project):
    """Docker is not here: its file is compared with the schema, and its commands are run without it, see below."""
    (block,) = of_kind("compose")
    (project.folder / "compose.yaml").write_text(block.text)
    result = project.run("check-jsonschema --builtin-schema vendor.compose-spec compose.yaml")
    assert result.returncode == 0, result.stdout
    services = yaml.safe_load(block.text)["services"]
    assert all(name in services for service in services.values() for name in service.get("depends_on", []))


def test_what_compose_starts(make_project):
    (block,) = of_kind("compose")
    (settings,) = (found for found in of_kind("settings") if found.title == "Docker Compose")
    services = yaml.safe_load(block.text)["services"]
    with Server() as gone:  # its port is free
        pass
    project = make_project(settings.text, port=gone.port)
    (url,) = {service["environment"]["REDIS_URL"] for service in services.values() if "environment" in service}
    commands = "".join("%s &\n" % service["command"] for service in services.values())
    with project.start(commands, REDIS_URL=project.fill(url)) as site:
        assert site.wait_for_page(project.address) == HELLO


def test_chat_by_hand(project, servers):
    (block,) = of_kind("chat by hand")
    commands = "".join("%s &\n" % line for line in block.text.splitlines())
    with project.start(commands, ROOT / "examples" / "chat", CHAT_HOSTS=servers[0].url) as site:
        assert "<html" in site.wait_for_page(project.address)
