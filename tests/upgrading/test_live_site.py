"""docs/upgrading.rst on a site under load: up, tidied up, and back, with all of its processes restarted one by one."""
import collections
import re
import time
from contextlib import contextmanager

import pytest

from asgi_redis.tools.embedded import Server

from ..patience import until
from .environments import upgrading
from .live import LiveSite
from .load import Broadcasts, Lost, Requests

WORKERS = ["worker 1", "worker 2", "worker 3"]

#: The site's own requirements beside the channel layer.
REQUIREMENTS = "channels==1.1.8 daphne==1.4.2 'django==2.2.*'"

#: What must be done by all kinds of load before the next step begins, and how many seconds that may take.
ENOUGH, PATIENCE = 5, 60

#: How long before a worker is told to end, in seconds, a message may be sent that it holds at that moment.
IN_HAND = 3


class Night(object):
    """The load on a site, the operator's steps, and what became of all messages."""

    def __init__(self, site):
        self.site = site
        for name in ["daphne"] + WORKERS + ["sender"]:
            self.site.start(name)
        self.requests, self.broadcasts = Requests(site.port, 3), Broadcasts(site.port, 20)
        self.steps = []
        until(self.broadcasts.all_open, "all sockets connected", PATIENCE)

    def counts(self):
        for clients in (self.requests, self.broadcasts):
            clients.raise_error()
        return [
            sum(self.requests.answered.values()), len(self.broadcasts.acknowledged), self.broadcasts.delivered(),
            len(self.site.sent()),
        ]

    @contextmanager
    def step(self, title):
        """A step of the operator: what is done in the ``with`` block, and then some more of all kinds of load."""
        before, begun = self.counts(), time.time()
        yield
        then = self.counts()
        until(lambda: all(now >= old + ENOUGH for now, old in zip(self.counts(), then)), "load goes on", PATIENCE)
        self.steps.append((title, time.time() - begun, [now - old for now, old in zip(self.counts(), before)]))

    def restart_all(self):
        for name in WORKERS + ["sender"]:
            with self.step("restart " + name):
                self.site.restart(name)
        with self.step("restart Daphne"):
            self.broadcasts.settle()
            self.site.restart("daphne")
            until(self.broadcasts.all_open, "all sockets connected again", PATIENCE)

    def finish(self):
        """End the load, and let the site work off what was sent."""
        self.broadcasts.settle()
        self.site.end("sender")
        self.requests.stop()
        self.broadcasts.stop()
        deadline = time.time() + PATIENCE / 4
        while self.unnoted() and time.time() < deadline:
            time.sleep(0.05)

    def unnoted(self):
        """{number: when it was sent} of the numbered messages that no worker has noted."""
        noted = {number for number, _ in self.site.noted()}
        return {number: begun for number, begun in self.site.sent().items() if number not in noted}

    def lost(self):
        """A ``Lost`` for each message of all kinds of which nothing came back."""
        numbers = [Lost("number %d" % number, begun) for number, begun in self.unnoted().items()]
        return self.requests.lost + self.broadcasts.lost + numbers

    def held_by_released(self, lost):
        """Return True if a worker of 1.4.3 that was told to end may have had the message in its hands."""
        return any(ended.told - IN_HAND < lost.time < ended.ended for ended in self.released_workers())

    def released_workers(self):
        """The workers of 1.4.3 that were ended."""
        return [ended for ended in self.site.ended if ended.release == "1.4.3" and ended.name.startswith("worker")]

    def report(self):
        yield "%-28s %8s %9s %11s %10s %8s" % ("step", "seconds", "requests", "broadcasts", "delivered", "numbers")
        for title, seconds, counts in self.steps:
            yield "%-28s %8.1f %9d %11d %10d %8d" % ((title, seconds) + tuple(counts))
        yield "%-28s %8.1f %9d %11d %10d %8d" % (
            ("all", sum(seconds for _, seconds, _ in self.steps)) + tuple(self.counts())
        )
        yield "Requests answered by: %s" % ", ".join("%s %d" % pair for pair in sorted(self.requests.answered.items()))
        yield "Cut off or refused while Daphne restarted, and sent again: %d" % (
            self.requests.cut_off + self.broadcasts.cut_off
        )
        lost = self.lost()
        yield "Lost: %d, of these by a worker of 1.4.3 that ended: %d" % (
            len(lost), sum(map(self.held_by_released, lost))
        )


@pytest.fixture(scope="module")
def night(make_environment, tmp_path_factory):
    environment = make_environment("3.9")
    environment.install_released(REQUIREMENTS)
    with Server() as server:
        site = LiveSite(environment, server.url, tmp_path_factory.mktemp("site"))
        try:
            night = Night(site)
            upgrade_and_roll_back(night)
            night.finish()
            print("\n" + "\n".join(night.report()))
            yield night
        finally:
            site.kill()


def upgrade_and_roll_back(night):
    (upgrade, check), (tidy_up, _), (roll_back,) = map(upgrading, ("Upgrade", "Tidy up", "Roll back"))
    with night.step("release 1.4.3"):
        pass
    with night.step("upgrade"):
        night.site.run(upgrade)
        assert "RedisChannelLayer" in night.site.run(check.replace("mysite.", ""))
    night.restart_all()
    with night.step("tidy up"):
        night.site.run(tidy_up)
    with night.step("restart a worker"):
        night.site.restart(WORKERS[0])
    with night.step("roll back"):
        night.site.run(roll_back)
    night.restart_all()


def test_all_processes_ran_each_release(night):
    kinds = {(process.name.split(",")[0], process.release) for process in night.site.started}
    assert kinds == {(name, release) for name in WORKERS + ["daphne", "sender"] for release in ("1.4.3", "1.5.0")}
    assert {release for _, release in night.site.noted()} == set(night.requests.answered) == {"1.4.3", "1.5.0"}


def test_each_request_got_its_own_answer(night):
    assert night.requests.wrong == []


def test_no_message_was_consumed_twice(night):
    counts = collections.Counter(number for number, _ in night.site.noted().elements())
    assert set(counts) <= set(night.site.sent())
    assert [number for number, count in counts.items() if count > 1] == []


def test_nothing_was_lost_but_what_a_worker_of_the_old_release_had_in_its_hands(night):
    lost = night.lost()
    assert [one for one in lost if not night.held_by_released(one)] == []
    assert len(lost) <= len(night.released_workers())


def test_each_connected_socket_got_each_broadcast_once(night):
    assert [connection for connection in night.broadcasts.connections if connection.last is None] == []
    assert [numbers for numbers in map(night.broadcasts.missed, night.broadcasts.connections) if numbers] == []
    assert night.broadcasts.repeated() == []


def test_the_processes_of_this_release_logged_nothing_but_that_the_operator_should_tidy_up(night):
    lines = [line for process in night.site.started if process.release == "1.5.0" for line in process.log()]
    assert [line for line in lines if not re.search(" - INFO - |msgpack-python", line)] == []
