"""A site on Django 5 and one on Channels 1 over one Redis, with the code of docs/moving-off.rst."""
import asyncio
import contextlib
import shutil
import subprocess
import threading
from importlib.metadata import version

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.tools.embedded import Server, free_port

from ..integration.processes import PATIENCE
from ..servers import eventually
from ..upgrading.environments import literal_blocks, parsed
from .sites import PAGE, blocks

requests = pytest.importorskip("requests")
websocket = pytest.importorskip("websocket")
channels_redis = pytest.importorskip("channels_redis.core")


@pytest.fixture(autouse=True)
def shown_log(request):
    """Shows what the processes have logged if a test fails."""
    yield
    if "sites" in request.fixturenames:
        print(request.getfixturevalue("sites").log())


@contextlib.contextmanager
def connected(port):
    """A WebSocket, which lives for PATIENCE: Daphne's pings would let it wait for a message without end."""
    with contextlib.closing(websocket.create_connection("ws://127.0.0.1:%d/" % port, timeout=PATIENCE)) as client:
        timer = threading.Timer(PATIENCE, client.abort)
        timer.start()
        try:
            yield client
        finally:
            timer.cancel()


@pytest.fixture
def socket(sites):
    """A WebSocket that is connected to the old site's Daphne, and a member of its group."""
    with connected(sites.old_daphne.port) as client:
        yield client


def test_the_sites_run_what_the_page_says(old_environment):
    old = old_environment.installed()
    assert [old[name] for name in ("channels", "daphne", "asgiref")] == ["1.1.8", "1.4.2", "1.1.2"]
    assert old["django"].startswith("2.2.")
    assert [version(name).split(".")[0] for name in ("django", "asgiref", "channels")] == ["5", "3", "4"]


def test_a_view_sends_to_a_group_of_the_old_site(sites, socket):
    reply = requests.post(sites.new_url("/new/announce/"), {"text": "\u20ac news"}, timeout=PATIENCE)
    assert reply.status_code == 204
    assert socket.recv() == "\u20ac news"


def test_an_async_view_gets_the_reply_of_a_consumer_of_the_old_site(sites):
    reply = requests.get(sites.new_url("/new/words/"), {"text": "one two three"}, timeout=PATIENCE)
    assert reply.json() == {"words": 3}


def test_a_management_command_asks_a_consumer_and_sends_to_a_group(sites, socket):
    assert sites.command("announce", "to all of you") == "Sent 4 words.\n"
    assert socket.recv() == "to all of you"


def test_a_consumer_in_the_new_site_replies_to_a_websocket_of_the_old_one(sites, socket):
    socket.send("hello")
    assert socket.recv() == "HELLO"


# The proxy.

NGINX = """
daemon off;
pid nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    %s
}
"""


@pytest.fixture
def proxy(sites, tmp_path):
    """The port of an nginx that is set up as "What the two sites need" says."""
    if shutil.which("nginx") is None:
        pytest.skip("needs nginx")
    (server,) = (block for block in literal_blocks(parsed(PAGE)) if block.startswith("server {"))
    port = free_port()
    for old, new in (("8080", port), ("8000", sites.old_daphne.port), ("8001", sites.new_daphne.port)):
        server = server.replace(old, str(new))
    (tmp_path / "nginx.conf").write_text(NGINX % server)
    process = subprocess.Popen(["nginx", "-p", str(tmp_path), "-c", "nginx.conf", "-e", "stderr"])
    try:
        eventually(lambda: answers(port), "nginx listens")
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE)


def answers(port):
    try:
        return requests.get("http://127.0.0.1:%d/" % port, timeout=PATIENCE)
    except requests.ConnectionError:
        return None


def test_pages_and_websockets_through_the_proxy(proxy):
    assert requests.get("http://127.0.0.1:%d/" % proxy, timeout=PATIENCE).text == "The old site."
    with connected(proxy) as socket:
        requests.post("http://127.0.0.1:%d/new/announce/" % proxy, {"text": "news"}, timeout=PATIENCE)
        assert socket.recv() == "news"


# Channels 4's own layer.


@pytest.fixture(scope="module")
def url():
    """The URL of a server that the sites do not use."""
    with Server() as server:
        yield server.url


@pytest.fixture
def ours(url):
    return RedisChannelLayer(hosts=[url])


@pytest.fixture
def configured(url):
    """The arguments for Channels 4's own layer, of "What Channels 4 does not share"."""
    names = {}
    exec(blocks(url)["newsite/channels4.py"], names)
    return names["CHANNEL_LAYERS"]["default"]["CONFIG"]


@pytest.mark.parametrize("prefix", ["asgi", "newsite"])
def test_groups_of_the_same_name_are_not_shared_with_channels_4(ours, configured, prefix):
    ours.group_add("mixed", "ours")

    async def exchange():
        theirs = channels_redis.RedisChannelLayer(**dict(configured, prefix=prefix))
        channel = await theirs.new_channel()
        await theirs.group_add("mixed", channel)
        ours.send_group("mixed", {"from": "ours"})
        await theirs.group_send("mixed", {"from": "theirs"})
        await theirs.group_send("mixed", {"from": "the end"})
        return [(await asyncio.wait_for(theirs.receive(channel), PATIENCE))["from"] for _ in range(2)]

    assert asyncio.run(exchange()) == ["theirs", "the end"]
    assert ours.receive(["ours"]) == ("ours", {"from": "ours"})
    assert ours.receive(["ours"]) == (None, None)


@pytest.mark.parametrize("prefix, kept", [("asgi", False), ("newsite", True)])
def test_flush_of_channels_4_deletes_the_old_site_s_messages_unless_the_prefix_differs(ours, configured, prefix, kept):
    ours.send("waiting", {})
    asyncio.run(channels_redis.RedisChannelLayer(**dict(configured, prefix=prefix)).flush())
    assert (ours.receive(["waiting"]) == ("waiting", {})) is kept


def test_the_page_has_a_prefix_for_channels_4_that_ours_does_not_begin_with(ours, configured):
    assert not ours.prefix.startswith(configured["prefix"])
