"""An msgpack that is broken, or may soon be: what an import of the package says. Each is in a process of its own."""
from __future__ import unicode_literals

import io
import os
import shutil
import subprocess
import sys

import msgpack
import pytest
import six

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COMMAND = "pip install --force-reinstall --no-deps " + ('"msgpack<1"' if six.PY2 else "msgpack")


@pytest.fixture
def folder(tmpdir):
    """A folder with the metadata of both distributions, and an empty package msgpack."""
    for name in ("msgpack", "msgpack-1.0.5.dist-info", "msgpack_python-0.5.6-py3.6.egg-info"):
        os.mkdir(str(tmpdir.join(name)))
    write(str(tmpdir), "")
    return str(tmpdir)


def write(folder, text):
    with io.open(os.path.join(folder, "msgpack", "__init__.py"), "w", encoding="utf-8") as file:
        file.write(text)


def put_whole_msgpack(folder):
    shutil.rmtree(os.path.join(folder, "msgpack"))
    shutil.copytree(os.path.dirname(os.path.abspath(msgpack.__file__)), os.path.join(folder, "msgpack"))


def errors_of(folder, program="import asgi_redis"):
    """Run ``program`` in a process that finds ``folder`` first. Return what it writes to stderr."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", "import logging; logging.basicConfig(); " + program],
        stderr=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=os.pathsep.join([folder, ROOT])),
    )
    return process.communicate()[1].decode("utf-8")


@pytest.mark.parametrize("text", [
    "",
    "Packer = UnpackException = unpackb = None",
    "version = (1, 0, 5); UnpackException = unpackb = None",
    "from msgpack._version import version",
], ids=["empty", "without version", "without Packer", "without a module"])
def test_an_incomplete_one_is_an_import_error_with_the_command_that_mends_it(folder, text):
    write(folder, text)
    last = errors_of(folder).splitlines()[-1]
    assert last.startswith("ImportError: msgpack is missing or incomplete (")
    assert last.endswith("To mend it: " + COMMAND)


def test_both_distributions_in_one_folder_are_one_warning(folder):
    put_whole_msgpack(folder)
    (line,) = errors_of(folder, "import asgi_redis, asgi_redis.codec").splitlines()
    assert line.startswith("WARNING:asgi_redis.whole_msgpack:msgpack and msgpack-python are both installed")
    assert "(msgpack-1.0.5.dist-info, msgpack_python-0.5.6-py3.6.egg-info in %s)" % folder in line
    assert line.endswith("pip uninstall -y msgpack-python && " + COMMAND)


@pytest.mark.parametrize("gone", ["msgpack-1.0.5.dist-info", "msgpack_python-0.5.6-py3.6.egg-info"])
def test_one_distribution_is_no_warning(folder, gone):
    put_whole_msgpack(folder)
    os.rmdir(os.path.join(folder, gone))
    assert errors_of(folder) == ""


def test_what_is_in_other_folders_does_not_count(folder, tmpdir_factory):
    put_whole_msgpack(folder)
    other = str(tmpdir_factory.mktemp("other"))
    shutil.move(os.path.join(folder, "msgpack_python-0.5.6-py3.6.egg-info"), other)
    assert errors_of(os.pathsep.join([folder, other])) == ""
