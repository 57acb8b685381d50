"""What is in the wheel and the sdist, and what the index would show of them."""
from __future__ import unicode_literals

import collections
import email
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import asgi_redis

ROOT = Path(__file__).parents[2]
PACKAGE_FILES = {
    str(path.relative_to(ROOT)) for path in (ROOT / "asgi_redis").rglob("*")
    if path.suffix in (".py", ".pyi", ".lua", ".typed")
}

Build = collections.namedtuple("Build", "folder output")


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """``folder``: the one with the distributions; ``output``: what was printed while they were made."""
    folder = tmp_path_factory.mktemp("distributions")
    output = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)],
        check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True,
    ).stdout
    return Build(folder, output)


@pytest.fixture(scope="module")
def distributions(build):
    return build.folder


@pytest.fixture(scope="module")
def wheel(distributions):
    (path,) = distributions.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(name))


def test_the_build_uses_nothing_that_a_later_setuptools_will_not_have(build):
    assert "deprecated" not in build.output


def test_the_wheel_is_for_both_pythons(wheel):
    assert Path(wheel.filename).name == "asgi_redis-%s-py2.py3-none-any.whl" % asgi_redis.__version__


def test_the_wheel_holds_the_package_its_scripts_and_its_types(wheel):
    names = set(wheel.namelist())
    assert {name for name in names if ".dist-info/" not in name} == PACKAGE_FILES
    assert {"asgi_redis/py.typed", "asgi_redis/core.pyi"} <= names
    assert any(name.endswith("LICENSE") for name in names)


def test_the_sdist_holds_all_that_the_checks_need(distributions):
    (sdist,) = distributions.glob("*.tar.gz")
    names = {name.split("/", 1)[1] for name in tarfile.open(sdist).getnames() if "/" in name}
    assert names >= PACKAGE_FILES | {
        "README.rst", "SECURITY.rst", "LICENSE", "CHANGELOG.txt", "pyproject.toml", "tox.ini", "docs/requirements.txt",
        "tests/servers.py", "tests/requirements.txt", "tests/typing/allowlist.txt", "tests/typing/stubtest.ini",
        "examples/chat/chat/static/chat/uplot/LICENSE",
    }


def test_the_extras_are_for_users(metadata):
    assert set(metadata.get_all("Provides-Extra")) == {
        "cryptography", "demo", "embedded", "local", "prometheus", "twisted",
    }


def test_the_index_would_accept_them_and_show_the_readme(distributions):
    files = [str(path) for path in distributions.iterdir()]
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict"] + files, check=True)


def test_contributing_says_of_each_dependency_why_it_is_there(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
    metadata = wheel.read(name).decode("utf-8")
    required = set(re.findall(r"^Requires-Dist: ([\w-]+)", metadata, re.MULTILINE))
    table = (ROOT / "CONTRIBUTING.rst").read_text(encoding="utf-8").split("\nDependencies\n")[1]
    assert "redis" in required
    assert {name for name in required if "``%s``" % name.replace("-", "_") not in table} == set()
