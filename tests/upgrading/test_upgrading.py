"""The commands of docs/upgrading.rst, one after the other, and what operators may do instead."""
import re

import pytest

from .environments import upgrading

#: Nothing else logs while the package is imported.
IMPORT = "import logging; logging.basicConfig(); import asgi_redis, asgi_redis.codec"


def tidy_up(version):
    both = upgrading("Tidy up")
    return both[1] if version == "2.7" else both[0]


class Site(object):
    """A site that is upgraded in place, beside processes of 1.4.3: one elsewhere, and one that was started before."""

    def __init__(self, environment, released, serve, url):
        self.environment, self.released, self.serve, self.url = environment, released, serve, url
        self.steps = 0
        serve(released, "elsewhere")
        serve(environment, "before")

    def do(self, commands):
        """Run ``commands``, and restart a worker. Return what that worker runs, after all have talked to each other."""
        self.environment.run(commands)
        self.steps += 1
        channel = "step%d" % self.steps
        self.serve(self.environment, channel)
        for old in ("elsewhere", "before"):
            assert self.environment.ask(self.url, old)["release"] == "1.4.3"
        found = self.environment.ask(self.url, channel)
        assert self.released.ask(self.url, channel) == found
        return found


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.9"])
def test_messages_pass_between_all_processes_after_each_step(make_environment, released, serve, url, version):
    environment = make_environment(version)
    environment.install_released()
    site = Site(environment, released, serve, url)
    old = site.do("true")
    assert (old["release"], old["msgpack"]) == ("1.4.3", [0, 5, 6])
    (upgrade, _), (roll_back,) = upgrading("Upgrade"), upgrading("Roll back")
    new = site.do(upgrade)
    assert (new["release"], new["compiled"]) == ("1.5.0", True)
    assert new["msgpack"] >= ([0, 6, 2] if version == "2.7" else [1])
    assert site.do(roll_back) == old
    assert site.do(upgrade) == new
    assert site.do(tidy_up(version)) == new
    assert site.do(roll_back) == old


@pytest.fixture(scope="module")
def upgraded(make_environment):
    """An environment of Python 3.9 with 1.5.0, upgraded from 1.4.3, which nothing changes."""
    environment = make_environment("3.9")
    environment.install_released()
    environment.run(upgrading("Upgrade")[0])
    return environment


def test_after_the_upgrade_a_warning_has_the_commands_that_tidy_up(upgraded):
    status, _, errors = upgraded.run_python(IMPORT)
    assert status == 0
    (line,) = errors.splitlines()
    assert line.endswith(" && ".join(tidy_up("3.9").splitlines()))


@pytest.mark.parametrize("version", ["2.7", "3.13"])
def test_the_commands_in_warning_and_error_mend_what_uninstalling_msgpack_python_has_broken(make_environment, version):
    environment = make_environment(version)
    environment.update_pip()
    environment.run("pip install asgi_redis==1.5.0\npip install msgpack-python==0.5.6\npip uninstall -y msgpack-python")
    status, _, errors = environment.run_python(IMPORT)
    assert status == 1
    environment.run(re.search("ImportError: msgpack is missing or incomplete .* To mend it: (.+)$", errors).group(1))
    assert environment.run_python(IMPORT) == (0, "", "")


# Encryption.


@pytest.mark.parametrize("name", [
    "RedisChannelLayer", "RedisSentinelChannelLayer", "RedisClusterChannelLayer", "RedisLocalChannelLayer",
])
def test_without_cryptography_each_layer_says_what_to_install(make_environment, name, without_cryptography):
    program = (
        "import asgi_redis\n"
        "arguments = {'local_layer': asgi_redis.RedisChannelLayer()} if 'Local' in '%s' else {}\n"
        "asgi_redis.%s(symmetric_encryption_keys=['secret'], **arguments)" % (name, name)
    )
    status, _, errors = without_cryptography.run_python(program)
    assert status == 1
    assert errors.splitlines()[-1] == (
        "ValueError: Encryption needs the package 'cryptography': pip install asgi_redis[cryptography]"
    )


@pytest.fixture(scope="module")
def without_cryptography(make_environment):
    environment = make_environment("3.11")
    environment.run("pip install asgi_redis==1.5.0")
    assert "cryptography" not in environment.installed()
    return environment
