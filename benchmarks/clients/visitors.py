"""
Fetches a page at a steady rate, by Locust: ``visitors.py '{"url": ..., "rate": ..., "seconds": ..., "warm": ...}'``.

Prints ``{"delays": [ms, ...], "failed": count}``: of the replies that came in ``seconds``, after ``warm`` seconds that
do not count. The rate is a whole number of requests a second.

A delay begins when its request was due, not when it was sent. So a slow reply also counts for the requests that had to
wait for it, and there is no "coordinated omission".
"""
import itertools
import json
import sys
import time

import gevent
from locust import FastHttpUser, task
from locust.env import Environment


class Schedule:
    """When requests are due, and what became of them: one request each ``1 / rate`` seconds."""

    def __init__(self, rate, seconds, warm):
        self.rate, self.numbers = rate, itertools.count()
        self.begins = time.time() + 1  # until then, all visitors are there
        self.counts_from = self.begins + warm
        self.ends = self.counts_from + seconds
        self.delays, self.failed = [], 0

    def first(self):
        """When the next visitor's first request is due."""
        return self.begins + next(self.numbers) / self.rate

    def add(self, due, succeeded):
        now = time.time()
        if self.counts_from <= now < self.ends:
            if succeeded:
                self.delays.append(round(1000 * (now - due), 2))
            else:
                self.failed += 1


class Visitor(FastHttpUser):
    """Asks for the page once a second, on a connection of its own: for a rate of n, there are n visitors."""

    PERIOD = 1

    schedule = None

    def on_start(self):
        self.due = self.schedule.first()
        gevent.sleep(self.wait_time())

    def wait_time(self):
        return max(0, self.due - time.time())

    @task
    def fetch(self):
        due, self.due = self.due, self.due + self.PERIOD
        self.schedule.add(due, self.client.get(self.host).status_code == 200)


def main(url, rate, seconds, warm):
    Visitor.schedule = Schedule(rate, seconds, warm)
    runner = Environment(user_classes=[Visitor], host=url).create_local_runner()
    runner.start(rate, spawn_rate=rate)
    gevent.sleep(Visitor.schedule.ends - time.time())
    print(json.dumps({"delays": Visitor.schedule.delays, "failed": Visitor.schedule.failed}), flush=True)
    runner.quit()


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
