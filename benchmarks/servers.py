"""The servers of a run, on free ports of 127.0.0.1: a plain one, a Sentinel that watches it, a cluster of one node."""
import importlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from .errors import CannotMeasure

#: How long, in seconds, a server may take to start.
PATIENCE = 60

#: How long, in seconds, the nodes of a large cluster may take to meet.
AGREEMENT = 120

#: The bus of a cluster node listens at its port + 10000.
CLUSTER_PORTS = 55000


def server_binary():
    """
    The path of a server: what ASGI_REDIS_SERVER names, else ``redis-server`` or ``valkey-server`` on the path, else
    the one that ``asgi_redis[embedded]`` brings, if this Python has it.
    """
    found = os.environ.get("ASGI_REDIS_SERVER") or shutil.which("redis-server") or shutil.which("valkey-server")
    if found:
        return found
    try:
        return importlib.import_module("asgi_redis.tools.embedded").server_binary()
    except Exception:  # no such module, none of its dependencies, or no server
        pass
    raise CannotMeasure("There is no Redis server here: install redis-server, or name one in ASGI_REDIS_SERVER.")


def free_port():
    """A TCP port on 127.0.0.1 that no process uses now, nor the one for the bus of a cluster node."""
    while True:
        with socket.socket() as probe, socket.socket() as bus:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            if port < CLUSTER_PORTS:
                try:
                    bus.bind(("127.0.0.1", port + 10000))
                except OSError:
                    continue
                return port


def keep_on(process, processors):
    """Let ``process``, a ``Popen``, run on ``processors`` only, a set of numbers, if the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process.pid, processors)


def processors():
    """The set of processors that this process may use; empty if the system can't tell."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def ask(port, *words):
    """The first line of the server's reply to a command; its first 64 kB for a reply of several lines."""
    parts = [str(word).encode() for word in words]
    request = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(request)
        return connection.recv(65536).decode()


class Server:
    """
    A server process, from ``__init__`` to ``stop``, with nothing on disk that outlives it.

    ``options``: further words of its command line.
    """

    def __init__(self, *options):
        self.port = free_port()
        self.folder = tempfile.mkdtemp(prefix="asgi_redis-benchmarks-")
        words = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", self.folder]
        self._start(words + ["--save", "", "--appendonly", "no"] + list(options))

    def _start(self, words):
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = subprocess.Popen([server_binary()] + words, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while not self._is_up():
            if self.process.poll() is not None or time.monotonic() > deadline:
                log = Path(self.folder, "log").read_text(errors="replace")
                self.stop()
                raise CannotMeasure("The Redis server does not start:\n" + log)
            time.sleep(0.02)

    def _is_up(self):
        try:
            return ask(self.port, "PING").startswith("+PONG")
        except OSError:
            return False

    def stop(self):
        """End the process and remove its files."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class SentinelServer(Server):
    """A Sentinel that knows ``master``, a ``Server``, by the service name "benchmarks"."""

    def __init__(self, master):
        self.port = free_port()
        self.folder = tempfile.mkdtemp(prefix="asgi_redis-benchmarks-")
        config = os.path.join(self.folder, "sentinel.conf")
        lines = ["port %d" % self.port, "bind 127.0.0.1", "sentinel monitor benchmarks 127.0.0.1 %d 1" % master.port]
        Path(config).write_text("\n".join(lines) + "\n")
        self._start([config, "--sentinel"])


class Several:
    """
    Plain servers that are the shards of one layer, from ``__init__`` to ``stop``. ``servers``: a list of ``Server``.
    ``layer``: as of ``Servers.layer``; its "port" is that of the first.
    """

    def __init__(self, count):
        self.servers = []
        while len(self.servers) < count:
            self.servers.append(Server())
        hosts = [f"redis://127.0.0.1:{server.port}/0" for server in self.servers]
        self.layer = {
            "backend": "asgi_redis.RedisChannelLayer", "arguments": {"hosts": hosts}, "port": self.servers[0].port,
        }

    def stop(self):
        for server in self.servers:
            server.stop()


class Cluster:
    """
    A Redis Cluster of ``masters`` without replicas, from ``__init__`` to ``stop``. ``servers``: as of ``Several``.

    ``layer(shards)``: as of ``Servers.layer``.
    """

    def __init__(self, masters):
        self.servers = []
        try:
            while len(self.servers) < masters:
                self.servers.append(Server("--cluster-enabled", "yes", "--cluster-node-timeout", "2000"))
            self._join()
            for server in self.servers:  # the shorter it is, the sooner nodes meet, and the more they talk
                ask(server.port, "CONFIG", "SET", "cluster-node-timeout", 15000)
        except BaseException:
            self.stop()
            raise

    def _join(self):
        count = len(self.servers)
        for number, server in enumerate(self.servers):
            slots = range(number * 16384 // count, (number + 1) * 16384 // count)
            for words in (
                ["ADDSLOTS", *slots], ["SET-CONFIG-EPOCH", number + 1], ["MEET", "127.0.0.1", self.servers[0].port],
            ):
                ask(server.port, "CLUSTER", *words)
        deadline = time.monotonic() + AGREEMENT
        while not all(self._is_whole(server) for server in self.servers):
            if time.monotonic() > deadline:
                raise CannotMeasure(f"The {count} nodes of a cluster have not met within {AGREEMENT} seconds.")
            time.sleep(0.2)

    def _is_whole(self, server):
        info = ask(server.port, "CLUSTER", "INFO")
        return "cluster_state:ok" in info and f"cluster_known_nodes:{len(self.servers)}\r" in info

    def layer(self, shards):
        port = self.servers[0].port
        arguments = {"hosts": [f"redis://127.0.0.1:{port}"], "shards": shards}
        return {"backend": "asgi_redis.RedisClusterChannelLayer", "arguments": arguments, "port": port}

    def stop(self):
        for server in self.servers:
            server.stop()


class Servers:
    """
    The servers of a run, each started when it is first needed; stopped at the end of a ``with`` block.

    ``layer(kind)`` is what a measured process needs to make a layer: ``{"backend": "module.class", "arguments": dict,
    "port": that of the server whose CPU time counts}``. Kinds: "plain", "sentinel", "cluster", "sharded" (four
    databases of the plain one), "shards-N" (N servers, with their "ports"); and those of other projects' layers,
    "core", "pubsub" and "ipc".
    """

    def __init__(self):
        self._running = {}

    def get(self, kind):
        if kind not in self._running:
            self._running[kind] = getattr(self, "_" + kind)()
        return self._running[kind]

    def _plain(self):
        return Server("--databases", "64")

    def _sentinel(self):
        return SentinelServer(self.get("plain"))

    def _cluster(self):
        node = Server("--cluster-enabled", "yes")
        ask(node.port, "CLUSTER", "ADDSLOTS", *range(16384))
        deadline = time.monotonic() + PATIENCE
        while "cluster_state:ok" not in ask(node.port, "CLUSTER", "INFO") and time.monotonic() < deadline:
            time.sleep(0.05)
        return node

    def _shards(self, count):
        names = [f"shard-{number}" for number in range(count)]
        for name in names:
            if name not in self._running:
                self._running[name] = Server()
        ports = [self._running[name].port for name in names]
        urls = [f"redis://127.0.0.1:{port}" for port in ports]
        return {
            "backend": "asgi_redis.RedisChannelLayer", "arguments": {"hosts": urls}, "port": ports[0], "ports": ports,
        }

    def layer(self, kind):
        if kind.startswith("shards-"):
            return self._shards(int(kind.partition("-")[2]))
        plain = self.get("plain").port
        port = self.get(kind).port if kind in ("sentinel", "cluster") else plain
        urls = [f"redis://127.0.0.1:{port}/{number}" for number in range(4)]
        sentinel = {"hosts": [["127.0.0.1", port]], "services": ["benchmarks"]}
        backend, arguments = {
            "plain": ("asgi_redis.RedisChannelLayer", {"hosts": urls[:1]}),
            "sharded": ("asgi_redis.RedisChannelLayer", {"hosts": urls}),
            "sentinel": ("asgi_redis.RedisSentinelChannelLayer", sentinel),
            "cluster": ("asgi_redis.RedisClusterChannelLayer", {"hosts": urls[:1], "shards": 1}),
            "core": ("channels_redis.core.RedisChannelLayer", {"hosts": urls[:1]}),
            "pubsub": ("channels_redis.pubsub.RedisPubSubChannelLayer", {"hosts": urls[:1]}),
            "ipc": ("asgi_ipc.IPCChannelLayer", {}),
        }[kind]
        return {"backend": backend, "arguments": arguments, "port": port if kind == "cluster" else plain}

    def empty(self):
        """Delete all data, between two rows."""
        for kind, server in self._running.items():
            if kind != "sentinel":
                ask(server.port, "FLUSHALL")

    def keep_on(self, processors):
        """Let the servers run on these processors only."""
        for server in self._running.values():
            keep_on(server.process, processors)

    def version(self):
        """Name and version of the server, as "redis 7.0.15"."""
        info = dict(line.split(":", 1) for line in ask(self.get("plain").port, "INFO", "server").split() if ":" in line)
        if "valkey_version" in info:
            return "valkey " + info["valkey_version"]
        return "redis " + info["redis_version"]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for server in self._running.values():
            server.stop()
