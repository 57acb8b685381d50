"""The front: it sends requests as Daphne does, and group messages, and receives what returns."""
from __future__ import unicode_literals

import collections
import contextlib

from ..internals import monotonic
from ..target import CannotRun
from .progress import make_progress
from .tally import Tally
from .traffic import BROADCASTS, GROUP, REQUESTS, make_request, member_channels, send_patiently

#: How long, in seconds, the front waits for the next message before it counts the missing ones as lost.
PATIENCE = 10

#: How long, in seconds, it waits for the next worker to start, perhaps on a busy machine.
STARTS_WITHIN = 60

#: How long, in seconds, one receive waits. After each, the front checks that workers are still running.
FRONT_WAIT = 1


class WorkerHandle(object):
    """
    A worker as the front sees it.

    - ``channel``: its process-specific channel, up to the ``!``.
    - ``process``: the ``subprocess.Popen`` object.
    """

    def __init__(self, channel, process):
        self.channel = channel
        self.process = process
        self.is_ready = False
        #: How many requests it answered; None until it reports that, at its end.
        self.answered = None

    @property
    def has_ended(self):
        return self.process.poll() is not None


class Front(object):
    """
    Sends all messages of a run and receives the replies on its own process-specific channel.

    - ``resources``: the ``Resources`` of the run; they start the workers.
    - ``screen``: where progress is shown.
    - ``layer``: the channel layer.
    - ``requests``: how many requests to send.
    """

    def __init__(self, resources, screen, layer, requests):
        self.resources = resources
        self.screen = screen
        self.layer = layer
        self.channel = "demo.front.%s!" % layer.client_prefix
        self.workers = collections.OrderedDict()
        self.members = []
        self.requests = Tally("requests", requests)
        self.group = Tally("group messages", 0)
        #: How often the channel for requests was full.
        self.full = 0
        self._progress = {}

    # Workers.

    def start_workers(self, count):
        for number in range(count):
            own = "demo.worker%d.%s!" % (number, self.layer.client_prefix)
            self.workers[own] = WorkerHandle(own, self.resources.start_worker(self.channel, own))
        self.members = member_channels(self.channel, list(self.workers))
        self.group.total = BROADCASTS * len(self.members)

    def wait_for_workers(self):
        if not self._receive_until(lambda: all(worker.is_ready for worker in self.workers.values()), STARTS_WITHIN):
            raise CannotRun("A worker did not start.")

    def stop_workers(self):
        """
        Let the workers finish, and receive everything they send.

        A worker that has received a message twice replies twice before it reports its end: duplicates are counted.
        """
        for own in self.workers:
            send_patiently(self.layer, own + "stop", {})
        self._receive_until(lambda: all(
            worker.answered is not None or worker.has_ended for worker in self.workers.values()
        ))
        while self._receive():
            pass

    # Receiving.

    def _receive(self, block=False):
        """Receive and count one message. Return False if there is none."""
        channel, message = self.layer.receive([self.channel], block)
        if channel is None:
            return False
        kind = channel[len(self.channel):]
        if kind == "ready":
            self.workers[message["worker"]].is_ready = True
        elif kind == "stopped":
            self.workers[message["worker"]].answered = message["answered"]
        elif kind == "ack":
            self._count(self.group, (message["broadcast"], message["member"]))
        elif kind.startswith("socket"):
            self._count(self.group, (message["broadcast"], channel))
        else:
            self._count(self.requests, channel)
        return True

    def _count(self, tally, key):
        if tally.arrive(key):
            self._progress[tally].update()

    def _receive_until(self, is_done, patience=PATIENCE):
        """Receive until ``is_done()``. Return False if nothing arrives for ``patience`` s or all workers have ended."""
        last = monotonic()
        while not is_done():
            if self._receive(block=True):
                last = monotonic()
            elif monotonic() > last + patience or all(worker.has_ended for worker in self.workers.values()):
                return False
        return True

    @contextlib.contextmanager
    def _shown(self, tally):
        """Show the progress of ``tally`` during the block."""
        with make_progress(self.screen, tally.name, tally.total) as self._progress[tally]:
            yield

    # Requests.

    def send_requests(self):
        """Send all requests, receiving replies in between, and wait for the remaining replies."""
        with self._shown(self.requests):
            for number in range(self.requests.total):
                if not self._send_request(number):
                    return
                self._receive()
            self._receive_until(lambda: not self.requests.lost)

    def _send_request(self, number):
        """Send a request, receiving replies while the channel is full. Return False if it stays full."""
        reply_channel = "%sreq%d" % (self.channel, number)
        message = make_request(number, reply_channel)
        while True:
            started = monotonic()
            try:
                self.layer.send(REQUESTS, message)
            except self.layer.ChannelFull:
                self.full += 1
                if not self._receive_reply():
                    return False
            else:
                self.requests.sent[reply_channel] = started
                return True

    def _receive_reply(self):
        """Wait for one more reply. Return False if none arrives."""
        before = len(self.requests.arrivals)
        return self._receive_until(lambda: len(self.requests.arrivals) > before)

    # Group messages.

    def send_to_group(self):
        """Send each group message after all members have received the one before it."""
        for member in self.members:
            self.layer.group_add(GROUP, member)
        with self._shown(self.group):
            for broadcast in range(BROADCASTS):
                started = monotonic()
                self.layer.send_group(GROUP, {"broadcast": broadcast})
                self.group.sent.update(((broadcast, member), started) for member in self.members)
                if not self._receive_until(lambda: not self.group.lost):
                    return
