"""What kit.redis makes of redis-py's clients, against real servers."""

import asyncio
from pathlib import Path

import pytest
from redis.exceptions import ReadOnlyError
from redis.exceptions import TimeoutError as NoAnswer

from kit.redis import connect, connect_blocking
from tests.faulty_valkey import faulty_valkey
from tests.redis_shapes import Cluster, ending

TURNS = 40
"""Of the event loop; a PING is through after fewer."""


@pytest.mark.parametrize("connected", [True, False])
async def test_a_cancellation_is_never_swallowed_whenever_it_comes(redis_url: str, connected: bool) -> None:
    """By redis-py's own connections it is, in some of these turns."""
    for turns in range(TURNS):
        async with connect(redis_url) as redis:
            if connected:
                await redis.ping()

            async def ask() -> None:
                await redis.ping()
                await asyncio.Event().wait()

            asking = asyncio.create_task(ask())
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
            done, _ = await asyncio.wait([asking], timeout=5)
            assert done, f"a cancellation after {turns} turns was lost"
            assert asking.cancelled()


async def test_a_send_that_nobody_reads_is_timed_out(tmp_path: Path) -> None:
    with faulty_valkey(tmp_path) as own:
        async with connect(own.url, timeout_seconds=0.5) as redis:
            await redis.ping()
            own.freeze()
            async with asyncio.timeout(5):
                with pytest.raises(NoAnswer):
                    await redis.set("much", "x" * 32_000_000)
            own.thaw()
        async with connect(own.url) as redis:
            assert await redis.ping()


async def test_a_connection_lets_go_of_a_server_that_became_a_replica(tmp_path: Path) -> None:
    with faulty_valkey(tmp_path) as own:
        async with connect(own.url, connections=1) as redis:
            before = await redis.client_id()
            await redis.replicaof("127.0.0.1", 1)
            with pytest.raises(ReadOnlyError):
                await redis.set("a", 1)
            assert await redis.client_id() != before


async def test_a_cluster_answers_the_first_calls_when_they_come_all_at_once(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    with ending(cluster):
        await cluster.ready()
        for number in range(5):
            async with connect(cluster.url) as redis:
                count = redis.register_script("return redis.call('INCR', KEYS[1])")
                answers = await asyncio.gather(*(count(keys=[f"key-{number}"]) for _ in range(40)))
                assert sorted(answers) == list(range(1, 41))
                async with redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe("news")
                    await redis.eval("redis.call('PUBLISH', 'news', 'heard') return 1", 1, f"key-{number}")
                    message = None
                    while message is None:
                        message = await channel.get_message(timeout=5)
                    assert message["data"] == "heard"
        blocking = connect_blocking(cluster.url, timeout_seconds=2)
        assert blocking.get("key-0") == "40"
        blocking.close()
