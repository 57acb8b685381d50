"""The faults: each a function of a topology and a ``Harm`` that does it, and returns when it is over."""
from __future__ import unicode_literals

import contextlib
import functools
import signal
import time

from redis.exceptions import ResponseError

from asgi_redis.server.clients import call
from asgi_redis.tools.embedded import Server

from .. import servers, troubles
from .proxy import Cut, Delay, Drop, Hold, Pass
from .topologies import OnCluster, One, OnSentinel, Three, client, hurry

SERVERS = [One, Three]
ALL = [One, Three, OnSentinel, OnCluster]

#: How long most of the faults last, in seconds.
LASTS = 3

#: A cutting proxy swallows one in this many replies.
CUT_EVERY = 25


class Scenario(object):
    """
    ``name``, as in the report; ``do(topology, harm)``: the fault; ``topologies``: where it makes sense; ``routine``:
    on which of them it is part of every run; ``proxied``: whether the traffic goes through proxies.
    """

    def __init__(self, name, do, topologies, routine, proxied):
        self.name = name
        self.do = do
        self.topologies = topologies
        self.routine = routine
        self.proxied = proxied


SCENARIOS = []


def scenario(name, topologies, routine=(), proxied=False):
    def add(do):
        SCENARIOS.append(Scenario(name, do, topologies, routine, proxied))
        return do

    return add


def repeatedly(action, every):
    """Do ``action()`` again and again, ``every`` so many seconds, while the fault lasts."""
    end = time.time() + LASTS
    while time.time() < end:
        action()
        time.sleep(every)


# Servers that end or hang.


@scenario("SIGTERM, restarted empty", ALL)
def restart(topology, harm):
    server = topology.master(topology.victim)
    server.process.terminate()
    server.process.wait()
    harm.forgets(topology.victim, time.time())
    server.start()


@scenario("kill -9, restarted empty", ALL, routine=[One, Three])
def kill(topology, harm):
    server = topology.master(topology.victim)
    server.kill()
    harm.forgets(topology.victim, time.time())
    server.start()


@contextlib.contextmanager
def stopped(server):
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


@scenario("SIGSTOP for 3 s", ALL, routine=[Three])
def stop_for_3(topology, harm):
    with stopped(topology.master(topology.victim)):
        time.sleep(3)


@scenario("SIGSTOP for 10 s", ALL)
def stop_for_10(topology, harm):
    with stopped(topology.master(topology.victim)):
        time.sleep(10)


# Servers that treat their clients badly.


@scenario("CLIENT KILL TYPE normal every 200 ms", ALL, routine=[One])
def client_kill(topology, harm):
    clients = [client(server) for server in topology.masters()]
    repeatedly(lambda: [each.execute_command("CLIENT", "KILL", "TYPE", "normal") for each in clients], 0.2)


@scenario("SCRIPT FLUSH without a pause", ALL)
def script_flush(topology, harm):
    clients = [client(server) for server in topology.masters()]
    repeatedly(lambda: [each.execute_command("SCRIPT", "FLUSH") for each in clients], 0.001)


@scenario("CLIENT PAUSE 3000", ALL)
def client_pause(topology, harm):
    client(topology.master(topology.victim)).execute_command("CLIENT", "PAUSE", 3000)
    time.sleep(3)


@scenario("out of memory", ALL, routine=[One])
def out_of_memory(topology, harm):
    clients = [client(server) for server in topology.masters()]
    for each in clients:
        each.config_set("maxmemory-policy", "noeviction")
        each.config_set("maxmemory", 1)
    time.sleep(LASTS)
    for each in clients:
        each.config_set("maxmemory", 0)


# Servers that reply to reads, but refuse writes.


def refusing(topology, refuses):
    with refuses(topology.master(topology.victim)):
        time.sleep(LASTS)


@scenario("a replica without a master", SERVERS, routine=[One])
def replica(topology, harm):
    """What a failover behind a fixed address leaves for a while."""
    refusing(topology, troubles.is_replica)


@scenario("MISCONF: can't save its data", ALL)
def misconf(topology, harm):
    refusing(topology, troubles.can_not_save)


@scenario("NOREPLICAS: wants a replica", SERVERS, routine=[Three])
def no_replicas(topology, harm):
    refusing(topology, troubles.has_no_replicas)


# Masters that change.


@scenario("demoted to a replica, and back", [One])
def demote(topology, harm):
    """With REPLICAOF, both ways: what comes to the server while it is a replica is refused."""
    first = topology.master(0)
    with Server(["--replicaof", "127.0.0.1", str(first.port)]) as second:
        hurry(second)
        servers.eventually(lambda: servers.is_in_sync(second), "the replica has its master's data")
        begun = time.time()
        client(second).execute_command("REPLICAOF", "NO", "ONE")
        client(first).execute_command("REPLICAOF", "127.0.0.1", second.port)
        harm.fails_over(0, begun, time.time())
        servers.eventually(lambda: servers.is_in_sync(first), "the old master follows the new one")
        time.sleep(LASTS)
        client(first).execute_command("REPLICAOF", "NO", "ONE")


@scenario("SENTINEL FAILOVER, and back", [OnSentinel])
def sentinel_failover(topology, harm):
    for _ in range(2):
        begun = time.time()
        old = topology.master(topology.victim)
        servers.eventually(lambda: has_begun(topology), "a failover begins")
        wait_for_another(topology, old)
        harm.fails_over(topology.victim, begun, time.time())
        topology.settle()
        harm.fails_over(topology.victim, time.time(), time.time())


def wait_for_another(topology, master):
    servers.eventually(lambda: topology.master(topology.victim) is not master, "another master is elected")


def has_begun(topology):
    """Whether Sentinel does it; it refuses where the last failover is not quite over."""
    try:
        topology.sentinels.client().execute_command("SENTINEL FAILOVER", topology.service(topology.victim))
        return True
    except ResponseError:
        return False


def fails_over(topology, master):
    """Tell the replica of ``master`` to take over. Return True once it has; servers give up after five seconds."""
    call(client(topology.cluster.replica_of(master)), "CLUSTER", "FAILOVER")
    try:
        return servers.eventually(lambda: topology.master(topology.victim) is not master, "it has taken over", 6)
    except AssertionError:
        return False


@scenario("CLUSTER FAILOVER, and back", [OnCluster])
def cluster_failover(topology, harm):
    """The replica takes over once it has everything, so this explains no loss."""
    for _ in range(2):
        old = topology.master(topology.victim)
        servers.eventually(functools.partial(fails_over, topology, old), "another master is elected")
        topology.settle()


@scenario("the master killed", [OnSentinel, OnCluster], routine=[OnSentinel, OnCluster])
def master_killed(topology, harm):
    old = topology.master(topology.victim)
    old.kill()
    harm.fails_over(topology.victim, time.time(), time.time())
    wait_for_another(topology, old)


@scenario("a Sentinel killed", [OnSentinel])
def sentinel_killed(topology, harm):
    topology.sentinels.sentinels[0].kill()
    time.sleep(LASTS)


# Networks.


def through(topology, make_mode, seconds=LASTS):
    """Do to the bytes what a mode does, for some seconds. Returns the modes of the proxies, back in ``Pass``."""
    modes = [make_mode() for _ in topology.proxies]
    for proxy, mode in zip(topology.proxies, modes):
        proxy.mode = mode
    time.sleep(seconds)
    for proxy in topology.proxies:
        proxy.mode = Pass()
    return modes


@scenario("connections cut before a reply", SERVERS, routine=[One, Three], proxied=True)
def cut(topology, harm):
    for mode in through(topology, lambda: Cut(CUT_EVERY)):
        harm.swallowed_messages += mode.messages
        harm.swallowed.update(mode.swallowed)


@scenario("data delayed by 50 to 300 ms each way", SERVERS, proxied=True)
def delay(topology, harm):
    through(topology, lambda: Delay(0.05, 0.3))


@scenario("data held up for 8 s", SERVERS, proxied=True)
def hold(topology, harm):
    """Longer than clients of the newer redis-py wait: they have gone, and tried again, when their requests arrive."""
    for mode in through(topology, Hold, seconds=8):
        mode.let_go()


@scenario("data dropped for 3 s", SERVERS, proxied=True)
def drop(topology, harm):
    through(topology, Drop)


@scenario("connections half open", SERVERS, routine=[One], proxied=True)
def half_open(topology, harm):
    for proxy in topology.proxies:
        proxy.sever()
