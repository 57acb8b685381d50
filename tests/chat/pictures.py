"""
Makes the pictures of the page /status, in five minutes: ``python -m tests.chat.pictures docs``, with the packages of
the environment ``chat`` of tox.ini. ``docs/chat.png`` is made by ``test_a_conversation`` if ``CHAT_SCREENSHOT`` names
it.
"""
from __future__ import unicode_literals

import math
import os
import random
import sys
import tempfile
import time

from asgi_redis.tools.embedded import Server

from .site import Person, Site, Watcher, start_chromium

PEOPLE = [(name, "garden-club") for name in ("Mira", "Otto", "Noor")] + [(name, "lobby") for name in ("Ines", "Jan")]
PICTURES = [("status.png", 1000, 700, 1), ("status-phone.png", 360, 780, 2)]

#: As many seconds as the chart shows.
SPAN = 300


def main(folder):
    with Server() as first, Server() as second:
        site = Site("--workers", "3", "--hosts", first.url, second.url)
        driver = start_chromium(tempfile.mkdtemp())
        try:
            people = [Person(driver, site, name, room) for name, room in PEOPLE]
            watcher = Watcher(driver, site)
            talk(people)
            for name, width, height, scale in PICTURES:
                take(watcher, os.path.join(folder, name), width, height, scale)
        finally:
            driver.quit()
            site.end()


def talk(people):
    """All talk, now more and now less, until the chart is full."""
    began = time.time()
    while time.time() < began + SPAN:
        passed = time.time() - began
        random.choice(people).look_at("say(arguments[0])", "It is %d s later." % passed)
        time.sleep(0.15 * (1.2 + math.sin(passed / 23)) * random.uniform(0.5, 1.5))
    # They go on while the pictures are taken.
    for person in people:
        person.look_at("setInterval(() => say('And so on.'), 1000)")


def take(watcher, path, width, height, scale):
    watcher.resize(width, height, scale)
    next_reading(watcher)
    if width > 700:
        watcher.resize(width, watcher.look_at("document.documentElement.scrollHeight"), scale)
    next_reading(watcher)
    assert watcher.driver.save_screenshot(path)


def next_reading(watcher):
    seen = watcher.look_at("numbers.time")
    watcher.until(lambda: watcher.look_at("numbers.time") > seen, "another reading")


if __name__ == "__main__":
    main(sys.argv[1])
