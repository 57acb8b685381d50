"""From a load to what it needs: how many shards, which limit comes first, how many processes."""
from __future__ import unicode_literals

import collections
import math

#: CPU time of the Python processes in microseconds: of a Daphne and a worker for a request, without the view; of a
#: Daphne for one WebSocket's part of a broadcast. Python 3.6, Channels 1.1.8, Daphne 1.4.2: ``python -m benchmarks``.
DAPHNE_REQUEST = 800
WORKER_REQUEST = 540
DAPHNE_MEMBER = 100

#: The same for a request, for each further shard: a worker waits on all, and each refuses Daphne's http.disconnect.
DAPHNE_SHARD = 100
WORKER_SHARD = 200

#: How many messages a second there are when ``Costs`` are measured. With fewer, a server sleeps longer between them,
#: and each costs (MEASURED_WITH / messages) ** ASLEEP times as much, as seen on sites with 25 to 400 requests a second.
MEASURED_WITH = 800.0
ASLEEP = 0.2

#: Above this size, in bytes, a message does not pass through a script, and costs less a byte.
LARGE = 65536

#: How much of a processor a process may be busy for, so that queues stay short.
BUSY = 0.7

#: Bytes on the wire. ``CALLS``: of the calls that send and receive a message, beside it. ``REFUSED``: of a send that is
#: refused, with its message. ``OTHER``: of the calls that end the wait on another shard, and begin it anew. ``NAME``:
#: of a member's name.
CALLS = 750
REFUSED = 500
OTHER = 600
NAME = 40

#: Bytes of memory. ``WAITING``: what Redis takes for a waiting message beside its body; ``MEMBER``: for a group's
#: member; ``CONNECTION``: for a connection; ``SERVER``: for itself, with its record of how long commands took.
WAITING = 250
MEMBER = 130
CONNECTION = 20000
SERVER = 1600000

#: What a shard bears: the part of a processor, connections (``maxclients``), bytes a second (1 Gbit/s), bytes.
Limits = collections.namedtuple("Limits", "cpu connections network memory")
LIMITS = Limits(cpu=BUSY, connections=10000, network=100e6, memory=1e9)

#: From this standard deviation on, the binomial distribution is taken for a normal one, whose sum is known.
MANY = 30

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


def most_together(things, places):
    """
    Return how many of ``things`` are usually in the fullest of ``places`` if each is in a random one.

    More than that are together there, or in another place, with a probability of no more than a half.
    """
    if places == 1:
        return things
    mean = things / float(places)
    deviation = math.sqrt(mean * (1 - 1.0 / places))
    return most_of_few(things, places) if deviation < MANY else most_of_many(things, places, mean, deviation)


def most_of_few(things, places):
    """``most_together``, exactly, from the binomial distribution. The result is the mean or more."""
    mean = things // places
    # The probabilities that a place has as many as the mean, one more, and so on.
    chances = [math.exp(
        math.lgamma(things + 1) - math.lgamma(mean + 1) - math.lgamma(things - mean + 1)
        - things * math.log(places) + (things - mean) * math.log(places - 1)
    )]
    for number in range(mean, things):
        if chances[-1] < 1e-12:
            break
        chances.append(chances[-1] * (things - number) / (number + 1.0) / (places - 1))
    more = 0
    while len(chances) > 1 and (more + chances[-1]) * places <= 0.5:
        more += chances.pop()
    return mean + len(chances) - 1


def most_of_many(things, places, mean, deviation):
    """``most_together`` from the normal distribution, which is close to the binomial one if there are many."""
    too_few, enough = int(mean) - 1, things
    while enough - too_few > 1:
        together = (too_few + enough) // 2
        more = math.erfc((together + 0.5 - mean) / deviation / math.sqrt(2)) / 2
        if more * places > 0.5:
            too_few = together
        else:
            enough = together
    return enough


class Plan(object):
    """
    What ``load``, a ``Load``, needs if a call costs ``costs``, a ``Costs``.

    ``shards``: the fewest that bear it, or None if no number does. ``use``: the ``Use`` of the busiest of them.
    ``daphnes``, ``workers``: how many processes.
    """

    def __init__(self, load, costs, limits=LIMITS, shards=None):
        self.load, self.costs, self.limits = load, costs, limits
        self.shards = shards or self.fewest()
        self.use = self.use_of(self.shards or MOST_SHARDS)
        self.daphnes, self.workers = self.processes(self.shards or MOST_SHARDS)

    def processes(self, shards):
        """Return how many Daphnes and workers there are."""
        load = self.load
        return (
            load.daphnes or max(1, int(math.ceil(self.daphne_seconds(shards) / BUSY))),
            load.workers or max(1, int(math.ceil(self.worker_seconds(shards) / BUSY))),
        )

    def daphne_seconds(self, shards):
        """Return the CPU time, in seconds a second, of all interface servers."""
        load = self.load
        request = DAPHNE_REQUEST + DAPHNE_SHARD * (shards - 1)
        return (load.rate * request + load.broadcasts * load.group_size * DAPHNE_MEMBER) / 1e6

    def worker_seconds(self, shards):
        """Return how long, in seconds a second, all workers are busy."""
        return self.load.rate * (self.load.view + (WORKER_REQUEST + WORKER_SHARD * (shards - 1)) / 1e6)

    def fewest(self):
        """Return the smallest number of shards that bears the load, or None."""
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
        daphnes, workers = self.processes(shards)
        own = most_together(daphnes, shards)
        # Daphne waits on the shard of its queue, and sends to all. A worker waits on all, and if one has a message, it
        # needs second connections to end the waits on the others.
        connections = workers * (1 if shards == 1 else 2) + daphnes + own
        share = own / float(daphnes)
        return Use(
            self.cpu_of(shards, share), connections, self._network(shards, daphnes, share),
            self._memory(shards, own, connections),
        )

    def undivided(self, shards):
        """
        Return the CPU time, in seconds a second, of each of ``shards`` for the messages on others.

        Workers wait on all shards, and a message to http.disconnect, which nothing reads, is refused by all.
        """
        return self.load.rate * (self.costs.other + self.costs.refused) * (shards - 1.0) / shards / 1e6

    def undivided_part(self):
        """Return how much of the CPU time of the busiest shard that is: from 0 to 1."""
        return self.undivided(self.shards or MOST_SHARDS) / self.use.cpu if self.use.cpu else 0

    def cpu_of(self, shards, share):
        """
        Return the CPU time of one of ``shards``, in seconds a second.

        ``share``: the part of all Daphnes whose queues are on it.
        """
        load, costs = self.load, self.costs
        daphnes, workers = self.processes(shards)
        message = costs.send + costs.wait + self._size_cost()
        # A request is a message to a worker, one back, and one to http.disconnect.
        requests = load.rate * (message * (1.0 / shards + share) + costs.refused / float(shards))
        # The members of a group are on one shard, which is taken for the busiest.
        processes = min(daphnes, load.group_size)
        broadcast = 0
        if load.group_size:
            broadcast = costs.group + (load.group_size - 1) * costs.member
            broadcast += (processes * (costs.wait + self._size_cost()) + (processes - 1) * costs.process) * share
        messages = (requests + load.broadcasts * broadcast) / 1e6 + self.undivided(shards)
        return messages * self._asleep(shards) + workers * costs.idle / 1e6

    def _asleep(self, shards):
        """Return how many times as much as measured a message costs, because servers have little to do."""
        load = self.load
        messages = 2 * load.rate + load.broadcasts * min(self.processes(shards)[0], load.group_size)
        return max((MEASURED_WITH / messages) ** ASLEEP, 1) if messages else 1

    def _size_cost(self):
        """Return what sending and receiving a message cost more than for one of 100 bytes."""
        size = self.load.message_size
        if size > LARGE:
            return self.costs.large * (0.5 + size / 200000.0)
        return max(size - 100, 0) / 1000.0 * self.costs.kilobyte

    def _network(self, shards, daphnes, share):
        load = self.load
        message, names = load.message_size + CALLS, load.group_size * NAME
        # The names of all members go to the sender of a broadcast, and from there, with the message, to their queues.
        handing = min(daphnes, load.group_size) * message + names
        requests = message / float(shards) + message * share + REFUSED + OTHER * (shards - 1.0) / shards
        return load.rate * requests + load.broadcasts * (names + handing * share)

    def _memory(self, shards, own, connections):
        """``own``: how many Daphnes have their queue on the shard."""
        load = self.load
        queues = 3.0 / shards + own
        waiting = queues * load.capacity * (load.message_size + WAITING)
        return SERVER + waiting + load.sockets * MEMBER + CONNECTION * connections
