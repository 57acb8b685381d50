"""receive_async, from asyncio."""
import asyncio
import subprocess
import time

import pytest
from redis.exceptions import ConnectionError

from asgi_redis import RedisChannelLayer
from asgi_redis.tools.embedded import Server

from . import servers
from .commands import start_program
from .patience import AT_ONCE, LONG_WAIT, receive_within

#: A program whose event loop ends in the turn in which a message arrives. A loop that runs ``until`` the end of a
#: coroutine hands it over once more, to a task that has no turn left; one that is told to ``stop`` does not.
ENDING = """
import asyncio, sys, time
from asgi_redis import RedisChannelLayer

layer = RedisChannelLayer(hosts=[sys.argv[1]], prefix="ending:")
sender = RedisChannelLayer(hosts=[sys.argv[1]], prefix="ending:")

def last_turn():
    sender.send("normal", {"n": 1})
    time.sleep(0.5)

async def begin():
    task = asyncio.ensure_future(receive())
    await asyncio.sleep(0.5)
    return task

async def receive():
    print("received", await layer.receive_async(["normal"]))

async def until():
    task = await begin()
    last_turn()
    return task

async def stop():
    task = await begin()
    last_turn()
    loop.stop()

loop = asyncio.new_event_loop()
if sys.argv[2] == "until":
    task = loop.run_until_complete(until())
else:
    task = loop.create_task(stop())
    loop.run_forever()
loop.close()
"""


async def awaited(future):
    """``future``, as a coroutine."""
    return await future


def run(coroutine):
    """``asyncio.run``, which Python 3.6 does not have."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(asyncio.wait_for(coroutine, 60))
    finally:
        loop.close()


async def until_blocked(layer, shards):
    """Return once somebody waits on each of the first ``shards`` shards."""
    for index in range(shards):
        client, deadline = servers.client_of(layer, index), time.time() + AT_ONCE
        while not client.info("clients")["blocked_clients"]:
            assert time.time() < deadline, "nobody waits"
            await asyncio.sleep(0.01)


def test_the_extensions_are_named(layer):
    assert {"async", "asyncio"} <= set(layer.extensions)


def test_it_gets_what_is_there_and_what_comes(make_layer, shards):
    layer = make_layer(shards)

    async def receive():
        layer.send("normal", {"n": 1})
        assert await layer.receive_async(["normal", "process!"]) == ("normal", {"n": 1})
        waiting = asyncio.ensure_future(layer.receive_async(["normal", "process!"]))
        await until_blocked(layer, shards)
        layer.send("process!x", {"n": 2})
        assert await waiting == ("process!x", {"n": 2})

    run(receive())


def test_it_gives_nothing_when_the_time_is_up(layer):
    layer.blpop_timeout = 1

    async def receive():
        return await layer.receive_async(["normal"])

    assert run(receive()) == (None, None)


def test_the_loop_goes_on_while_it_waits_and_while_a_batch_is_handed_out(layer):
    for number in range(300):
        layer.group_add("crowd", "process!%d" % number)
    layer.receive(["process!"])
    layer.send_group("crowd", {"n": 1})

    async def receive():
        turns = []
        asyncio.get_event_loop().call_soon(turns.append, 1)
        names = {(await layer.receive_async(["process!"]))[0] for _ in range(300)}
        assert len(names) == 300 and turns

    run(receive())


def test_many_at_once_share_the_messages(make_layer, shards):
    layer = make_layer(shards)

    async def receive():
        waiting = [asyncio.ensure_future(layer.receive_async(["normal"])) for _ in range(4)]
        for number in range(4):
            layer.send("normal", {"n": number})
        found = await asyncio.gather(*waiting)
        assert sorted(message["n"] for _, message in found) == [0, 1, 2, 3]

    run(receive())


@pytest.mark.parametrize("channel, shards", [("normal", 1), ("normal", 3), ("process!x", 1), ("reader?x", 2)])
def test_what_comes_after_a_cancel_is_not_lost(make_layer, shards, channel):
    layer = make_layer(shards)
    layer.blpop_timeout = 1
    receivable = channel.split("!")[0] + "!" if "!" in channel else channel

    async def receive():
        found = []
        for number in range(40):
            waiting = asyncio.ensure_future(layer.receive_async([receivable]))
            await asyncio.sleep(number % 5 * 0.0005)
            layer.send(channel, {"n": number})
            waiting.cancel()
            try:
                found.append(await waiting)
            except asyncio.CancelledError:
                pass
        while found[-1:] != [(None, None)]:
            found.append(await layer.receive_async([receivable]))
        assert sorted(message["n"] for _, message in found[:-1]) == list(range(40))

    run(receive())


def test_a_cancelled_receive_ends_at_once(layer, client):
    layer.blpop_timeout = LONG_WAIT

    async def receive():
        waiting = asyncio.ensure_future(layer.receive_async(["normal"]))
        await until_blocked(layer, 1)
        waiting.cancel()
        begun = time.time()
        while client.info("clients")["blocked_clients"]:
            assert time.time() - begun < AT_ONCE
            await asyncio.sleep(0.005)

    run(receive())


def test_errors_come_where_it_is_awaited(layer):
    async def receive(channels, error, layer):
        with pytest.raises(error):
            await layer.receive_async(channels)

    run(receive("normal", TypeError, layer))
    run(receive(["normal"], ConnectionError, RedisChannelLayer(hosts=["redis://127.0.0.1:1"], reconnect_timeout=1)))


def test_it_outlives_a_restart_of_the_server():
    with Server() as server:
        layer = RedisChannelLayer(hosts=[server.url])

        async def receive():
            waiting = asyncio.ensure_future(layer.receive_async(["normal"]))
            await until_blocked(layer, 1)
            server.kill()
            server.start()
            RedisChannelLayer(hosts=[server.url]).send("normal", {"n": 1})
            assert await waiting == ("normal", {"n": 1})

        run(receive())


def test_what_comes_once_the_loop_has_stopped_is_not_lost(layer):
    async def begin():
        receiving.append(layer.receive_async(["normal"]))
        await until_blocked(layer, 1)

    receiving = []
    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    layer.send("normal", {"n": 1})
    assert layer.receive(["normal"], block=True) == ("normal", {"n": 1})
    receiving[0].cancel()
    loop.run_until_complete(asyncio.gather(*receiving, return_exceptions=True))
    loop.close()


@pytest.mark.parametrize("end", ["until", "stop"])
def test_what_comes_in_the_last_turn_of_the_loop_is_not_lost(end, make_layer):
    layer = make_layer(prefix="ending:", stats_prefix="asgi-meta:")
    ending = start_program(ENDING, layer.hosts[0], end, stdout=subprocess.PIPE)
    assert b"received" not in ending.communicate()[0]
    assert ending.returncode == 0
    assert receive_within(layer, ["normal"]) == [("normal", {"n": 1})]


@pytest.mark.parametrize("channel, receivable", [("normal", "normal"), ("process!x", "process!")])
def test_a_task_that_is_cancelled_before_its_turn_loses_nothing(layer, channel, receivable):
    async def receive():
        future = layer.receive_async([receivable])
        task = asyncio.ensure_future(awaited(future))
        future.add_done_callback(lambda _: task.cancel())  # it comes before the callback that wakes the task
        layer.send(channel, {"n": 1})
        with pytest.raises(asyncio.CancelledError):
            await task
        assert future.cancelled()

    run(receive())
    assert receive_within(layer, [receivable]) == [(channel, {"n": 1})]


def test_a_message_that_arrives_as_wait_for_times_out_is_not_lost(make_layer):
    layer, sender = make_layer(), make_layer()

    async def receive():
        waiting = asyncio.ensure_future(asyncio.wait_for(layer.receive_async(["normal"]), 1))
        await asyncio.sleep(0.5)
        sender.send("normal", {"n": 1})
        time.sleep(1)  # the next turn of the loop gets both the message and the end of the time
        try:
            return [await waiting]
        except asyncio.TimeoutError:
            return []

    assert (run(receive()) or receive_within(layer, ["normal"])) == [("normal", {"n": 1})]


@pytest.mark.parametrize("wait", [awaited, asyncio.gather, lambda future: asyncio.wait([future])])
def test_a_message_that_was_handed_over_is_not_put_back_by_a_cancel(layer, wait):
    async def receive():
        future = layer.receive_async(["normal"])
        layer.send("normal", {"n": 1})
        await wait(future)
        assert not future.cancel() and not future.cancelled()
        assert future.result() == await future == ("normal", {"n": 1})

    run(receive())
    assert layer.receive(["normal"]) == (None, None)


def test_a_message_that_is_read_in_the_turn_of_its_arrival_is_not_put_back_by_a_cancel(layer):
    found = []

    async def read(future):
        found.append(await future)
        future.cancel()

    def read_at_once(future):  # as a task does that begins at once, by eager_task_factory
        with pytest.raises(StopIteration):
            read(future).send(None)

    async def receive():
        future = layer.receive_async(["normal"])
        future.add_done_callback(read_at_once)
        layer.send("normal", {"n": 1})
        await asyncio.wait([future])

    run(receive())
    assert found == [("normal", {"n": 1})]
    assert layer.receive(["normal"]) == (None, None)
