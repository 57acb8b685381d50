import getpass
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from asgi_redis.tools.embedded import Server, free_port

from ..tls import Authority, TlsServer
from .blocks import fill, of_kind
from .processes import PATIENCE, Processes

SITE = Path(__file__).with_name("site")

PROGRAMS = os.path.dirname(sys.executable)


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    """
    Two servers. The first also has TLS, a unix socket, the user of the documentation, who may do little, and one with
    the name ``user``, who may do everything.
    """
    folder = tmp_path_factory.mktemp("server")
    authority = Authority(str(folder), "authority")
    (line,) = (block.text for block in of_kind("users"))
    (folder / "users").write_text(line + "\nuser user on >password ~* +@all\n")
    first, second = TlsServer(authority, authority.issue("server")), Server()
    first.authority, first.socket = authority, str(folder / "socket")
    first.options += ["--aclfile", str(folder / "users"), "--unixsocket", first.socket]
    with first, second:
        yield first, second


@pytest.fixture(scope="session")
def given(servers, tmp_path_factory):
    """What a reader replaces: see ``REPLACED``."""
    first, second = servers
    return {
        "port": first.port, "other_port": second.port, "tls_port": first.tls_port, "socket": first.socket,
        "authority": first.authority.path, "server": first.binary, "programs": PROGRAMS, "user": getpass.getuser(),
    }


@pytest.fixture
def make_project(tmp_path, given):
    """Makes a Django project with these settings besides its own: ``make_project(text, **values)``."""
    def make(settings, **values):
        project = Project(tmp_path / "project", dict(given, **dict(values, http_port=free_port())))
        with (project.folder / "mysite" / "settings.py").open("a", encoding="utf-8") as file:
            file.write(project.fill(settings))
        return project

    return make


@pytest.fixture
def project(make_project):
    """A project with the settings of README.rst."""
    (readme,) = (block for block in of_kind("settings") if block.document == "README.rst")
    return make_project(readme.text)


class Project(object):
    """A Django project in ``folder``. ``values``: for ``fill``."""

    def __init__(self, folder, values):
        shutil.copytree(str(SITE), str(folder), ignore=shutil.ignore_patterns("__pycache__"))
        self.folder = folder
        self.values = dict(values, project=folder)
        self.address = "http://127.0.0.1:%d/" % self.values["http_port"]
        self.variables = dict(
            os.environ, PATH=os.pathsep.join([PROGRAMS, os.environ["PATH"]]), PYTHONWARNINGS="ignore",
            REDIS_URL="redis://127.0.0.1:%d/0" % self.values["port"],
        )

    def fill(self, text):
        return fill(text, self.values)

    def run(self, command, text=""):
        """Run ``command`` in a shell in the project's folder, as its user. Return what ``subprocess.run`` does."""
        return subprocess.run(
            ["bash", "-ec", self.fill(command)], cwd=str(self.folder), env=self.variables, input=text, timeout=PATIENCE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
        )

    def start(self, commands, folder=None, **variables):
        """Start ``commands``, for a shell, in the project's folder or ``folder``: ``Processes``."""
        return Processes(self.fill(commands), str(folder or self.folder), dict(self.variables, **variables))
