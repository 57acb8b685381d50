"""Pending ``receive_async`` leave the threads of the event loop to the application."""
import asyncio
import time

from asgi_redis import RedisChannelLayer

from .patience import AT_ONCE, LONG_WAIT
from .test_asyncio import run
from .troubles import Gone

#: More than the pool of any event loop has threads: 32.
MANY = 40


async def assert_threads_are_free():
    loop = asyncio.get_event_loop()
    await asyncio.wait_for(asyncio.gather(*(loop.run_in_executor(None, int) for _ in range(5))), AT_ONCE)


async def until_blocked(client, count):
    for _ in range(1000):
        if client.info("clients")["blocked_clients"] >= count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody waits")


def begin(layer):
    return [asyncio.ensure_future(layer.receive_async(["normal"])) for _ in range(MANY)]


async def end(pending):
    for future in pending:
        future.cancel()
    await asyncio.gather(*pending, return_exceptions=True)


def test_they_leave_the_threads_of_the_event_loop_alone(layer, client):
    layer.blpop_timeout = LONG_WAIT

    async def receive():
        pending = begin(layer)
        await asyncio.sleep(0)
        await assert_threads_are_free()
        await until_blocked(client, MANY)
        await assert_threads_are_free()
        await end(pending)

    run(receive())


def test_all_of_them_are_served(make_layer, client):
    layer = make_layer(capacity=2 * MANY)

    async def receive():
        pending = begin(layer)
        await until_blocked(client, MANY)
        for number in range(MANY):
            layer.send("normal", {"n": number})
        found = await asyncio.gather(*pending)
        assert sorted(message["n"] for _, message in found) == list(range(MANY))

    run(receive())


def test_they_do_so_in_an_outage_too():
    async def receive():
        with Gone() as gone:
            layer = RedisChannelLayer(hosts=[gone.url])
            layer.blpop_timeout = LONG_WAIT
            pending = begin(layer)
            for _ in range(5):
                await asyncio.sleep(0.1)
                await assert_threads_are_free()
            await end(pending)

    run(receive())


def test_they_end_with_blpop_timeout(layer):
    layer.blpop_timeout = 1

    async def receive():
        begun = time.time()
        assert await asyncio.gather(*begin(layer)) == MANY * [(None, None)]
        assert time.time() - begun < AT_ONCE

    run(receive())
