"""Writers and readers for a long time, with channels and groups that come and go, and the record of what arrived."""
from __future__ import unicode_literals

import functools
import itertools
import time

from ..faults import traffic
from ..faults.traffic import BURST, CROWD, MEMBERS, READERS, WRITERS, Delivery, queue_of, read

#: Seconds that a message waits, and that a channel stays in a group.
EXPIRY = 20

#: Seconds between two bursts of a writer.
PAUSE = 0.15

#: Of so many groups that come, one is not discarded: it has to expire.
FORGOTTEN_EVERY = 4

#: Messages have up to so many bytes of text.
LONGEST_TEXT = 3000

#: Seconds within which a message is received. A server that loses its memory explains the loss of no older one.
HELD = 3


class Line(object):
    """
    The traffic under one prefix of a topology: ``make()`` makes its layers, and can be pickled; ``layer`` is one past
    any proxy. ``keys``: those that encrypt, or None.
    """

    def __init__(self, topology, keys):
        topology.prepare()
        self.layer = topology.layer
        self.make = functools.partial(
            topology.make, expiry=EXPIRY, group_expiry=EXPIRY, symmetric_encryption_keys=keys
        )

    def pending(self):
        """How many messages the queues hold."""
        queues = {queue_of(channel) for channel in traffic.CHANNELS}
        return sum(self.layer.channel_statistics(queue)["messages_pending"] for queue in queues)

    def shards(self, delivery):
        """The shards by way of which it came, or was to come."""
        shards = {shard.number for shard in self.layer._parts.shards.of(queue_of(delivery.channel))}
        if delivery.channel in MEMBERS:
            shards.add(self.layer.consistent_hash(CROWD))
        elif "!" in delivery.channel:
            shards.add(self.layer.consistent_hash(visitors(delivery.writer, delivery.number)))
        return shards


def write(make, writer, stop, report):
    """As ``faults.traffic.write``, but with more pauses, texts of all lengths, and visitors."""
    layer = make()
    for number in itertools.count():
        message = {"writer": writer, "number": number, "text": "x" * (number * 97 % LONGEST_TEXT)}
        for channels, send in itertools.chain(traffic.sends(layer, number), visits(layer, writer, number)):
            begun, error = time.time(), None
            try:
                send(message)
            except Exception as raised:
                error = repr(raised)
            report.send(("sent", channels, writer, number, begun, time.time(), error))
        if number % BURST == 0 and stop.wait(PAUSE):
            return


def visitors(writer, number):
    """A group that nobody has seen before."""
    return "soak.visitors-%d-%d" % (writer, number)


def visits(layer, writer, number):
    """As ``sends``: to a new group of two new channels of one reader's process."""
    if number % BURST == 0:
        queue = queue_of(MEMBERS[2 * (number // BURST % READERS)])
        channels = ["%svisitor%d.%d%s" % (queue, writer, number, name) for name in "ab"]
        yield channels, lambda message: visit(layer, visitors(writer, number), channels, message)


def visit(layer, group, channels, message):
    for channel in channels:
        layer.group_add(group, channel)
    layer.send_group(group, message)
    if message["number"] // BURST % FORGOTTEN_EVERY:
        for channel in channels:
            layer.group_discard(group, channel)


class Record(traffic.Record):
    """
    What the processes have reported, of so many messages that only what is needed stays.

    ``times``: {delivery: (begun, ended)} of all sends; ``missing``: what was acknowledged and has not arrived;
    ``repeated``: what arrived again, once for each time. ``acknowledged``, ``received``, ``raised``: how many.
    """

    def __init__(self):
        super(Record, self).__init__()
        self.times = {}
        self.got = set()
        self.repeated = []
        self.acknowledged = self.received = self.raised = 0

    def _note_sent(self, channels, writer, number, begun, ended, error):
        deliveries = [Delivery(channel, writer, number) for channel in channels]
        self.times.update(dict.fromkeys(deliveries, (begun, ended)))
        if error is None:
            self.acknowledged += len(deliveries)
            self.missing.update(delivery for delivery in deliveries if delivery not in self.got)
        else:
            self.raised += 1

    def _note_got(self, channel, writer, number, when):
        delivery = Delivery(channel, writer, number)
        self.received += 1
        if delivery in self.got:
            self.repeated.append(delivery)
        self.got.add(delivery)
        self.missing.discard(delivery)


class Traffic(traffic.Traffic):
    """The traffic of a ``Line``."""

    def __init__(self, line):
        super(Traffic, self).__init__(line.make)
        self.line = line
        self.record = Record()

    def __enter__(self):
        self.readers = [self._start(read, reader, self._stop_reading) for reader in range(READERS)]
        self.writers = [self._start(write, writer, self._stop_writing) for writer in range(WRITERS)]
        for collector in self._collectors:
            collector.start()
        return self

    def everyone(self):
        """{name: process}."""
        return dict(
            [("reader %d" % number, process) for number, process in enumerate(self.readers)]
            + [("writer %d" % number, process) for number, process in enumerate(self.writers)]
        )

    def finish(self):
        """Come to the end; returns what is wrong with the processes and with what arrived: a list of texts."""
        problems = self.end(self.line.pending)
        return problems + ["%s died:\n%s" % death for death in self.record.died]
