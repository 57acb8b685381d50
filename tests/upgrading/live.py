"""A site on release 1.4.3 in an environment of its own: one Daphne, workers, a script that sends, each a process."""
import collections
import json
import os
import shlex
import time

from asgi_redis.tools.embedded import free_port

from ..integration import processes
from ..integration.processes import SITE
from .environments import shell_variables

SEND_NUMBERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "send_numbers.py")

#: A process that was ended: when it was told to, and when it had.
Ended = collections.namedtuple("Ended", "name release told ended")


class Sender(processes.Process):
    """``send_numbers.py``: ``path`` is the file in which it writes what it has sent."""

    def __init__(self, name, environment, folder, python, first):
        self.path = os.path.join(folder, name + ".sent")
        command = [python, SEND_NUMBERS, self.path, str(first)]
        super().__init__(name, command, dict(environment, PYTHONPATH=SITE), folder)

    def started(self):
        return os.path.exists(self.path) and os.path.getsize(self.path) > 0


class LiveSite(object):
    """
    The processes of a site, which run what is installed in ``environment`` when they start.

    ``folder``: an empty one, for logs and notes. ``release``: what is installed. ``ended``: a list of ``Ended``.
    """

    def __init__(self, environment, url, folder):
        self.folder, self.environment = str(folder), environment
        self.python, self.port = str(environment.bin / "python"), free_port()
        # Nothing reads http.disconnect.
        config = {"hosts": [url], "capacity": 1000, "channel_capacity": {"http.disconnect": 1000000}}
        layer = {"BACKEND": "asgi_redis.RedisChannelLayer", "CONFIG": config}
        self.own = {
            "DJANGO_SETTINGS_MODULE": "settings", "PYTHONUNBUFFERED": "1",
            "SITE_CHANNEL_LAYER": json.dumps(layer), "SITE_SESSIONS": self.folder,
        }
        self.started, self.current, self.ended = [], {}, []
        self.run("true")

    def run(self, commands):
        """Run commands of the documentation in the site's folder."""
        exports = ["export %s=%s" % (name, shlex.quote(value)) for name, value in self.own.items()]
        output = self.environment.run("\n".join(exports + ["cd " + shlex.quote(SITE), commands]))
        self.release = self.environment.installed()["asgi-redis"]
        return output

    def start(self, name):
        """Start a process: ``daphne``, ``worker 1`` and so on, or ``sender``."""
        variables = dict(shell_variables(self.environment.bin), **self.own)
        turn = len(self.started)
        place = ("%s, %s, %d" % (name, self.release, turn), variables, self.folder)
        if name == "daphne":
            process = processes.Daphne(*place, python=self.python, port=self.port)
        elif name == "sender":
            process = Sender(*place, python=self.python, first=turn * 1000000)
        else:
            process = processes.Worker(*place, python=self.python)
        process.release = self.release
        self.started.append(process)
        self.current[name] = process
        process.wait()

    def end(self, name):
        process, told = self.current.pop(name), time.time()
        process.stop()
        self.ended.append(Ended(process.name, process.release, told, time.time()))

    def restart(self, name):
        self.end(name)
        self.start(name)

    def sent(self):
        """{number: when it was sent} of the messages of the script."""
        return {
            int(number): float(begun)
            for process in self.started if isinstance(process, Sender)
            for number, begun in whole_lines(process.path)
        }

    def noted(self):
        """Counter of (number, release of the worker that got it)."""
        paths = [os.path.join(self.folder, name) for name in os.listdir(self.folder) if name.endswith(".notes")]
        return collections.Counter((int(number), release) for path in paths for number, release in whole_lines(path))

    def kill(self):
        for process in self.started:
            process.kill()


def whole_lines(path):
    with open(path, encoding="ascii") as file:
        return [line.split() for line in file if line.endswith("\n")]
