"""The sites of docs/moving-off.rst: the code on that page, with settings, in two environments, on one Redis."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import asgi_redis

from ..integration.processes import PATIENCE, Daphne, Process, Together, Worker
from ..upgrading.environments import literal_blocks, parsed, shell_variables

PAGE = "docs/moving-off.rst"
HERE = Path(__file__).parent

#: The server in the code of the page.
SERVER = "redis://localhost:6379/0"


def blocks(url):
    """
    Return {path: code} of the blocks that begin with a path as a comment. Their server is ``url``.

    They are in the sections "The old site", "The layer in the new site", "From the new site to the old one"
    and "From the old site to the new one".
    """
    found = {}
    for block in literal_blocks(parsed(PAGE)):
        path = block.splitlines()[0]
        if path.startswith("# "):
            found[path[2:]] = block.replace(SERVER, url)
    return found


class Shout(Process):
    """The command that consumes a channel. A message sent before it has started waits."""

    def started(self):
        return True


class Sites(Together):
    """
    Both sites, from the entry of a ``with`` block to its end.

    ``url``: of the Redis server. ``old_python``: the interpreter of the old site; the new one's is that of the tests.
    """

    def __init__(self, url, old_python, folder):
        self.folder = folder
        self._old_python = str(old_python)
        self.old_variables = dict(
            shell_variables(old_python.parent), DJANGO_SETTINGS_MODULE="mysite.settings", SITE_REDIS=url,
        )
        self.new_variables = dict(
            os.environ, DJANGO_SETTINGS_MODULE="newsite.settings", PYTHONPATH=str(Path(asgi_redis.__file__).parents[1]),
        )
        for name in ("old", "new"):
            shutil.copytree(str(HERE / name), str(folder / name))
        for path, code in blocks(url).items():
            file = folder / ("old" if path.startswith("mysite/") else "new") / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(code, encoding="utf-8")
        self.processes = []

    def begin(self):
        folder, old, new = str(self.folder), str(self.folder / "old"), str(self.folder / "new")
        self.old_daphne = Daphne(
            "old-daphne", self.old_variables, folder, "mysite.asgi:channel_layer", self._old_python, old
        )
        self.new_daphne = Daphne("new-daphne", self.new_variables, folder, "newsite.asgi:application", cwd=new)
        self.processes = [
            self.old_daphne, self.new_daphne,
            Worker("old-worker", self.old_variables, folder, self._old_python, old),
            Shout("new-shout", [sys.executable, "-m", "django", "shout"], self.new_variables, folder, new),
        ]

    def log(self):
        """Return what all processes have written, as text."""
        return "\n".join("%s: %s" % (process.name, line) for process in self.processes for line in process.log())

    def new_url(self, path):
        return "http://127.0.0.1:%d%s" % (self.new_daphne.port, path)

    def command(self, *words):
        """Run a management command of the new site, and return what it writes."""
        return subprocess.run(
            [sys.executable, "-m", "django"] + list(words), cwd=str(self.folder / "new"), env=self.new_variables,
            stdout=subprocess.PIPE, check=True, timeout=PATIENCE, universal_newlines=True,
        ).stdout
