"""Postgres goes away under the service: searches degrade, all recovers by itself, nothing acknowledged is lost."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from deploy.local.postgres import EmbeddedPostgres
from kit.identity import Principal, generate_keypair
from kit.settings import CommonSettings
from kit.tasks import background
from services.memory.app import create_app
from services.memory.database import GRACE_SECONDS
from services.memory.settings import Settings
from tests.complaints import no_complaints
from tests.http import service_client
from tests.integration.memory.tcp_proxy import TcpProxy
from tests.waiting import eventually

ALICE = Principal("acme", "alice")
SEARCH_TIMEOUT, REQUEST_TIMEOUT = 0.5, 1.0
MARGIN = 2 * GRACE_SECONDS + 0.5
"""Tidying up, and a machine that is busy."""


@dataclass
class House:
    """A service, its own Postgres, and a proxy between them, so that Postgres may come back on another port."""

    alice: httpx.AsyncClient
    postgres: EmbeddedPostgres
    proxy: TcpProxy

    async def stop_postgres(self) -> None:
        self.proxy.target = None
        await asyncio.to_thread(self.postgres.stop)

    async def start_postgres(self) -> None:
        await asyncio.to_thread(self.postgres.start)
        self.proxy.target = self.postgres.port

    async def search(self) -> tuple[bool, list[str]]:
        """Whether it was degraded, and what was found by both rankings."""
        response = await self.alice.get("/memory/search", params={"q": "tea", "k": 100})
        assert response.status_code == 200, response.text
        answer = response.json()
        return answer["degraded"], [hit["memory"]["text"] for hit in answer["results"] if len(hit["matched"]) == 2]

    async def is_degraded(self) -> bool:
        return (await self.search())[0]

    async def is_well(self) -> bool:
        return not await self.is_degraded()

    async def health(self) -> str:
        return str((await self.alice.get("/health")).json()["status"])


@asynccontextmanager
async def a_house(folder: Path, *, postgres_runs: bool = True, exact_rows: int = 4000) -> AsyncIterator[House]:
    postgres, proxy = EmbeddedPostgres(folder), TcpProxy()
    private, public = generate_keypair()
    try:
        async with proxy.running():
            # Without TLS: asyncpg asks for it before each request to cancel, breaks such requests off as well, and then
            # leaves the complaint behind that `no_complaints` is for.
            url = f"postgresql://bureau:{postgres.password()}@127.0.0.1:{proxy.port}/bureau?sslmode=disable"
            settings = Settings(
                database_url=SecretStr(url),
                search_timeout_seconds=SEARCH_TIMEOUT,
                request_timeout_seconds=REQUEST_TIMEOUT,
                exact_rows=exact_rows,
                common=CommonSettings(identity_public_keys=public),
            )
            app = create_app(settings)
            house = House(service_client(app, ALICE, "memory", private), postgres, proxy)
            if postgres_runs:
                await house.start_postgres()
            async with app.router.lifespan_context(app), house.alice:
                yield house
    finally:
        await asyncio.to_thread(postgres.stop)


async def test_acknowledged_writes_survive_a_restart_under_load_and_searches_recover(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    answers: list[int] = []

    async def write(house: House) -> None:
        for number in range(100_000):
            text = f"tea number {number}"
            response = await house.alice.post("/memory", json={"text": text})
            answers.append(response.status_code)
            if response.status_code == 201:
                acknowledged.append(text)
            else:
                assert response.status_code == 503
                assert int(response.headers["retry-after"]) >= 1
                await asyncio.sleep(0.02)  # a polite writer

    def more_than(count: int) -> Callable[[], bool]:
        return lambda: len(acknowledged) > count

    async with a_house(tmp_path, postgres_runs=True) as house:
        async with background(write(house)):
            await eventually(more_than(20))
            await house.stop_postgres()
            await eventually(house.is_degraded)
            await eventually(lambda: 503 in answers)
            began = time.perf_counter()
            for _ in range(5):
                assert await house.search() == (True, [])
            assert time.perf_counter() - began < 5 * SEARCH_TIMEOUT
            assert await house.health() == "degraded"
            before = len(acknowledged)
            await house.start_postgres()
            await eventually(house.is_well)
            await eventually(more_than(before + 20))

        stored = await stored_texts(house)
        assert len(stored) == len(set(stored))
        assert set(acknowledged) <= set(stored)


async def ride_out(folder: Path, *, people: int, cuts: int) -> None:
    """Writers and searchers at once, while Postgres is stopped and started: nobody gets anything but an answer."""
    acknowledged: list[str] = []
    wrong: list[str] = []
    degraded = well = 0

    async def write(house: House, who: int) -> None:
        for number in range(100_000):
            text = f"tea of {who} number {number}"
            response = await house.alice.post("/memory", json={"text": text})
            if response.status_code == 201:
                acknowledged.append(text)
            elif response.status_code != 503:
                wrong.append(response.text)
            await asyncio.sleep(0.01)  # a polite writer

    async def look(house: House) -> None:
        nonlocal degraded, well
        while True:
            response = await house.alice.get("/memory/search", params={"q": "tea", "k": 5})
            if response.status_code != 200:
                wrong.append(response.text)
            elif response.json()["degraded"]:
                degraded += 1
            else:
                well += 1
            await asyncio.sleep(0.01)

    def grew(values: list[str]) -> Callable[[], bool]:
        before = len(values)
        return lambda: len(values) >= before + people

    async with no_complaints(), a_house(folder) as house:
        work = [write(house, who) for who in range(people // 2)] + [look(house) for _ in range(people // 2)]
        async with background(*work):
            for _ in range(cuts):
                await eventually(grew(acknowledged), seconds=60)
                before = degraded
                await house.stop_postgres()
                await eventually(lambda before=before: degraded > before + people, seconds=60)  # type: ignore[misc]  # bound at once
                await house.start_postgres()
                await eventually(house.is_well, seconds=60)
            await eventually(grew(acknowledged), seconds=60)
        assert wrong == []
        assert well
        assert set(acknowledged) <= set(await stored_texts(house))


async def test_writers_and_searchers_ride_out_a_restart(tmp_path: Path) -> None:
    await ride_out(tmp_path, people=8, cuts=1)


@pytest.mark.chaos
async def test_thirty_two_writers_and_searchers_ride_out_three_restarts(tmp_path: Path) -> None:
    await ride_out(tmp_path, people=32, cuts=3)


async def stored_texts(house: House) -> list[str]:
    stored: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await house.alice.get("/memory", params={"limit": 200, **cursor})).json()
        stored += [memory["text"] for memory in page["memories"]]
        if page.get("next_cursor") is None:
            return stored
        cursor = {"cursor": page["next_cursor"]}


async def test_a_service_that_starts_before_its_database_prepares_it_when_it_comes(tmp_path: Path) -> None:
    async with a_house(tmp_path, postgres_runs=False) as house:
        assert await house.search() == (True, [])
        assert (await house.alice.post("/memory", json={"text": "tea"})).status_code == 503
        assert await house.health() == "degraded"
        await house.start_postgres()
        await eventually(house.is_well)
        assert (await house.alice.post("/memory", json={"text": "likes tea"})).status_code == 201
        assert await house.search() == (False, ["likes tea"])
        assert await house.health() == "ok"


@pytest.mark.parametrize("exact_rows", [4000, 0], ids=["exact", "index"])
async def test_a_database_that_hangs_costs_a_search_its_time_limit_and_the_next_ones_nothing(
    tmp_path: Path, exact_rows: int
) -> None:
    async with a_house(tmp_path, exact_rows=exact_rows) as house:
        assert (await house.alice.post("/memory", json={"text": "likes tea"})).status_code == 201
        assert await house.search() == (False, ["likes tea"])
        house.proxy.silent = True
        began = time.perf_counter()
        assert await house.search() == (True, [])
        assert SEARCH_TIMEOUT * 0.9 <= time.perf_counter() - began < SEARCH_TIMEOUT + MARGIN
        began = time.perf_counter()
        assert await house.search() == (True, [])
        assert time.perf_counter() - began < SEARCH_TIMEOUT / 2
        house.proxy.silent = False
        await eventually(house.is_well)
        assert await house.search() == (False, ["likes tea"])


async def test_a_database_that_hangs_costs_a_write_its_time_limit(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        assert (await house.alice.post("/memory", json={"text": "likes tea"})).status_code == 201
        house.proxy.silent = True
        began = time.perf_counter()
        response = await house.alice.post("/memory", json={"text": "likes coffee"})
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert time.perf_counter() - began < REQUEST_TIMEOUT + MARGIN
        house.proxy.silent = False
        await eventually(house.is_well)
        assert (await house.alice.post("/memory", json={"text": "likes coffee"})).status_code == 201
