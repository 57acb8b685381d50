"""What is in the wheel and the sdist, and that PyPI would show the README."""
from __future__ import unicode_literals

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
    str(path.relative_to(ROOT)) for path in (ROOT / "asgi_redis").rglob("*") if path.suffix in (".py", ".lua")
}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distributions")
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)], check=True)
    return folder


def test_the_wheel_holds_the_package_and_its_scripts(distributions):
    (wheel,) = distributions.glob("*.whl")
    assert wheel.name == "asgi_redis-%s-py2.py3-none-any.whl" % asgi_redis.__version__
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in names if ".dist-info/" not in name} == PACKAGE_FILES
    assert any(name.endswith("LICENSE") for name in names)


def test_the_sdist_holds_all_that_the_checks_need(distributions):
    (sdist,) = distributions.glob("*.tar.gz")
    names = {name.split("/", 1)[1] for name in tarfile.open(sdist).getnames() if "/" in name}
    assert names >= PACKAGE_FILES | {
        "README.rst", "SECURITY.rst", "LICENSE", "CHANGELOG.txt", "tox.ini", "tests/servers.py",
        "examples/chat/chat/static/chat/uplot/LICENSE",
    }


def test_the_readme_renders(distributions):
    files = [str(path) for path in distributions.iterdir()]
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict"] + files, check=True)


def test_contributing_says_of_each_dependency_why_it_is_there(distributions):
    (wheel,) = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith("/METADATA"))
        metadata = file.read(name).decode("utf-8")
    required = set(re.findall(r"^Requires-Dist: ([\w-]+)", metadata, re.MULTILINE))
    table = (ROOT / "CONTRIBUTING.rst").read_text(encoding="utf-8").split("\nDependencies\n")[1]
    assert "redis" in required
    assert {name for name in required if "``%s``" % name.replace("-", "_") not in table} == set()
