"""Writers and blocking readers, each a process, and the record of what they send and get."""
from __future__ import unicode_literals

import collections
import contextlib
import itertools
import logging
import multiprocessing
import threading
import time
import traceback

WRITERS = 2
READERS = 2

#: Both readers read this one.
NORMAL = "faults.normal"

#: One for each reader, which alone reads it.
SINGLE = ["faults.single%d?x" % reader for reader in range(READERS)]

#: Two channels of each reader's process: a group send to them is a batch.
MEMBERS = ["faults.process%d!%s" % (reader, name) for reader in range(READERS) for name in "ab"]
CROWD = "faults.crowd"

#: All on which something must arrive for the traffic to be whole.
CHANNELS = [NORMAL] + SINGLE + MEMBERS

#: Rounds that a writer sends without a pause, so that messages wait in line; one of them sends to the group.
BURST = 5

#: Seconds between two bursts.
PAUSE = 0.02

#: So many messages must arrive after a fault, and before it, for the traffic to count as whole.
ENOUGH = 300

#: Seconds after which a blocking receive comes back with nothing.
READER_WAITS = 1

#: Seconds that the traffic may take to be whole again, and to come to its end.
PATIENCE = 45

#: Seconds in which a process must end when it is told to; sends and receives take less once the fault is over.
ENDS_IN = 15

#: One message on its way to one channel. ``number``: of those that its writer has sent.
Delivery = collections.namedtuple("Delivery", "channel writer number")

# Without threads of this process, where Python can do that.
processes = multiprocessing.get_context("spawn") if hasattr(multiprocessing, "get_context") else multiprocessing


def queue_of(channel):
    return channel[:channel.index("!") + 1] if "!" in channel else channel


def write(make, writer, stop, report):
    """Send numbers until ``stop`` is set; report ("sent", channels, writer, number, begun, ended, error)."""
    layer = make()
    for number in itertools.count():
        message = {"writer": writer, "number": number}
        for channels, send in sends(layer, number):
            begun, error = time.time(), None
            try:
                send(message)
            except Exception as raised:
                error = repr(raised)
            report.send(("sent", channels, writer, number, begun, time.time(), error))
        if number % BURST == 0 and stop.wait(PAUSE):
            return


def sends(layer, number):
    """[(the channels that are to get it, function that sends it a message), ...] for one round."""
    single = SINGLE[number // BURST % READERS]
    yield [NORMAL], lambda message: layer.send(NORMAL, message)
    yield [single], lambda message: layer.send(single, message)
    if number % BURST == 0:
        yield MEMBERS, lambda message: send_group(layer, message)


def send_group(layer, message):
    """To the group, whole again where a server has lost it."""
    for member in set(MEMBERS) - set(layer.group_channels(CROWD)):
        layer.group_add(CROWD, member)
    layer.send_group(CROWD, message)


def read(make, reader, stop, report):
    """Receive until ``stop`` is set; report ("got", channel, writer, number, when), or ("idle", reader)."""
    layer = make()
    layer.blpop_timeout = READER_WAITS
    channels = [NORMAL, SINGLE[reader], queue_of(MEMBERS[2 * reader])]
    while not stop.is_set():
        channel, message = layer.receive(channels, block=True)
        if channel:
            report.send(("got", channel, message["writer"], message["number"], time.time()))
        else:
            report.send(("idle", reader))


class Report(object):
    """The pipe of reports, for all threads of a process: others than the main one may log."""

    def __init__(self, pipe):
        self._pipe = pipe
        self._lock = threading.Lock()

    def send(self, event):
        with self._lock:
            self._pipe.send(event)


class LogReporter(logging.Handler):
    """Reports ("logged", process, when, text) for each line in the log of the package."""

    def __init__(self, process, report):
        super(LogReporter, self).__init__()
        self._process = process
        self._report = report

    def emit(self, record):
        self._report.send(("logged", self._process, record.created, record.getMessage()))


def guarded(work, make, number, stop, pipe):
    """``work``; what it logs is reported, and what it raises as ("died", process, traceback)."""
    name, report = "%s %d" % (work.__name__, number), Report(pipe)
    logger = logging.getLogger("asgi_redis")
    logger.setLevel(logging.INFO)
    logger.addHandler(LogReporter(name, report))
    try:
        work(make, number, stop, report)
    except BaseException:
        report.send(("died", name, traceback.format_exc()))


def have_ended(running):
    """Whether one of these processes has."""
    return any(process.exitcode is not None for process in running)


class Record(object):
    """
    What the processes have reported.

    ``sent``: {delivery: (begun, ended)} of those that were acknowledged, that is, whose send returned. ``got``:
    {delivery: [when, ...]}; ``order``: {channel: [delivery, ...]} as received. ``calls``: [(begun, ended, error), ...]
    of all sends, error None where it returned. ``died``: [(process, traceback), ...]. ``logged``:
    [(process, when, text), ...].
    """

    def __init__(self):
        self.changed = threading.Condition()
        self.sent = {}
        self.got = collections.defaultdict(list)
        self.order = collections.defaultdict(list)
        self.calls = []
        self.died = []
        self.logged = []
        self.idle = collections.Counter()
        #: {channel: when the last send began that was acknowledged and whose message was received}
        self.whole = dict.fromkeys(CHANNELS, 0)
        self.arrived = 0
        self.missing = set()

    def note(self, event):
        with self.changed:
            getattr(self, "_note_" + event[0])(*event[1:])
            self.changed.notify_all()

    def _note_sent(self, channels, writer, number, begun, ended, error):
        self.calls.append((begun, ended, error))
        if error is None:
            for channel in channels:
                delivery = Delivery(channel, writer, number)
                self.sent[delivery] = begun, ended
                if delivery in self.got:
                    self._note_whole(delivery)
                else:
                    self.missing.add(delivery)

    def _note_got(self, channel, writer, number, when):
        delivery = Delivery(channel, writer, number)
        self.got[delivery].append(when)
        self.order[channel].append(delivery)
        if delivery in self.missing:
            self.missing.discard(delivery)
            self._note_whole(delivery)

    def _note_whole(self, delivery):
        self.arrived += 1
        self.whole[delivery.channel] = max(self.whole[delivery.channel], self.sent[delivery][0])

    def _note_idle(self, reader):
        self.idle[reader] += 1

    def _note_died(self, process, trace):
        self.died.append((process, trace))

    def _note_logged(self, process, when, text):
        self.logged.append((process, when, text))

    def wait_for(self, check, seconds):
        """Whether ``check()`` becomes true in that time; it is asked after each report."""
        deadline = time.time() + seconds
        with self.changed:
            while not check():
                left = deadline - time.time()
                if left <= 0:
                    return False
                self.changed.wait(min(left, 0.5))
            return True


class Traffic(object):
    """Traffic through layers that ``make()`` makes, which can be pickled; from the entry of a ``with`` block on."""

    def __init__(self, make):
        self.record = Record()
        self._make = make
        self._stop_writing, self._stop_reading = processes.Event(), processes.Event()
        self._collectors = []
        self.readers = []
        self.writers = []

    def __enter__(self):
        self.readers = [self._start(read, reader, self._stop_reading) for reader in range(READERS)]
        self.writers = [self._start(write, writer, self._stop_writing) for writer in range(WRITERS)]
        for collector in self._collectors:
            collector.start()
        return self

    def processes(self):
        """{name, as in reports: process}."""
        return dict(
            [("read %d" % number, process) for number, process in enumerate(self.readers)]
            + [("write %d" % number, process) for number, process in enumerate(self.writers)]
        )

    def _start(self, work, number, stop):
        incoming, outgoing = processes.Pipe(duplex=False)
        process = processes.Process(target=guarded, args=(work, self._make, number, stop, outgoing))
        process.start()
        outgoing.close()
        self._collectors.append(threading.Thread(target=self._collect, args=(incoming,)))
        return process

    def _collect(self, incoming):
        with contextlib.closing(incoming):
            while True:
                try:
                    self.record.note(incoming.recv())
                except (EOFError, IOError):
                    return

    def goes_through(self):
        """
        Wait until every channel has got messages that were sent from now on; and all together, ``ENOUGH``. Whether that
        came in ``PATIENCE`` seconds, and nobody died.
        """
        since, enough = time.time(), self.record.arrived + ENOUGH
        everyone = self.readers + self.writers
        self.record.wait_for(lambda: have_ended(everyone) or (
            min(self.record.whole.values()) > since and self.record.arrived >= enough
        ), PATIENCE)
        return not have_ended(everyone) and min(self.record.whole.values()) > since

    def end(self, pending):
        """
        Stop the writers, let the readers read what is there, and stop them.

        ``pending()`` says how many messages are in the queues. Returns what went wrong on the way: a list of texts.
        """
        self._stop_writing.set()
        problems = self._join("writer", self.writers)
        deadline = time.time() + PATIENCE
        while pending() and time.time() < deadline and not have_ended(self.readers):
            self.record.wait_for(lambda: False, 0.05)
        before = dict(self.record.idle)
        self.record.wait_for(
            # What a broken pop may have taken is put back a second later.
            lambda: have_ended(self.readers) or all(self.record.idle[n] > before.get(n, 0) + 3 for n in range(READERS)),
            max(deadline - time.time(), 8 * READER_WAITS),
        )
        self._stop_reading.set()
        return problems + self._join("reader", self.readers)

    def _join(self, kind, running):
        """Wait for the end of processes. Returns a text for each that did not come to it by itself."""
        deadline = time.time() + ENDS_IN
        for process in running:
            process.join(max(deadline - time.time(), 0))
        return [
            "A %s is stuck in a call." % kind if process.is_alive() else "A %s was killed." % kind
            for process in running if process.is_alive() or process.exitcode
        ]

    def __exit__(self, *error):
        self._stop_writing.set()
        self._stop_reading.set()
        for process in self.readers + self.writers:
            process.join(0 if error[0] else ENDS_IN)
            if process.is_alive():
                process.terminate()
                process.join()
        for collector in self._collectors:
            collector.join()
