import pytest

from asgi_redis.tools.embedded import Server

from ..upgrading.conftest import checkout, make_environment  # noqa: F401, they are fixtures
from .sites import Sites


@pytest.fixture(scope="session")
def old_environment(make_environment):  # noqa: F811
    environment = make_environment("3.9")
    environment.run('pip install asgi_redis==1.5.0 channels==1.1.8 daphne==1.4.2 "django==2.2.*"')
    return environment


@pytest.fixture(scope="session")
def redis_server():
    with Server() as server:
        yield server


@pytest.fixture(scope="session")
def sites(redis_server, old_environment, tmp_path_factory):
    with Sites(redis_server.url, old_environment.bin / "python", tmp_path_factory.mktemp("sites")) as running:
        yield running
