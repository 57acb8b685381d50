"""
Makes docs/watch.png and docs/check.png: what ``asgi-redis stats --watch`` and ``check`` show of a site.

    python docs/screens.py

It needs what tests/integration needs (see tox.ini), redis-server, pyte and pillow, and the font DejaVu Sans Mono.
"""
import contextlib
import os
import pathlib
import signal
import sys
import threading

import pyte
from PIL import Image, ImageDraw, ImageFont

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import redis  # noqa: E402
import requests  # noqa: E402
import websocket  # noqa: E402

from asgi_redis.tools.embedded import Server  # noqa: E402
from tests.commands import start  # noqa: E402
from tests.integration.processes import PATIENCE, SITE, Site  # noqa: E402
from tests.terminals import Terminal  # noqa: E402

#: The size of the terminal, and of the font.
COLUMNS, ROWS, POINTS = 100, 48, 15
MARGIN = 12

#: How many times the statistics are drawn before the picture is taken.
DRAWN = 8

BACKGROUND, FOREGROUND = "#1e2430", "#d7dce5"
COLOURS = {"default": FOREGROUND, "red": "#ff7b72", "brown": "#e3b341"}  # pyte calls yellow so


class Screen:
    """What a command shows in a terminal. ``enough(text)``: True if it has written enough, and is ended."""

    def __init__(self, site, *arguments, enough=lambda text: False):
        self._screen = pyte.Screen(COLUMNS, ROWS)
        terminal = Terminal(COLUMNS, ROWS)
        variables = dict(site._environment(), TERM="xterm-256color")
        process = terminal.run(start, *arguments, "--settings", "settings", cwd=SITE, environ=variables)
        while terminal.read():
            if enough(terminal.text):
                # Up to the last picture, without the one that is being drawn, and the end.
                terminal.text = terminal.text[:terminal.text.rindex("\x1b[H")]
                process.send_signal(signal.SIGTERM)
                break
        pyte.Stream(self._screen).feed(terminal.text)
        process.wait()
        terminal.close()

    def save(self, path):
        font = ImageFont.truetype("DejaVuSansMono.ttf", POINTS)
        width, height = font.getlength("M"), int(POINTS * 1.4)
        rows = max(row for row in range(ROWS) if self._screen.display[row].strip()) + 1
        image = Image.new("RGB", (int(COLUMNS * width) + 2 * MARGIN, rows * height + 2 * MARGIN), BACKGROUND)
        draw = ImageDraw.Draw(image)
        for row in range(rows):
            for column in range(COLUMNS):
                cell = self._screen.buffer[row][column]
                if cell.data != " ":
                    place = MARGIN + column * width, MARGIN + row * height
                    draw.text(place, cell.data, font=font, fill=COLOURS.get(cell.fg, FOREGROUND))
        image.quantize(32).save(path, optimize=True)


def visit(site, ended):
    """Ask for pages, one after the other, and open a WebSocket now and then, until ``ended`` is set."""
    number = 0
    while not ended.is_set():
        requests.get("http://" + site.address("/"), timeout=PATIENCE)
        number += 1
        if number % 20 == 0:
            websocket.create_connection("ws://" + site.address("/group/lobby/"), timeout=PATIENCE).close()


def main():
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Server(["--save", "3600", "1"])) for _ in range(3)]
        hosts = [server.url for server in servers]
        site = stack.enter_context(Site({"BACKEND": "asgi_redis.RedisChannelLayer", "CONFIG": {"hosts": hosts}}))
        for group, count in (("lobby", 7), ("garden", 3)):
            for _ in range(count):
                address = "ws://" + site.address("/group/%s/" % group)
                stack.enter_context(contextlib.closing(websocket.create_connection(address, timeout=PATIENCE)))
        ended = threading.Event()
        visitors = [threading.Thread(target=visit, args=(site, ended)) for _ in range(3)]
        for visitor in visitors:
            visitor.start()
        try:
            watch = Screen(site, "stats", "--watch", "1", enough=lambda text: text.count("\x1b[H") > DRAWN)
        finally:
            ended.set()
            for visitor in visitors:
                visitor.join()
        watch.save(ROOT / "docs" / "watch.png")
        client = redis.StrictRedis(port=servers[2].port)
        client.config_set("maxmemory", "64mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        servers[1].kill()
        Screen(site, "check").save(ROOT / "docs" / "check.png")


if __name__ == "__main__":
    os.environ.pop("NO_COLOR", None)
    main()
