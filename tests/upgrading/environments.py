"""Environments of their own, in which tests run the commands of the documentation as an operator would."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import docutils.core
import docutils.nodes
import pytest
import virtualenv
from virtualenv.discovery.builtin import get_interpreter

ROOT = Path(__file__).resolve().parents[2]
TALK = Path(__file__).with_name("talk.py")

#: How long a command may take, in seconds: pip may have to compile.
PATIENCE = 300

#: pip's own settings stay, but for those that commands of the documentation make.
LEFT_OUT = ("PYTHONPATH", "PYTHONHOME", "PIP_FIND_LINKS")


def parsed(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    return docutils.core.publish_doctree(text, settings_overrides={"report_level": 5})  # Sphinx has more roles


def literal_blocks(node):
    """Return the literal blocks in a document or a section, a list of texts."""
    return [block.astext() for block in node.findall(docutils.nodes.literal_block)]


def commands(document, title):
    """Return the literal blocks in the section ``title`` of ``document``, a list of texts."""
    (section,) = (node for node in parsed(document).findall(docutils.nodes.section) if node[0].astext() == title)
    return literal_blocks(section)


def upgrading(title):
    return commands("docs/upgrading.rst", title)


class Checkout(object):
    """
    A copy of this checkout in ``folder``, with the wheel that the documentation says to build there.

    ``enter``: commands after which a shell finds that wheel.
    """

    def __init__(self, folder):
        ignored = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")
        shutil.copytree(str(ROOT), str(folder), ignore=ignored)
        (block,) = upgrading("Until release 1.5.0 is on the index")
        (export,) = (line for line in block.splitlines() if line.startswith("export "))
        self.enter = "cd '%s'\n%s\n" % (folder, export)
        run_shell("cd '%s'\n%s" % (folder, block), os.path.dirname(sys.executable))


class Environment(object):
    """An environment of Python ``version``, with that Python's own pip. If there is none, the test is skipped."""

    def __init__(self, version, folder, checkout):
        self.checkout = checkout
        self.bin = folder / "bin"
        if get_interpreter(version, []) is None:
            pytest.skip("needs Python %s" % version)
        virtualenv.cli_run(["--no-seed", "--python", version, str(folder)])
        self.run("python -m ensurepip --default-pip")

    def run(self, command):
        """Run ``command``, one or more lines, in bash, and return what it writes. AssertionError if one fails."""
        return run_shell(self.checkout.enter + command, self.bin)

    def update_pip(self):
        """Do what the documentation says if pip is older than it should be."""
        version = self.run("pip --version").split()[1]
        if tuple(map(int, version.split(".")[:2])) < (19, 3):
            self.run(upgrading("Check first")[0])

    def install_released(self, also=""):
        self.update_pip()
        self.run("pip install asgi_redis==1.4.3 redis==2.10.6 " + also)

    def run_python(self, program):
        """Return (exit status, stdout, stderr) of ``python -c program``."""
        process = subprocess.run(
            [str(self.bin / "python"), "-W", "ignore", "-c", program], cwd=str(self.bin), env=shell_variables(self.bin),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE, universal_newlines=True,
        )
        return process.returncode, process.stdout, process.stderr

    def installed(self):
        """Return {name: version} of what pip says is installed."""
        return {
            line.split("==")[0].lower().replace("_", "-"): line.split("==")[1].split()[0]
            for line in self.run("pip list --format freeze 2>/dev/null").splitlines() if "==" in line
        }

    def talk(self, *arguments):
        """Start ``talk.py``. Return the process."""
        return subprocess.Popen(
            [str(self.bin / "python"), "-W", "ignore", str(TALK)] + list(arguments), cwd=str(self.bin),
            env=shell_variables(self.bin), stdout=subprocess.PIPE, universal_newlines=True,
        )

    def ask(self, *arguments):
        """Send a message, and return the reply: a dict that says what its sender runs."""
        process = self.talk("ask", *arguments)
        try:
            return json.loads(process.communicate(timeout=PATIENCE)[0])
        finally:
            process.kill()


def shell_variables(folder):
    kept = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
    return dict(kept, PATH="%s%s%s" % (folder, os.pathsep, os.environ["PATH"]))


def run_shell(command, folder):
    """Run ``command`` in bash, with the programs in ``folder`` first. Return what it writes to stdout."""
    process = subprocess.run(
        ["bash", "-ec", command], env=shell_variables(folder), timeout=PATIENCE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
    )
    assert not process.returncode, "%s\n%s\n%s" % (command, process.stdout[-3000:], process.stderr[-3000:])
    return process.stdout
