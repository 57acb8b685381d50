"""The page /status of the chat site, in a real browser."""
from __future__ import unicode_literals

import json
import subprocess
import sys
import threading
import time

import pytest

for needed in ("channels", "selenium"):
    pytest.importorskip(needed)

from asgi_redis import RedisChannelLayer  # noqa: E402
from asgi_redis.tools.embedded import Server  # noqa: E402

from .site import CHAT, PATIENCE, Person, Watcher, environment  # noqa: E402


@pytest.fixture
def watcher(windows, site):
    return Watcher(windows, site)


@pytest.fixture
def worker(server):
    """A worker that run.py does not know, so that the site goes on without it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "django", "runworker", "-v0"], cwd=CHAT, stderr=subprocess.DEVNULL,
        env=dict(environment(), DJANGO_SETTINGS_MODULE="chat.settings", CHAT_HOSTS=server.url),
    )
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def layer(server):
    return RedisChannelLayer(hosts=[server.url])


def test_it_shows_the_processes_and_what_they_read(watcher, site):
    pids = {str(pid) for pid in site.children()}
    watcher.until(lambda: pids <= set(watcher.column("processes", "Process")), "processes %s" % pids)
    reads = watcher.column("processes", "Reads")
    assert len([text for text in reads if "http.request" in text]) >= 2
    assert len([text for text in reads if text.startswith("daphne.response.")]) == 1
    assert "status.look" in reads


def test_it_shows_channels_with_their_capacity(watcher):
    watcher.until(lambda: "http.disconnect" in watcher.column("channels", "Channel"), "http.disconnect")
    row = watcher.column("channels", "Channel").index("http.disconnect")
    assert watcher.column("channels", "Waiting")[row].endswith(" of 100,000")


def test_it_shows_the_shards(watcher, server):
    watcher.until(lambda: watcher.column("shards", "State") == ["up"], "a shard")
    assert watcher.column("shards", "Address") == ["127.0.0.1:%d" % server.port]
    assert watcher.column("shards", "Share") == ["100 %"]
    assert watcher.texts("#up") == ["1 of 1"]


def test_the_numbers_change_when_somebody_chats(windows, watcher, site):
    ann = Person(windows, site, "Ann", "weather")
    watcher.until(lambda: watcher.number_of("groups", "room-weather", "Members") == 1, "the room with Ann")
    # A look of the page itself comes through this channel too, once in ten seconds.
    sent = lambda: watcher.number_of("channels", "websocket.receive", "Sent") or 0  # noqa: E731
    before = sent()
    for number in range(20):
        ann.say("It rains, %d" % number)
    ann.until(lambda: len(ann.said) == 20, "20 messages")
    watcher.until(lambda: sent() >= before + 20, "20 more messages")


def test_the_chart_is_drawn(watcher):
    watcher.until(lambda: watcher.look_at("chart && chart.data[1].some(rate => rate !== null)"), "a rate")
    assert watcher.texts("#chart .u-legend .u-label") == ["When", "To workers", "To browsers"]
    assert watcher.look_at("chart.bbox.width") > 200


def test_two_windows_do_not_double_the_readings(windows, watcher, site):
    other = Watcher(windows, site)
    for one in (watcher, other):
        one.until(lambda: one.look_at("numbers"), "numbers")  # noqa: B023
    other.driver.execute_script(
        "readings = []; socket.addEventListener('message', event => readings.push(JSON.parse(event.data).time))"
    )
    other.until(lambda: len(other.look_at("readings")) >= 3, "3 readings")
    times = other.look_at("readings")
    assert min(later - earlier for earlier, later in zip(times, times[1:])) >= 1.9


def test_a_killed_worker_is_shown_as_silent_and_then_vanishes(watcher, worker, layer):
    pid = str(worker.pid)
    watcher.until(lambda: pid in watcher.column("processes", "Process"), "the worker")
    worker.kill()
    worker.wait()
    names = [name for name, record in layer.processes().items() if record["process"] == worker.pid]
    key = "%s#presence#%s" % (layer.prefix, names[0])
    client = layer.connection(0)
    # As if a minute had passed: the record is 60 seconds older.
    record = json.loads(client.get(key).decode("utf-8"))
    client.set(key, json.dumps(dict(record, seen=record["seen"] - 60)), px=client.pttl(key))
    watcher.until(lambda: pid in watcher.texts("#processes tr:has(.bad) td:nth-child(2)"), "the worker as silent")
    row = watcher.column("processes", "Process").index(pid)
    assert int(watcher.column("processes", "Last seen")[row].split()[0]) >= 60
    client.delete(key)
    watcher.until(lambda: pid not in watcher.column("processes", "Process"), "the worker no more")


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_overflows_sideways(windows, site, watcher, width):
    Person(windows, site, "Ann", "a-room-with-quite-a-long-name-to-be-shown")
    watcher.resize(width)
    watcher.until(lambda: watcher.texts("#groups td:first-child"), "the groups")
    assert watcher.look_at("document.documentElement.scrollWidth <= innerWidth && innerWidth") == width
    # Nor is anything cut off.
    assert watcher.look_at(
        "Array.from(document.querySelectorAll('td, th, dd, dt, h2, canvas, .u-legend')).filter(found =>"
        " found.getBoundingClientRect().right > innerWidth).map(found => found.outerHTML)"
    ) == []


def test_the_room_and_the_start_page_link_to_it(windows, site):
    ann = Person(windows, site, "Ann", "weather")
    ann.find("header a[href='/status/']").click()
    ann.until(lambda: windows.current_url == site.url + "status/", "the status")
    windows.get(site.url)
    ann.find("a[href='/status/']").click()
    ann.until(lambda: windows.current_url == site.url + "status/", "the status")


def test_a_lost_socket_comes_back(watcher):
    watcher.until(lambda: watcher.look_at("numbers"), "numbers")
    watcher.driver.execute_script("socket.close(); numbers = null")
    watcher.until(lambda: watcher.look_at("numbers"), "numbers again")
    assert watcher.texts("#state") == ["Connected"]


def test_it_says_that_redis_is_gone_and_recovers(watcher, server):
    watcher.until(lambda: watcher.look_at("numbers"), "numbers")
    server.kill()
    try:
        watcher.until(lambda: "is unavailable" in watcher.trouble, "that Redis is unavailable")
    finally:
        server.start()
    watcher.driver.execute_script("numbers = null")
    watcher.until(lambda: watcher.look_at("numbers") and not watcher.trouble, "numbers, and no trouble")


class Impatient(RedisChannelLayer):
    """Waits for a second: ten times as long as the reader pauses."""

    blpop_timeout = 1


def test_the_reader_rests_while_nobody_looks():
    sys.path.insert(0, CHAT)
    try:
        from chat.status import GROUP, LOOKS, Reader
    finally:
        sys.path.remove(CHAT)
    with Server() as own:
        layer = Impatient(hosts=[own.url])
        layer.group_add(GROUP, "window!1")
        reader = threading.Thread(target=Reader(RedisChannelLayer(hosts=[own.url]), every=0.1, lasts=0.5).run)
        reader.daemon = True
        reader.start()
        for _ in range(2):
            layer.send(LOOKS, {})
            deadline = time.time() + PATIENCE
            assert "processes" in json.loads(layer.receive(["window!"], block=True)[1]["text"])
            while layer.receive(["window!"], block=True)[0]:
                assert time.time() < deadline, "It goes on reading."
