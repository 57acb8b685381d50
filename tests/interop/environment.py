"""
The environment that the published release runs in: its redis-py and its msgpack are too old for this library's own.

It is made once, below .tox, or named by ASGI_REDIS_RELEASED_PYTHON: an interpreter that has ``PINS`` installed.
"""
from __future__ import unicode_literals

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

RELEASE = "1.4.3"
REDIS_PY = "2.10.6"
MSGPACK = "0.5.6"

PINS = [
    "asgi_redis==" + RELEASE,
    "redis==" + REDIS_PY,
    "msgpack-python==" + MSGPACK,
    "cryptography",
    # This redis-py imports distutils, which Python has lost in 3.12, and setuptools brings.
    "setuptools<81",
]

#: Versions of Python that were seen to install and run PINS, those with the least warnings first. 3.6's own pip is too
#: old to install cryptography.
PYTHONS = ["3.9", "3.8", "3.7", "3.10", "3.11", "3.12", "3.13"]

VARIABLE = "ASGI_REDIS_RELEASED_PYTHON"
CACHE = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, ".tox")


class NoEnvironment(Exception):
    """The release can't be run here; the text says what to install."""


def python():
    """The path of an interpreter that has the release, installed first where need be. Raises ``NoEnvironment``."""
    if os.environ.get(VARIABLE):
        return os.environ[VARIABLE]
    interpreter = find_interpreter()
    recipe = hashlib.sha1(" ".join([interpreter] + PINS).encode("utf-8")).hexdigest()[:8]
    folder = os.path.join(os.path.realpath(CACHE), "released-%s-%s" % (RELEASE, recipe))
    if not os.path.isdir(folder):
        _make(interpreter, folder)
    return _python_in(folder)


def variables():
    """The environment variables for it: none that could lead its imports to this checkout."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def find_interpreter():
    """The path of a Python that can run the release and make environments."""
    for version in PYTHONS:
        for path in _candidates(version):
            if _output([path, "-c", "import venv, ensurepip, sys; print('%d.%d' % sys.version_info[:2])"]) == version:
                return path
    raise NoEnvironment(
        "The tests against asgi_redis %s need a Python that runs it: install one of %s, with its venv module, so that "
        "it is on the PATH as python3.x or among pyenv's versions; or name, in %s, an interpreter that has %s."
        % (RELEASE, ", ".join(PYTHONS), VARIABLE, " ".join(PINS))
    )


def _candidates(version):
    if "%d.%d" % sys.version_info[:2] == version:
        yield sys.executable
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        yield os.path.join(folder, "python" + version)
    pyenv = _output(["pyenv", "root"])
    versions = os.path.join(pyenv, "versions") if pyenv else ""
    for name in os.listdir(versions) if os.path.isdir(versions) else []:
        if name.startswith(version + "."):
            yield os.path.join(versions, name, "bin", "python")


def _output(command):
    """What ``command`` writes, stripped; None where it is not there or fails, as pyenv's stand-ins may."""
    try:
        with open(os.devnull, "wb") as nowhere:
            return subprocess.check_output(command, stderr=nowhere, env=variables()).decode("utf-8").strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _python_in(folder):
    return os.path.join(folder, *(["Scripts", "python.exe"] if os.name == "nt" else ["bin", "python"]))


def _make(interpreter, folder):
    """Make the environment. It takes its final name when it is whole: another run may be making the same."""
    if not os.path.isdir(os.path.dirname(folder)):
        os.makedirs(os.path.dirname(folder))
    draft = tempfile.mkdtemp(prefix="released-", dir=os.path.dirname(folder))
    try:
        _run([interpreter, "-m", "venv", draft])
        _run([_python_in(draft), "-m", "pip", "install", "--disable-pip-version-check"] + PINS)
        os.rename(draft, folder)
    except OSError:
        if not os.path.isdir(folder):
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _run(command):
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=variables())
    output = process.communicate()[0].decode("utf-8", "replace")
    if process.returncode:
        raise NoEnvironment(
            "'%s' failed. Make it work, or name, in %s, an interpreter that has %s.\n%s"
            % (" ".join(command), VARIABLE, " ".join(PINS), output[-2000:])
        )
