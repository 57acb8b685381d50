"""One site and one browser for all tests of this folder."""
from __future__ import unicode_literals

import pytest

from asgi_redis.tools.embedded import Server

# ``site`` is imported in the fixtures: without selenium the tests are skipped.


@pytest.fixture(scope="session")
def server():
    with Server() as running:
        yield running


@pytest.fixture(scope="session")
def site(server):
    """The site, on a server that the tests can look into."""
    from .site import Site

    running = Site("--hosts", server.url)
    yield running
    running.end()


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    from .site import start_chromium

    running = start_chromium(tmp_path_factory.mktemp("profile"))
    yield running
    running.quit()


@pytest.fixture
def windows(driver):
    """The driver. All windows that the test opens are closed afterwards."""
    first = driver.window_handles[0]
    yield driver
    for window in set(driver.window_handles) - {first}:
        driver.switch_to.window(window)
        driver.close()
    driver.switch_to.window(first)
