"""Real servers on free ports, for tests: started when a test first needs them, stopped when the run ends."""
from __future__ import unicode_literals

import atexit
import collections
import contextlib
import functools
import io
import os
import re
import tempfile
import time

import redis

from asgi_redis.server.clients import call
from asgi_redis.tools.embedded import Server

from . import acl

#: How long, in seconds, anything may take.
PATIENCE = 60

#: How long, in seconds, servers may take to find each other. Sentinels that don't at first try again after 12 seconds.
AGREEMENT = 40

#: Where files are kept in memory; None for the usual place.
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None

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


def hosts(count=1, prefix="asgi:", stats_prefix="asgi-meta:"):
    """
    The URLs of ``plain(count)``. With ASGI_REDIS_TEST_USER=1 in the environment they are of a user that may do no more
    than a layer with these prefixes must.
    """
    urls = [server.url for server in plain(count)]
    return [acl.login(url, prefix, stats_prefix) for url in urls] if acl.LIMITED else urls


def client(index=0):
    """A redis-py client of a server of ``plain()``, of the user that may do everything."""
    return redis.StrictRedis.from_url(plain(index + 1)[index].url)


def client_of(layer, index=0):
    """A redis-py client, of the user that may do everything, for the server of a layer's shard."""
    pool = layer.connection(index).connection_pool
    options = {name: value for name, value in pool.connection_kwargs.items() if name not in ("username", "password")}
    copy = redis.ConnectionPool(pool.connection_class, **options)
    copy.original = pool  # with Sentinels, connections have a weak reference to it
    return redis.StrictRedis(connection_pool=copy)


def calls(client):
    """
    {command: how often the server has run it}, those within scripts too.

    EVALSHA counts as EVAL: before Redis 5, a server without replicas counts it so about once a second for each script.
    """
    counted = collections.Counter()
    for name, values in client.info("commandstats").items():
        command = name.split("_", 1)[1].split("|")[0]
        counted["eval" if command == "evalsha" else command] += values["calls"]
    return counted


def message_keys(client, layer):
    """The keys in Redis that hold messages of ``layer``, wait for readers, or are those of groups: a list of texts."""
    kept = re.compile("#origin$|#session#[0-9a-f]+$|#noted$|#presence")
    names = sorted(key.decode("utf-8") for key in client.scan_iter(layer.prefix.replace(":", "[:]") + "*"))
    return [name for name in names if not kept.search(name)]


def eventually(check, what, patience=PATIENCE, pause=0.02):
    """
    Wait until ``check()`` is true; return what it returned. AssertionError with ``what`` after ``patience`` s.

    ``pause``: how many seconds pass between two checks.
    """
    deadline = time.time() + patience
    while time.time() < deadline:
        found = check()
        if found:
            return found
        time.sleep(pause)
    raise AssertionError("It did not come about in %d seconds that %s." % (patience, what))


def start_anew(start, stop):
    """
    Call ``start()``; if its servers don't agree in time, call ``stop()`` and try with new ones, three times in all.

    A Sentinel of other tests that run on this machine looks for its dead servers for as long as it lives. If one of
    ours gets such a port, that Sentinel joins ours, or makes the server a replica of one of its own.
    """
    for remaining in (2, 1, 0):
        try:
            return start()
        except BaseException as error:
            stop()
            if not remaining or not isinstance(error, AssertionError):
                raise


def is_in_sync(replica):
    """Whether ``replica`` has all that its master has; before that it can't take over."""
    try:
        return redis.StrictRedis(port=replica.port).info("replication").get("master_link_status") == "up"
    except redis.ConnectionError:  # a Sentinel ends all connections of a server that it makes a replica
        return False


def agree(check, what):
    """``eventually``, for a ``check()`` that asks several servers which look for each other."""
    return eventually(check, what, AGREEMENT, pause=0.1)


def sync_at_once(server):
    """Have ``server`` send its data to a replica as soon as it asks; Redis 7 waits for others, for five seconds."""
    client, option = redis.StrictRedis(port=server.port), "repl-diskless-sync-delay"
    if client.config_get(option):
        client.config_set(option, 0)
    return server


def keep_in_memory(server):
    """
    Put the folder of ``server`` into memory, if the system has a place for that.

    Sentinels and nodes of a cluster write their state to disk, and wait for that, before they vote. A busy disk takes
    seconds for it, and then nobody is elected.
    """
    server.folder = tempfile.mkdtemp(prefix="asgi_redis", dir=MEMORY)
    return server


class SentinelServer(Server):
    """A Sentinel. ``masters``: {service: Server}."""

    def __init__(self, masters):
        super(SentinelServer, self).__init__()
        self.masters = masters
        keep_in_memory(self)

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

    def ports(self):
        """Where all masters and replicas are."""
        return [server.port for servers in self.servers.values() for server in servers]

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
        start_anew(self._start, self.__exit__)
        return self

    def _start(self):
        for service in self.services:
            master = sync_at_once(Server().start())
            self.servers[service] = [master]
            self.servers[service].append(sync_at_once(Server(["--slaveof", "127.0.0.1", str(master.port)]).start()))
        masters = {service: servers[0] for service, servers in self.servers.items()}
        for _ in range(3):
            self.sentinels.append(SentinelServer(masters).start())
        for service in self.services:
            agree(functools.partial(self._is_complete, service), "the Sentinels know each other")
            replica = self.servers[service][1]
            agree(functools.partial(is_in_sync, replica), "the replica has its master's data")

    def __exit__(self, *error):
        # Masters last: they wait until their replicas have all.
        for server in self.sentinels + [server for servers in self.servers.values() for server in servers[::-1]]:
            server.stop()
        self.servers, self.sentinels = {}, []


class Cluster(object):
    """A Redis Cluster of three masters and a replica of each, from the entry of a ``with`` block to its end."""

    MASTERS = 3

    def __init__(self):
        self.servers = []

    @property
    def hosts(self):
        return [("127.0.0.1", server.port) for server in self.servers]

    def client(self, server):
        return redis.StrictRedis(port=server.port, decode_responses=True)

    def running(self):
        return [server for server in self.servers if server.process]

    def nodes(self, server=None):
        """{port: [id, address, flags, master's id, ...]}, as ``server``, or any that runs, sees them."""
        client = redis.StrictRedis(port=(server or self.running()[0]).port)
        lines = call(client, "CLUSTER", "NODES").decode("ascii").splitlines()
        return {int(line.split()[1].split("@")[0].split(":")[1]): line.split() for line in lines}

    def masters(self):
        """The servers that are masters now."""
        nodes = self.nodes()
        return [server for server in self.running() if "master" in nodes[server.port][2].split(",")]

    def replica_of(self, master):
        nodes = self.nodes()
        return next(server for server in self.running() if nodes[server.port][3] == nodes[master.port][0])

    def master_of_slot(self, slot):
        for server in self.masters():
            for part in self.nodes(server)[server.port][8:]:
                first, _, last = part.partition("-")
                if not part.startswith("[") and int(first) <= slot <= int(last or first):
                    return server

    def _have_met(self):
        """Whether all nodes know all by their ids; each gives others a passing one until they have shaken hands."""
        known = [{port: node[0] for port, node in self.nodes(server).items()} for server in self.servers]
        return len(known[0]) == len(self.servers) and all(ids == known[0] for ids in known)

    def _is_whole(self):
        for server in self.servers:
            info = call(redis.StrictRedis(port=server.port), "CLUSTER", "INFO").decode("ascii")
            flags = [node[2] for node in self.nodes(server).values()]
            if "cluster_state:ok" not in info or len(flags) != 2 * self.MASTERS:
                return False
            if sum("slave" in flag or "replica" in flag for flag in flags) != self.MASTERS:
                return False
        return all(is_in_sync(replica) for replica in self.servers[self.MASTERS:])

    def __enter__(self):
        start_anew(self._start, self.__exit__)
        return self

    def _node(self):
        # Replicas stand for election for as long as it takes, not only while their data is less than 25 seconds old.
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1500", "--cluster-slave-validity-factor", "0"]
        return sync_at_once(keep_in_memory(Server(options)).start())

    def add_node(self):
        """Start one more master, which has no slots yet, and return it."""
        other, added = self.running()[0], self._node()
        self.servers.append(added)

        def is_known():
            if len(self.nodes(added)) == 1:  # they give up a handshake that takes longer than their time-out
                call(redis.StrictRedis(port=added.port), "CLUSTER", "MEET", "127.0.0.1", other.port)
            return all(self._knows_all(server) for server in self.running())

        agree(is_known, "all know it, and it knows all")
        return added

    def _knows_all(self, server):
        info = call(redis.StrictRedis(port=server.port), "CLUSTER", "INFO").decode("ascii")
        return "cluster_state:ok" in info and len(self.nodes(server)) == len(self.servers)

    def _start(self):
        self.servers = [self._node() for _ in range(2 * self.MASTERS)]
        masters, replicas = self.servers[:self.MASTERS], self.servers[self.MASTERS:]
        for number, server in enumerate(masters):
            client = redis.StrictRedis(port=server.port)
            slots = range(number * 16384 // self.MASTERS, (number + 1) * 16384 // self.MASTERS)
            call(client, "CLUSTER", "ADDSLOTS", *slots)
            call(client, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for server in self.servers[1:]:
            call(redis.StrictRedis(port=server.port), "CLUSTER", "MEET", "127.0.0.1", self.servers[0].port)
        agree(self._have_met, "the nodes have met")
        for master, replica in zip(masters, replicas):
            call(redis.StrictRedis(port=replica.port), "CLUSTER", "REPLICATE", self.nodes(master)[master.port][0])
        agree(self._is_whole, "the cluster is whole")

    def __exit__(self, *error):
        for server in self.servers:
            server.stop()
        self.servers = []

    def move_slot(self, slot, target):
        """Move ``slot``, with its keys, to the master ``target``, as ``redis-cli --cluster reshard`` does."""
        with self.moving(slot, target):
            pass

    @contextlib.contextmanager
    def moving(self, slot, target):
        """``move_slot``, of which only the keys are missing inside this ``with`` block; they follow at its end."""
        source = self.master_of_slot(slot)
        ids = {server: self.nodes()[server.port][0] for server in (source, target)}
        clients = {server: redis.StrictRedis(port=server.port) for server in (source, target)}
        call(clients[target], "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        call(clients[source], "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
        try:
            yield
        finally:
            while True:
                keys = call(clients[source], "CLUSTER", "GETKEYSINSLOT", slot, 10)
                if not keys:
                    break
                call(clients[source], "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
            for server in [target, source] + [other for other in self.masters() if other not in (source, target)]:
                call(redis.StrictRedis(port=server.port), "CLUSTER", "SETSLOT", slot, "NODE", ids[target])

    def fail_over(self, master):
        """Kill ``master``; return once its replica has taken over."""
        replica = self.replica_of(master)
        master.kill()
        eventually(lambda: "master" in self.nodes(replica)[replica.port][2], "the replica takes over")


@contextlib.contextmanager
def one_node_cluster():
    """A Redis Cluster of one node, so that none takes over if that hangs: its ``Server``, inside a ``with`` block."""
    with keep_in_memory(Server(["--cluster-enabled", "yes"])) as node:
        client = redis.StrictRedis(port=node.port)
        call(client, "CLUSTER", "ADDSLOTS", *range(16384))
        agree(lambda: b"cluster_state:ok" in call(client, "CLUSTER", "INFO"), "the cluster is whole")
        yield node
