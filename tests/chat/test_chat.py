"""The chat site: in real browser windows, and as a process."""
from __future__ import unicode_literals

import os
import signal
import subprocess
import sys
import uuid

import pytest
import redis

for needed in ("channels", "selenium"):
    pytest.importorskip(needed)

from asgi_redis import RedisChannelLayer  # noqa: E402
from asgi_redis.tools.embedded import Server  # noqa: E402

from .site import RUN, Person, Site, Watcher, environment  # noqa: E402


@pytest.fixture
def room():
    """The name of a room that no other test uses."""
    return "room-" + uuid.uuid4().hex[:8]


@pytest.fixture
def enter(windows, site, room):
    """``enter(name)``: open a window of a person in the room of the test, or in another."""
    return lambda name, where=room: Person(windows, site, name, where)


def test_a_message_is_read_in_the_other_window(enter):
    ann, ben = enter("Ann"), enter("Ben")
    ann.say("Good morning")
    ben.reads("Good morning")
    ben.say("Morning!")
    ann.reads("Good morning", "Morning!")
    assert ann.texts(".own .text") == ["Good morning"]
    assert ben.texts(".own .text") == ["Morning!"]


def test_another_room_does_not_see_it(enter, room):
    ann, ben, far = enter("Ann"), enter("Ben"), enter("Far", room + "-2")
    ann.say("only here")
    ben.reads("only here")
    far.say("and only there")
    far.reads("and only there")
    assert ben.said == ann.said == ["only here"]
    assert far.here == ["Far"]


def test_who_joins_later_reads_what_was_said(enter):
    ann = enter("Ann")
    ann.say("one")
    ann.say("two")
    ann.reads("one", "two")
    enter("Ben").reads("one", "two")


def test_a_room_forgets_when_the_last_one_leaves(enter, server, room):
    ann = enter("Ann")
    ann.say("soon forgotten")
    ann.reads("soon forgotten")
    watch = redis.StrictRedis.from_url(server.url)
    other = enter("Other", room + "-2")
    ann.close()
    other.until(lambda: not watch.keys("chat:%s:*" % room), "the keys of the room deleted")
    ben = enter("Ben")
    ben.sees("Ben")
    assert ben.said == []


def test_who_is_here(enter):
    ann = enter("Ann")
    ann.sees("Ann")
    ben = enter("Ben")
    ben.sees("Ann", "Ben")
    ann.sees("Ann", "Ben")
    ben.close()
    ann.sees("Ann")
    assert ann.notices == ["Ann joined", "Ben joined", "Ben left"]


def test_one_name_in_two_windows_is_one_person(enter):
    ben, ann, ann_again = enter("Ben"), enter("Ann"), enter("Ann")
    ann_again.sees("Ann", "Ben")
    ann_again.close()
    ann.say("still here")
    ben.reads("still here")
    ben.sees("Ann", "Ben")
    assert ben.notices == ["Ben joined", "Ann joined"]


def test_the_start_page_lists_open_rooms(enter, site, room):
    enter("Ann")
    enter("Ben").sees("Ann", "Ben")
    ben = enter("Ben", "elsewhere")
    ben.driver.get(site.url)
    assert "#%s 2 here" % room in ben.texts(".rooms a")


def test_who_comes_by_a_link_is_asked_for_a_name(driver, site, enter, room):
    ann = enter("Ann")
    driver.execute_script("sessionStorage.clear()")
    driver.get(site.url + "room/%s/" % room)
    ann.until(lambda: driver.current_url == site.url + "?ask=" + room, "the start page")
    assert ann.find("#room").get_attribute("value") == room


def test_html_is_shown_as_text(enter):
    mark = "<i>Eve"
    text = "<b>bold</b><script>document.title = 'broken'</script><img src=x onerror=\"document.title = 'broken'\">"
    eve, ben = enter(mark), enter("Ben")
    eve.say(text)
    for person in (eve, ben):
        person.reads(text)
        person.sees(mark, "Ben")
        assert not person.texts("#log script, #log img, #log i, #people i, #log .text b")
        assert "broken" not in person.driver.title


def test_messages_stay_in_order(enter):
    ann, ben = enter("Ann"), enter("Ben")
    texts = ["message %d" % number for number in range(20)]
    ann.find("#text").send_keys("".join(text + "\n" for text in texts))
    ben.reads(*texts)
    ann.reads(*texts)
    enter("Late").reads(*texts)


def test_the_window_follows_the_newest_unless_one_reads_above(enter):
    ann, ben = enter("Ann"), enter("Ben")
    texts = ["message %d" % number for number in range(20)]
    ben.find("#text").send_keys("".join(text + "\n" for text in texts))
    ann.reads(*texts)
    assert ann.stands_at_newest()
    ann.driver.execute_script("document.querySelector('#scroll').scrollTop = -10000")
    ben.say("one more")
    ann.reads(*(texts + ["one more"]))
    assert not ann.stands_at_newest()
    ann.find("#newest").click()
    assert ann.stands_at_newest()


def test_a_message_has_at_most_500_characters(enter, room):
    ann = enter("Ann")
    ann.say("x" * 510)
    ann.reads("x" * 500)
    # And so it is where somebody passes by the field.
    ann.driver.execute_script("say('y'.repeat(510))")
    ann.reads("x" * 500, "y" * 500)


def test_a_lost_connection_comes_back(enter):
    ann, ben = enter("Ann"), enter("Ben")
    ann.say("before")
    ben.reads("before")
    # Said while there is no connection: it is sent when there is one again.
    ann.look()
    ann.driver.execute_script("socket.close(); say('meanwhile')")
    ann.until(lambda: ann.state == "Connected", "connected")
    ann.reads("before", "meanwhile")
    ben.reads("before", "meanwhile")
    ben.sees("Ann", "Ben")


def test_who_gives_no_sign_of_life_is_dropped(enter, server, room):
    ann = enter("Ann")
    # What a Daphne leaves behind that crashed three minutes ago.
    watch = redis.StrictRedis.from_url(server.url)
    keys = ["chat:%s:%s" % (room, part) for part in ("here", "names")]
    now = watch.zrange(keys[0], 0, -1, withscores=True)[0][1]
    watch.execute_command("ZADD", keys[0], now - 180000, "daphne.response.gone!abc")
    watch.hset(keys[1], "daphne.response.gone!abc", "Ghost")
    ben = enter("Ben")
    ben.sees("Ann", "Ben")
    ann.sees("Ann", "Ben")
    assert "Ghost left" in ann.notices


def test_a_conversation(enter):
    mira, otto, noor = enter("Mira", "garden-club"), enter("Otto", "garden-club"), enter("Noor", "garden-club")
    talk = [
        (otto, "Hello all! Did the tomatoes survive the hail last night?"),
        (mira, "Most of them. Two of the tall ones snapped, the ones by the wall are fine."),
        (mira, "I've tied up the rest."),
        (noor, "Oh no. I still have four seedlings on the balcony that need a home"),
        (mira, "That would be wonderful, thank you!"),
        (otto, "I can bring stakes and string on Saturday. Shall we say ten, before it gets hot?"),
        (noor, "Ten is good. I'll bring the seedlings, and iced tea."),
        (mira, "See you both at the gate then."),
    ]
    texts = []
    for person, text in talk:
        person.say(text)
        texts.append(text)
        person.reads(*texts)
    for person in (mira, otto, noor):
        person.reads(*texts)
        person.sees("Mira", "Noor", "Otto")
    if os.environ.get("CHAT_SCREENSHOT"):
        mira.look()
        mira.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": 1000, "height": 700, "deviceScaleFactor": 1, "mobile": False},
        )
        mira.driver.execute_script("toNewest()")
        assert mira.driver.save_screenshot(os.environ["CHAT_SCREENSHOT"])


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_no_process_is_left(how):
    site = Site("--workers", "2")
    children = site.children()
    # Redis, Daphne, two workers, and the reader of the status.
    assert len(children) == 5, children
    assert site.end(how) == 0, site.printed
    assert [pid for pid in children if is_alive(pid)] == []
    assert "Traceback" not in site.printed


@pytest.mark.parametrize("name, sign", [("Worker", "runworker"), ("Daphne", "daphne"), ("Redis", "redis-server")])
def test_all_end_when_one_dies(name, sign):
    site = Site()
    children = site.children()
    os.kill([pid for pid, command in children.items() if sign in command][0], signal.SIGKILL)
    assert site.wait() == 1
    assert name in site.printed and "ended by itself" in site.printed
    assert [pid for pid in children if is_alive(pid)] == []


def test_workers_outlive_an_outage_of_the_shard_of_their_replies(windows):
    with Server() as first, Server() as second:
        site = Site("--hosts", first.url, second.url)
        watcher = Watcher(windows, site)
        watcher.until(lambda: watcher.look_at("numbers"), "numbers")
        daphne = [name for name in watcher.column("channels", "Channel") if name.startswith("daphne.response.")][0]
        layer = RedisChannelLayer(hosts=[first.url, second.url])
        lost = (first, second)[layer.consistent_hash(daphne)]
        lost.kill()
        # The consumers get these by the other shard, and can't reply.
        watcher.driver.execute_script(
            "for (const path of ['ws/lobby/?name=Ann', 'ws-status/']) new WebSocket(`ws://${location.host}/${path}`)"
        )
        watcher.until(lambda: site.printed.count("Error processing message") >= 2, "two errors in the log")
        lost.start()
        watcher.driver.execute_script("numbers = null")
        watcher.until(lambda: watcher.look_at("numbers"), "numbers again")
        assert site.end() == 0, site.printed


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def run_until_it_refuses(*options, **arguments):
    """What run.py says before it exits with status 1."""
    process = subprocess.Popen(
        [sys.executable, RUN] + list(options), stderr=subprocess.PIPE, universal_newlines=True, **arguments
    )
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 1
    return said


def test_without_channels_it_says_what_to_install(tmp_path):
    (tmp_path / "channels.py").write_text("raise ImportError(\"No module named 'channels'\")")
    said = run_until_it_refuses(env=environment(str(tmp_path)))
    assert "No module named 'channels'" in said and "pip install -r requirements.txt" in said


def test_on_a_python_that_is_too_new_it_says_which_one_is_needed(tmp_path):
    (tmp_path / "channels.py").write_text("import sys\nsys.version_info = (3, 12)\nraise ImportError('distutils')")
    said = run_until_it_refuses(env=environment(str(tmp_path)))
    assert "Python 3.6 to 3.11, not 3.12" in said


def test_a_taken_port_is_refused(site):
    said = run_until_it_refuses("--port", str(site.port), env=environment())
    assert "--port" in said and "Traceback" not in said
