"""What a fault costs, in lines of logs, commands and CPU time, and how much of that production would bear."""
from __future__ import unicode_literals

import collections
import os
import threading

from redis.exceptions import RedisError

from .. import servers
from .topologies import client

#: Lines that a process may log because of a fault, and how many more each second.
LINES = 5
LINES_A_SECOND = 1

#: Commands that servers may process, with those that scripts run and those that replicas are sent: for each message
#: that is sent or received, and each second on each server, for tries, waits that end, and Sentinels.
COMMANDS_A_MESSAGE = 40
COMMANDS_A_SECOND = 50

#: CPU seconds that a process may take: for each message, with its report; for each send that raises, which is the
#: writer's loop; and each second.
CPU_A_MESSAGE = 0.0005
CPU_A_RAISE = 0.0005
CPU_A_SECOND = 0.15

#: Commands of faults, measurements, replication and new connections, not of the traffic.
NOT_COUNTED = (
    "client", "cluster", "config", "failover", "hello", "info", "psync", "replconf", "replicaof", "script", "slaveof",
)

#: Seconds between two looks at the servers, of which some may be killed.
EVERY = 0.25


class Costs(object):
    """
    ``began``, ``ended``: when was measured, as by ``time.time()``. ``commands``: how many commands the servers, as many
    as ``servers``, have processed. ``cpu``: {process: seconds}, empty if the system does not tell.
    """

    def __init__(self, began, ended, servers=1, commands=0, cpu=()):
        self.began = began
        self.ended = ended
        self.servers = servers
        self.commands = commands
        self.cpu = dict(cpu)

    @property
    def seconds(self):
        return self.ended - self.began

    def covers(self, when):
        return self.began <= when <= self.ended

    def lines(self, record):
        """{process: [text, ...]} of what was logged."""
        lines = collections.defaultdict(list)
        for process, when, text in record.logged:
            if self.covers(when):
                lines[process].append(text)
        return lines

    def messages(self, record):
        """How many messages were sent and received, with those that a server refused for want of memory."""
        sent = sum(self.covers(ended) for _, ended in record.sent.values())
        received = sum(self.covers(when) for times in record.got.values() for when in times)
        refused = sum(self.covers(ended) and "OOM" in (error or "") for _, ended, error in record.calls)
        return sent + received + refused

    def raised(self, record):
        return sum(self.covers(ended) and error is not None for _, ended, error in record.calls)

    def most_lines(self):
        return LINES + LINES_A_SECOND * self.seconds

    def most_commands(self, record):
        return COMMANDS_A_MESSAGE * self.messages(record) + COMMANDS_A_SECOND * self.seconds * self.servers

    def most_cpu(self, record):
        return (
            CPU_A_MESSAGE * self.messages(record) + CPU_A_RAISE * self.raised(record) + CPU_A_SECOND * self.seconds
        )

    def problems(self, record):
        """What is more than production would bear: a list of texts."""
        problems = []
        for process, lines in sorted(self.lines(record).items()):
            if len(lines) > self.most_lines():
                text, times = collections.Counter(lines).most_common(1)[0]
                problems.append("%s logged %d lines in %.1f s, more than %d; %d times: %s" % (
                    process, len(lines), self.seconds, self.most_lines(), times, text,
                ))
        if self.commands > self.most_commands(record):
            problems.append("The servers processed %d commands in %.1f s, with %d messages: more than %d." % (
                self.commands, self.seconds, self.messages(record), self.most_commands(record),
            ))
        for process, seconds in sorted(self.cpu.items()):
            if seconds > self.most_cpu(record):
                problems.append("%s took %.1f s of CPU time in %.1f s, with %d messages: more than %.1f s." % (
                    process, seconds, self.seconds, self.messages(record), self.most_cpu(record),
                ))
        return problems


class Meter(object):
    """
    Counts commands and CPU time from the entry of a ``with`` block to its end. ``data_servers``: a list;
    ``processes``: {name: process}. ``commands``, ``cpu``: as in ``Costs``, at the end.
    """

    def __init__(self, data_servers, processes):
        self.data_servers = data_servers
        self.processes = processes
        self.commands = 0
        self.cpu = {}
        self._first = {}
        self._last = {}
        self._end = threading.Event()

    def __enter__(self):
        for server in self.data_servers:
            if server.process:
                servers.eventually(lambda server=server: self._look(server), "the server says what it has processed")
        self._first = dict(self._last)
        self._cpu_before = self._cpu()
        self._thread = threading.Thread(target=self._look_on)
        self._thread.daemon = True
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._end.set()
        self._thread.join()
        for server in self.data_servers:
            if server.process and not error[0]:
                servers.eventually(lambda server=server: self._look(server), "the server says what it has processed")
        self.commands = sum(count - self._first.get(run, 0) for run, count in self._last.items())
        after = self._cpu()
        self.cpu = {name: after[name] - before for name, before in self._cpu_before.items() if name in after}

    def _look_on(self):
        while not self._end.wait(EVERY):
            self.look()

    def look(self):
        """Note how many commands each server has processed, as far as it says."""
        for server in self.data_servers:
            self._look(server)

    def _look(self, server):
        """Whether the server has said how many commands it has processed."""
        try:
            info = client(server, timeout=0.5).info("all")
        except RedisError:
            return False  # it is gone for now
        stats = [(name, value["calls"]) for name, value in info.items() if name.startswith("cmdstat_")]
        # A server that was started again has another id, and counts from 0.
        self._last[server.port, info["run_id"]] = sum(
            calls for name, calls in stats if name[len("cmdstat_"):].split("|")[0] not in NOT_COUNTED
        )
        return True

    def _cpu(self):
        """{name: seconds} of the processes that live, as far as the system tells."""
        found = {}
        for name, process in self.processes.items():
            try:
                with open("/proc/%d/stat" % process.pid) as file:
                    words = file.read().rpartition(")")[2].split()
            except (IOError, OSError):
                continue
            found[name] = (int(words[11]) + int(words[12])) / float(os.sysconf(str("SC_CLK_TCK")))
        return found
