"""Blocks that install something: each in a new environment, and in a copy of this checkout."""
import re

import pytest

from asgi_redis import __version__
from asgi_redis.tools.embedded import free_port

from ..upgrading.environments import Checkout, Environment, shell_variables
from .blocks import ROOT, commands_of, name_of, of_kind
from .processes import Processes


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return Checkout(tmp_path_factory.mktemp("checkout") / "asgi_redis")


@pytest.fixture(scope="module")
def environment(checkout, tmp_path_factory):
    """Of Python 3.13: the extra ``embedded`` needs a compiler before 3.11."""
    return Environment("3.13", tmp_path_factory.mktemp("python"), checkout)


@pytest.fixture(scope="module")
def old_environment(checkout, tmp_path_factory):
    """Of Python 3.9: the chat's Django runs on nothing newer."""
    return Environment("3.9", tmp_path_factory.mktemp("python"), checkout)


@pytest.mark.parametrize("block", of_kind("installation"), ids=name_of)
def test_installation(environment, block):
    environment.run("pip uninstall -y asgi_redis")
    output = environment.run(commands_of(block.text))
    assert environment.installed()["asgi-redis"] == __version__
    assert ("Nothing was lost or duplicated." in output) == ("demo" in block.text)


@pytest.mark.parametrize("block", of_kind("set-up"), ids=name_of)
def test_set_up(environment, block):
    """That the tests are found; other tests run them."""
    output = environment.run(block.text + " --collect-only -q")
    assert "tests/test_messages.py::test_" in output


@pytest.mark.parametrize("block", of_kind("release"), ids=name_of)
def test_release(environment, block):
    output = environment.run("rm -r dist\npip install build twine\n" + block.text)
    assert output.count("PASSED") == 2


@pytest.mark.parametrize("block", of_kind("tox"), ids=name_of)
def test_tox(old_environment, block):
    """That tox starts, and that the page has all environments; this test runs in one of them."""
    # Without the folders of the tox that runs this test.
    listed = old_environment.run("unset ${!TOX_*}\n" + block.text.replace("&& tox", "&& tox --listenvs"))
    page = (ROOT / block.document).read_text(encoding="utf-8")
    assert "left-out" in listed.split()
    for name in re.findall(r"^(\w+)$", listed, re.MULTILINE):
        assert "``%s``" % name in page or "``%s``" % name.replace("111", "22") in page, name


@pytest.mark.parametrize("block", of_kind("chat"), ids=name_of)
def test_chat(checkout, old_environment, block):
    port = free_port()
    command = checkout.enter + "cd examples/chat\n%s --port %d" % (block.text, port)
    with Processes(command, str(ROOT), shell_variables(old_environment.bin)) as chat:
        assert "<html" in chat.wait_for_page("http://127.0.0.1:%d/" % port)
        chat.wait_for_text("http://127.0.0.1:%d/" % port)
