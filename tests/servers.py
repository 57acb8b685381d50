"""Real servers on free ports, for tests: started when a test first needs them, stopped when the run ends."""
from __future__ import unicode_literals

import atexit
import io
import os
import time

import redis

from asgi_redis.embedded import PATIENCE, Server

_plain = []


def plain(count=1):
    """
    ``count`` servers that the tests of this run share; a test that stops a server or sets it up otherwise starts its
    own. Where the machine has no server, the error says what to install.
    """
    while len(_plain) < count:
        server = Server().start()
        atexit.register(server.stop)
        _plain.append(server)
    return _plain[:count]


def hosts(count=1):
    """The URLs of ``plain(count)``."""
    return [server.url for server in plain(count)]


def eventually(check, what):
    """Wait until ``check()`` is true, and return what it returned. AssertionError with ``what`` where it takes long."""
    deadline = time.time() + PATIENCE
    while time.time() < deadline:
        found = check()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("It did not come about in %d seconds that %s." % (PATIENCE, what))


class SentinelServer(Server):
    """A Sentinel. ``masters``: {service: Server}."""

    def __init__(self, masters):
        super(SentinelServer, self).__init__()
        self.masters = masters

    def _launch(self):
        path = os.path.join(self.folder, "sentinel.conf")
        lines = ["port %d" % self.port, "bind 127.0.0.1", 'dir "%s"' % self.folder]
        for service, master in sorted(self.masters.items()):
            lines += [
                "sentinel monitor %s 127.0.0.1 %d 2" % (service, master.port),
                "sentinel down-after-milliseconds %s 1000" % service,
                "sentinel failover-timeout %s 6000" % service,
            ]
        with io.open(path, "w", encoding="utf-8") as config:
            config.write("\n".join(lines) + "\n")
        self._popen([self.binary, path, "--sentinel"])


class Sentinels(object):
    """Three Sentinels over services of a master and a replica each, from the entry of a ``with`` block to its end."""

    def __init__(self, services=("alpha", "beta")):
        self.services = list(services)
        self.servers = {}
        self.sentinels = []

    @property
    def hosts(self):
        return [("127.0.0.1", sentinel.port) for sentinel in self.sentinels]

    def client(self):
        """A redis-py client of a Sentinel that runs."""
        running = [sentinel for sentinel in self.sentinels if sentinel.process]
        return redis.StrictRedis(port=running[0].port, decode_responses=True)

    def master(self, service):
        """The server that is the master now, as the Sentinels see it."""
        port = int(self.client().execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)[1])
        return next(server for server in self.servers[service] if server.port == port)

    def _state(self, service):
        words = self.client().execute_command("SENTINEL MASTER", service)
        return words if isinstance(words, dict) else dict(zip(words[::2], words[1::2]))

    def _is_complete(self, service):
        state = {name: str(value) for name, value in self._state(service).items()}
        replicas = state.get("num-slaves", state.get("num-replicas"))
        return (state["num-other-sentinels"], replicas, state["flags"]) == ("2", "1", "master")

    def __enter__(self):
        try:
            for service in self.services:
                master = Server().start()
                self.servers[service] = [master]
                self.servers[service].append(Server(["--replicaof", "127.0.0.1", str(master.port)]).start())
            masters = {service: servers[0] for service, servers in self.servers.items()}
            for _ in range(3):
                self.sentinels.append(SentinelServer(masters).start())
            for service in self.services:
                eventually(lambda: self._is_complete(service), "the Sentinels know each other")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        for server in self.sentinels + [server for servers in self.servers.values() for server in servers]:
            server.stop()
