"""The sdist, which pip builds a wheel from in an environment: each Python has a setuptools of its own age."""
import subprocess
import sys

import pytest

from .environments import ROOT


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    subprocess.run([sys.executable, "-m", "build", "--sdist", "--outdir", str(folder), str(ROOT)], check=True)
    (path,) = folder.iterdir()
    return path


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.9", "3.13"])
def test_what_the_sdist_installs_talks_and_has_the_command(make_environment, sdist, serve, url, version):
    environment = make_environment(version)
    environment.update_pip()
    environment.run("pip install '%s'" % sdist)
    assert environment.run("asgi-redis --version 2>&1").splitlines()[-1] == "asgi_redis 1.5.0"
    serve(environment, "here")
    assert environment.ask(url, "here")["release"] == "1.5.0"
