"""From a load to what it needs: how many shards, which limit comes first, how many processes."""
from __future__ import unicode_literals

import collections
import math

#: CPU time of the Python processes in microseconds: of a Daphne and a worker for a request, without the view; of a
#: Daphne for one WebSocket's part of a broadcast. Python 3.6, Channels 1.1.8, Daphne 1.4.2: ``python -m benchmarks``.
DAPHNE_REQUEST = 800
WORKER_REQUEST = 540
DAPHNE_MEMBER = 100

#: Above this size, in bytes, a message does not pass through a script, and costs less a byte.
LARGE = 65536

#: How much of a processor a process may be busy for, so that queues stay short.
BUSY = 0.7

#: Connections to each shard: of a worker (calls, and the one that waits), and of a Daphne (a second thread sends).
WORKER_CONNECTIONS = 2
DAPHNE_CONNECTIONS = 3

#: Bytes. ``CALL``: what a call takes on the wire beside the message. ``WAITING``, ``MEMBER``, ``CONNECTION``: what
#: Redis takes for a waiting message beside its body, a group's member, and a connection.
CALL = 500
WAITING = 250
MEMBER = 130
CONNECTION = 20000

#: What a shard bears: the part of a processor, connections (``maxclients``), bytes a second (1 Gbit/s), bytes.
Limits = collections.namedtuple("Limits", "cpu connections network memory")
LIMITS = Limits(cpu=BUSY, connections=10000, network=100e6, memory=1e9)

#: Shards that are considered.
MOST_SHARDS = 1000

#: What a site does. ``rate``: requests and WebSocket messages a second, each with a reply. ``sockets``: open
#: WebSockets. ``group_size``: members of the group of a broadcast. ``broadcasts``: how many a second. ``message_size``:
#: bytes. ``view``: how long a worker is busy with a request, in seconds. ``capacity``: that of a channel. ``daphnes``,
#: ``workers``: how many processes; None: as many as are needed.
Load = collections.namedtuple(
    "Load", "rate sockets group_size broadcasts message_size view capacity daphnes workers"
)

#: What each shard is used for: ``cpu`` in seconds a second, ``connections``, ``network`` in bytes a second each way,
#: ``memory`` in bytes if all queues are full.
Use = collections.namedtuple("Use", "cpu connections network memory")


class Plan(object):
    """
    What ``load``, a ``Load``, needs if a call costs ``costs``, a ``Costs``.

    ``shards``: the fewest that bear it, or None if no number does. ``use``: the ``Use`` of the busiest of them.
    """

    def __init__(self, load, costs, limits=LIMITS, shards=None):
        self.load, self.costs, self.limits = load, costs, limits
        self.daphnes = load.daphnes or max(1, int(math.ceil(self._daphne_seconds() / BUSY)))
        self.workers = load.workers or max(1, int(math.ceil(load.rate * (load.view + WORKER_REQUEST / 1e6) / BUSY)))
        self.shards = shards or self._fewest()
        self.use = self.use_of(self.shards or MOST_SHARDS)

    def _daphne_seconds(self):
        """Return the CPU time, in seconds a second, of all interface servers."""
        load = self.load
        return (load.rate * DAPHNE_REQUEST + load.broadcasts * load.group_size * DAPHNE_MEMBER) / 1e6

    def _fewest(self):
        numbers = range(1, MOST_SHARDS + 1)
        return next((number for number in numbers if self.worst(self.use_of(number))[1] <= 1), None)

    def worst(self, use):
        """Return (the name of the limit that comes first, how much of it is used: 1 is all)."""
        return max(zip(Use._fields, self.parts(use)), key=lambda part: part[1])

    def parts(self, use):
        """Return how much of each limit is used, a list in the order of the fields."""
        return [value / float(limit) for value, limit in zip(use, self.limits)]

    def use_of(self, shards):
        """Return the ``Use`` of the shard that is used most, if there are ``shards``."""
        return Use(
            self._cpu(shards), self.workers * WORKER_CONNECTIONS + self.daphnes * DAPHNE_CONNECTIONS,
            self._network(shards), self._memory(shards),
        )

    def _cpu(self, shards):
        load, costs = self.load, self.costs
        size = self._size_cost()
        # A request is a message to a worker, one back, and one to http.disconnect, which nothing reads. Daphne reads
        # one queue, so it waits on one shard; a worker waits on all.
        request = 2 * (costs.send + costs.wait + size) + costs.refused
        spread = load.rate * request / shards
        spread += load.rate * costs.other * (shards - 1) / shards
        # The members of a group are on one shard, the queues of the processes on all.
        processes = min(self.daphnes, load.group_size)
        reading = costs.group + (load.group_size - 1) * costs.member if load.group_size else 0
        handing = processes * costs.wait + (processes - 1) * costs.process + processes * size
        broadcast = reading + (handing / shards if load.group_size else 0)
        return (spread + load.broadcasts * broadcast + self.workers * costs.idle) / 1e6

    def _size_cost(self):
        """Return what sending and receiving a message cost more than for one of 100 bytes."""
        size = self.load.message_size
        if size > LARGE:
            return self.costs.large * (0.5 + size / 200000.0)
        return max(size - 100, 0) / 1000.0 * self.costs.kilobyte

    def _network(self, shards):
        load = self.load
        requests = load.rate * 2 * (load.message_size + CALL) / shards
        names = load.group_size * 60
        broadcast = names + min(self.daphnes, load.group_size) * (load.message_size + CALL + names) / shards
        return requests + load.broadcasts * broadcast

    def _memory(self, shards):
        load = self.load
        queues = 3 + self.daphnes
        waiting = queues * load.capacity * (load.message_size + WAITING) / float(shards)
        return waiting + load.sockets * MEMBER + CONNECTION * (
            self.workers * WORKER_CONNECTIONS + self.daphnes * DAPHNE_CONNECTIONS
        )
