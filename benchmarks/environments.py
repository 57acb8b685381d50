"""The Pythons that are measured, made once below .tox, and the code that runs in them."""
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

from .errors import CannotMeasure

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".tox"

#: Names for code: the published release, and the working tree. Any other name is a revision of this project.
RELEASE = "1.4.3"
THIS = "this"

#: Other projects' packages.
PEERS = ["asgi_ipc", "channels_redis"]

_OLD = [
    "asgi_redis==" + RELEASE,
    "asgiref==1.1.2",
    "redis==2.10.6",
    "msgpack-python==0.5.6",
    "cryptography",
    "six",
]

_SITE = _OLD + ["channels==1.1.8", "daphne==1.4.2", "django==1.11.*"]

#: The last for Python 3.6. Its own pip is too old to install cryptography.
_OLD_TOOLS = ["pip==21.3.1", "setuptools==59.6.0", "wheel==0.37.1"]

#: Stacks: the version of Python, what its pip and the builds need, and the packages. The release is installed in the
#: old ones; other code is put before it by PYTHONPATH, so that both run on the very same packages.
STACKS = {
    "old": ("3.6", _OLD_TOOLS, _OLD),
    "newest": ("3.13", ["pip"], ["asgiref==1.1.2", "redis>=8", "hiredis", "msgpack>=1", "cryptography", "six"]),
    # The release's Daphne waits for replies if there is txredisapi (its extra "twisted"); else it polls.
    "site": ("3.6", _OLD_TOOLS, _SITE + ["txredisapi"]),
    "polling": ("3.6", _OLD_TOOLS, _SITE),
    # Other projects.
    "ipc": ("3.6", _OLD_TOOLS, ["asgi_ipc==1.4.2"] + _OLD[1:]),
    "channels": ("3.13", ["pip"], ["channels_redis>=4", "redis>=8", "hiredis", "msgpack>=1", "cryptography"]),
    # What runs in ``clients``.
    "clients": ("3.13", ["pip"], ["locust>=2", "requests", "websockets>=13"]),
}


def progress(text):
    """Tell the user what is going on."""
    print(text, file=sys.stderr, flush=True)


def variables(code_folder=None):
    """The environment variables of a measured process: of its caller's Python, nothing but ``code_folder``."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return dict(kept, PYTHONPATH=str(code_folder)) if code_folder else kept


def python(stack):
    """The path of the interpreter of ``stack``, a key of ``STACKS``; the environment is made if there is none."""
    version, tools, packages = STACKS[stack]
    interpreter = find_interpreter(version)
    recipe = hashlib.sha1(" ".join([interpreter] + tools + packages).encode()).hexdigest()[:8]
    folder = CACHE / f"benchmarks-{stack}-{recipe}"
    path = folder / "bin" / "python"
    if not (folder / "complete").exists():
        progress(f"Making {folder.relative_to(ROOT)}: Python {version} with {', '.join(packages)}")
        shutil.rmtree(folder, ignore_errors=True)
        _run([interpreter, "-m", "venv", str(folder)])
        _run([str(path), "-m", "pip", "install", "--upgrade"] + tools)
        _run([str(path), "-m", "pip", "install"] + packages)
        (folder / "complete").touch()
    return str(path)


def code_folder(code):
    """The folder that holds the package ``asgi_redis`` of ``code``; None for what is installed: the release, peers."""
    if code == RELEASE or code in PEERS:
        return None
    return ROOT if code == THIS else _extracted(code)


def find_interpreter(version):
    """The path of a Python of ``version`` ("3.6"), from PATH or from pyenv's versions."""
    check = "import venv, ensurepip, sys; print('%d.%d' % sys.version_info[:2])"
    for path in _candidates(version):
        if _output([path, "-c", check]) == version:
            return path
    raise CannotMeasure(
        f"The benchmarks need Python {version} with its venv module: install it, so that it is on the PATH as "
        f"python{version} or among pyenv's versions."
    )


def _candidates(version):
    for folder in os.get_exec_path():
        yield os.path.join(folder, "python" + version)
    pyenv = _output(["pyenv", "root"])
    for folder in sorted(Path(pyenv, "versions").glob(version + ".*")) if pyenv else []:
        yield str(folder / "bin" / "python")


def _extracted(revision):
    """A folder with the package ``asgi_redis`` as it is in the commit ``revision``."""
    commit = _output(["git", "-C", str(ROOT), "rev-parse", "--verify", "--quiet", revision + "^{commit}"])
    if not commit:
        raise CannotMeasure(f"There is no commit {revision} here: the benchmarks need a full clone of the project.")
    folder = CACHE / f"benchmarks-code-{commit[:12]}"
    if not folder.exists():
        archive = subprocess.run(["git", "-C", str(ROOT), "archive", commit, "asgi_redis"], stdout=-1, check=True)
        draft = folder.with_suffix(".draft")
        shutil.rmtree(draft, ignore_errors=True)
        with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
            tar.extractall(str(draft))
        draft.rename(folder)
    return folder


def revision():
    """The commit of the working tree, with a mark if files have changed since; "unknown" outside of a clone."""
    commit = _output(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"])
    changed = _output(["git", "-C", str(ROOT), "status", "--porcelain", "asgi_redis"])
    return (commit or "unknown") + (" with changes" if changed else "")


def _output(command):
    """What ``command`` writes, stripped; None if it can't be run or fails, as pyenv's shims may."""
    try:
        done = subprocess.run(command, stdout=-1, stderr=subprocess.DEVNULL, env=variables(), check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.decode().strip()


def _run(command):
    done = subprocess.run(command, stdout=-1, stderr=subprocess.STDOUT, env=variables())
    if done.returncode:
        output = done.stdout.decode(errors="replace")[-2000:]
        raise CannotMeasure(f"'{' '.join(command)}' failed:\n{output}")
