import pytest

from asgi_redis.tools.embedded import Server

from .environments import Checkout, Environment


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    return Checkout(tmp_path_factory.mktemp("checkout") / "asgi_redis")


@pytest.fixture(scope="session")
def make_environment(checkout, tmp_path_factory):
    """Makes environments: ``make_environment("3.9")``."""
    return lambda version: Environment(version, tmp_path_factory.mktemp("python%s-" % version), checkout)


@pytest.fixture(scope="session")
def released(make_environment):
    """An environment of release 1.4.3, which nothing changes."""
    environment = make_environment("3.9")
    environment.install_released()
    return environment


@pytest.fixture
def url():
    """The URL of a server of the test's own."""
    server = Server().start()
    yield server.url
    server.stop()


@pytest.fixture
def serve(url):
    """Starts a process that replies to all messages on a channel: ``serve(environment, channel)``."""
    started = []
    yield lambda environment, channel: started.append(environment.talk("serve", url, channel))
    for process in started:
        process.kill()
        process.communicate()
