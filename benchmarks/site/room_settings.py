"""The settings with the urls and the routing of ``room``. BENCHMARKS_PAGE_SIZE: bytes of a page and of a broadcast."""
import os

from settings import *  # noqa: F403

ROOT_URLCONF = "room"
CHANNEL_LAYERS["default"]["ROUTING"] = "room.routing"  # noqa: F405
PAGE_SIZE = int(os.environ["BENCHMARKS_PAGE_SIZE"])
