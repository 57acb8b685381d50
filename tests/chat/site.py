"""The chat site of examples/chat as a process, and people in it, each in a window of a real Chromium."""
from __future__ import unicode_literals

import os
import shutil
import signal
import subprocess
import sys
import threading

from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from asgi_redis.tools.embedded import free_port

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CHAT = os.path.join(ROOT, "examples", "chat")
RUN = os.path.join(CHAT, "run.py")

#: Seconds that a process or a page may take, on a busy machine.
PATIENCE = 60

FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1000,700",
]


def environment(*first):
    """The environment for run.py: modules come from the folders ``first``, then from this checkout."""
    path = list(first) + [ROOT] + [folder for folder in [os.environ.get("PYTHONPATH")] if folder]
    return dict(os.environ, PYTHONPATH=os.pathsep.join(path))


class Site(object):
    """run.py with further ``options``, from its start until ``end``. ``printed``: all that it and its children say."""

    def __init__(self, *options):
        self.port = free_port()
        self.url = "http://127.0.0.1:%d/" % self.port
        self.lines = []
        self.opened = threading.Event()
        self.process = subprocess.Popen(
            [sys.executable, "-u", RUN, "--port", str(self.port)] + list(options),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, env=environment(),
        )
        self.reader = threading.Thread(target=self._read)
        self.reader.daemon = True
        self.reader.start()
        if not self.opened.wait(PATIENCE) or self.url not in self.printed:
            self.end()
            raise AssertionError("run.py does not start:\n" + self.printed)

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith("Open "):
                self.opened.set()
        self.opened.set()  # ended: nobody need wait any longer

    @property
    def printed(self):
        return "".join(self.lines)

    def children(self):
        """{process id: command line} of what run.py has started."""
        listed = subprocess.check_output(["ps", "-eo", "pid=,ppid=,args="]).decode("utf-8", "replace")
        rows = [line.split(None, 2) for line in listed.splitlines()]
        return {int(row[0]): row[2] for row in rows if int(row[1]) == self.process.pid}

    def end(self, how=signal.SIGINT):
        """Send a signal, and return the exit status once the process is gone."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.wait()

    def wait(self):
        status = self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        return status


def start_chromium(profile):
    """A headless Chromium with a new profile in the folder ``profile``."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    assert browser and driver, (
        "The browser test needs Chromium and its driver on the PATH: apt-get install chromium chromium-driver"
    )
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in FLAGS + ["--user-data-dir=%s" % profile]:
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=Service(driver))


class Window(object):
    """A window of its own, which becomes the current one with all that is done here."""

    def __init__(self, driver, url):
        self.driver = driver
        driver.switch_to.new_window("window")
        self.window = driver.current_window_handle
        driver.get(url)

    def look(self):
        if self.driver.current_window_handle != self.window:
            self.driver.switch_to.window(self.window)

    def find(self, css):
        self.look()
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def texts(self, css):
        """What stands in all that match, as it is in the page now."""
        return self.look_at("Array.from(document.querySelectorAll(arguments[0]), found => found.textContent)", css)

    def look_at(self, expression, *arguments):
        """The value of an expression of the page's JavaScript."""
        self.look()
        return self.driver.execute_script("return " + expression, *arguments)

    def resize(self, width, height=800, scale=1):
        self.look()
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 500,
        })

    def until(self, condition, wanted):
        """Wait for a condition. ``wanted``: what to say where it does not come."""
        self.look()
        try:
            WebDriverWait(self.driver, PATIENCE, poll_frequency=0.05).until(lambda _: condition())
        except TimeoutException:
            raise AssertionError("%s not seen, but %s" % (wanted, self.shown()))


class Watcher(Window):
    """A window with the page /status."""

    def __init__(self, driver, site):
        super(Watcher, self).__init__(driver, site.url + "status/")

    def shown(self):
        return self.texts("body > p, section")

    @property
    def trouble(self):
        return self.texts("#trouble")[0]

    def column(self, table, title):
        """The texts of one column, as they are in the page now."""
        return self.texts("#%s td[data-label='%s']" % (table, title))

    def number_of(self, table, name, title):
        """The number in the row whose first cell is ``name``, None if there is no such row."""
        return self.look_at(
            "Array.from(document.querySelectorAll(`#${arguments[0]} tbody tr`))"
            ".filter(row => row.cells[0].textContent === arguments[1])"
            ".map(row => row.querySelector(`[data-label='${arguments[2]}']`).textContent)"
            ".map(text => Number(text.replace(/\\D/g, '')))[0]",
            table, name, title,
        )


class Person(Window):
    """Somebody in a room."""

    def __init__(self, driver, site, name, room):
        self.name = name
        super(Person, self).__init__(driver, site.url)
        self.find("#name").clear()
        self.find("#name").send_keys(name)
        self.find("#room").clear()
        self.find("#room").send_keys(room)
        self.find(".start button").click()
        self.until(lambda: self.state == "Connected", "Connected")

    def shown(self):
        return "%s said %s, here %s" % (self.name, self.said, self.here)

    @property
    def state(self):
        return (self.texts("#state") or [None])[0]

    @property
    def said(self):
        """The messages in the window, without those that were not received yet."""
        return self.texts(".said:not(.waiting) .text")

    @property
    def here(self):
        return self.texts("#people .name")

    @property
    def notices(self):
        """Who joined and who left, in order: ``["Ann joined"]``."""
        return [" ".join(text.split()[:2]) for text in self.texts(".joined, .left")]

    def say(self, text):
        self.find("#text").send_keys(text + "\n")

    def reads(self, *texts):
        """Wait until these, and no others, are the messages in the window."""
        self.until(lambda: self.said == list(texts), list(texts))

    def sees(self, *names):
        """Wait until these, and no others, are in the room."""
        self.until(lambda: self.here == list(names), list(names))

    def stands_at_newest(self):
        """Whether the last entry is in sight."""
        return self.driver.execute_script(
            "const place = document.querySelector('#log').lastElementChild.getBoundingClientRect();"
            "const frame = document.querySelector('#scroll').getBoundingClientRect();"
            "return place.top >= frame.top && place.bottom <= frame.bottom + 1"
        )

    def close(self):
        self.look()
        self.driver.close()
        self.driver.switch_to.window(self.driver.window_handles[0])
