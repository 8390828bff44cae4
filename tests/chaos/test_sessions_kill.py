"""kill -9 of the sessions service, and of Postgres under it, while 32 writers write: what was acknowledged is there.

The writers live on: they repeat a turn until it is acknowledged, and give up on a note whose answer did not come.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.local.postgres import EmbeddedPostgres
from tests.chaos.sessions_process import SessionsProcess, identity
from tests.integration.memory.tcp_proxy import TcpProxy

WRITERS = 32
SESSIONS = 4
LEAST_KILLS = 2
"""Of the service, and of the server where there is one."""
PATIENCE_SECONDS = 60
"""A writer that waits for longer has found something that does not recover."""

Kill = Callable[[], Awaitable[None]]
"""Kills something with signal 9, and starts it again."""
Place = Callable[[Path], AbstractAsyncContextManager[tuple[SessionsProcess, list[Kill]]]]
"""Where sessions are kept: the service over it, not started yet, and what can be killed."""


@dataclass
class Writer:
    """Writes texts that nobody else writes, one after the other."""

    number: int
    acknowledged: dict[str, int] = field(default_factory=dict)
    """In the order of writing: where each text stands."""
    unsure: set[str] = field(default_factory=set)

    @property
    def session(self) -> str:
        return f"/sessions/sess-{self.number % SESSIONS}"

    @property
    def repeats(self) -> bool:
        """Whether it writes turns, which may be repeated."""
        return self.number // SESSIONS % 2 == 0

    async def write(self, url: str, go_on: Callable[[], bool], acknowledge: Callable[[], None]) -> None:
        async with httpx.AsyncClient(base_url=url, timeout=20) as client:
            count = 0
            while go_on():
                count += 1
                text = f"{self.number}-{count}"
                seq = await (self._turn if self.repeats else self._note)(client, text)
                if seq is None:
                    self.unsure.add(text)
                else:
                    self.acknowledged[text] = seq
                    acknowledge()

    async def _turn(self, client: httpx.AsyncClient, text: str) -> int | None:
        body = {"turn_id": f"turn-{text}", "messages": [{"role": "user", "content": text}]}
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (seq := await self._post(client, f"{self.session}/turns", body, "last_seq")) is None:
                pass
        return seq

    async def _note(self, client: httpx.AsyncClient, text: str) -> int | None:
        return await self._post(client, f"{self.session}/history", {"role": "user", "content": text}, "seq")

    async def _post(self, client: httpx.AsyncClient, path: str, body: object, place: str) -> int | None:
        """None when the service, or its database, is away."""
        try:
            answer = await client.post(path, json=body, headers=identity())
        except httpx.TransportError:
            await asyncio.sleep(0.02)  # a service that starts is not knocked at a thousand times a second
            return None
        if answer.status_code == 503:
            await asyncio.sleep(0.02)
            return None
        assert answer.status_code == 201, answer.text
        seq: int = answer.json()[place]
        return seq


@asynccontextmanager
async def on_sqlite(folder: Path) -> AsyncIterator[tuple[SessionsProcess, list[Kill]]]:
    service = SessionsProcess(f"sqlite:///{folder}/sessions.db")
    yield service, [_restarting(service)]


@asynccontextmanager
async def on_postgres(folder: Path) -> AsyncIterator[tuple[SessionsProcess, list[Kill]]]:
    """A server of its own, durable; behind a proxy, since it comes back on another port."""
    server = EmbeddedPostgres(folder)
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(TcpProxy().running())
        stack.callback(server.stop)
        await asyncio.to_thread(server.start)
        proxy.target = server.port
        service = SessionsProcess(server.url.replace(f":{server.port}/", f":{proxy.port}/"))

        async def kill_server() -> None:
            pid = server.server_pid()
            assert pid is not None
            psutil.Process(pid).kill()
            proxy.target = None
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            proxy.target = server.port

        yield service, [_restarting(service), kill_server]


def _restarting(service: SessionsProcess) -> Kill:
    async def kill() -> None:
        await asyncio.to_thread(service.kill)
        await service.start()

    return kill


@pytest.mark.parametrize("place", [on_sqlite, on_postgres])
@pytest.mark.parametrize("seconds", [2, pytest.param(120, marks=pytest.mark.chaos)])
async def test_every_acknowledged_message_survives_kill_9(place: Place, tmp_path: Path, seconds: float) -> None:
    writers = [Writer(number) for number in range(WRITERS)]
    async with place(tmp_path) as (service, kills):
        try:
            await service.start()
            async with httpx.AsyncClient(base_url=service.url, timeout=20) as client:
                for number in range(SESSIONS):
                    body = {"session_id": f"sess-{number}"}
                    (await client.post("/sessions", json=body, headers=identity())).raise_for_status()
                await kill_amid_writes(service.url, writers, kills, seconds)
                for number in range(SESSIONS):
                    await check(client, f"/sessions/sess-{number}", writers[number::SESSIONS])
        finally:
            service.kill()


async def kill_amid_writes(url: str, writers: list[Writer], kills: list[Kill], seconds: float) -> None:
    chance, until, running = random.Random(seconds), time.monotonic() + seconds, True
    left, enough = 0, asyncio.Event()

    def acknowledge() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            enough.set()

    async with asyncio.TaskGroup() as group:
        for writer in writers:
            group.create_task(writer.write(url, lambda: running, acknowledge))
        done = 0
        while done < LEAST_KILLS * len(kills) or time.monotonic() < until:
            left = chance.randint(WRITERS, 600)
            enough.clear()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await enough.wait()
            await asyncio.sleep(chance.uniform(0, 0.01))  # so that the kill is not always as close behind an answer
            await kills[done % len(kills)]()
            done += 1
        running = False


async def check(client: httpx.AsyncClient, session: str, writers: list[Writer]) -> None:
    """Every text once, where it was said to be, and each writer's in the order of its writing."""
    kept: list[str] = []
    after: int | None = 0
    while after is not None:
        params = {"after": after, "limit": 200}
        page = (await client.get(f"{session}/history", params=params, headers=identity())).raise_for_status().json()
        assert [message["seq"] for message in page["messages"]] == list(
            range(after + 1, after + 1 + len(page["messages"]))
        )
        kept += [message["content"] for message in page["messages"]]
        after = page["next_after"]
    assert len(set(kept)) == len(kept)
    known = {text for writer in writers for text in (*writer.acknowledged, *writer.unsure)}
    assert set(kept) <= known
    for writer in writers:
        assert {text: kept[seq - 1] for text, seq in writer.acknowledged.items()} == {
            text: text for text in writer.acknowledged
        }
        places = list(writer.acknowledged.values())
        assert places == sorted(places)
        assert len(places) > 0
        assert not (writer.repeats and writer.unsure)
