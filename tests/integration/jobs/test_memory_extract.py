"""A conversation becomes memories as a job: by a real worker, through real services, with memories in Postgres."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from bureau import Bureau
from bureau_contracts.jobs import JobStatus
from bureau_contracts.sessions import NewMessage
from kit.identity import PRINCIPAL_HEADER, Principal, PrincipalSigner
from kit.settings import CommonSettings
from services.memory.app import create_app as memory_app
from services.memory.settings import Settings as MemorySettings
from services.sessions.app import create_app as sessions_app
from services.sessions.settings import Settings as SessionsSettings
from services.sessions.store_sqlite import SqliteSessionStore
from tests.integration.jobs.conftest import PRIVATE, PUBLIC, ROOT, Workers, reach
from tests.job_stores import ANN, Jobs
from tests.servers import closed_url, serving

ME = Principal(ANN.tenant, ANN.user)
SAID = ("My name is Ann.", "I prefer short answers.", "What is the weather?")


class Signed(httpx.AsyncHTTPTransport):
    """Does what the gateway does for a request: says whose it is."""

    def __init__(self, audience: str) -> None:
        super().__init__()
        self._audience = audience

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.headers[PRINCIPAL_HEADER] = PrincipalSigner(PRIVATE, "tests").sign(ME, self._audience)
        return await super().handle_async_request(request)


@dataclass
class House:
    sessions: Bureau
    memory: Bureau
    sessions_url: str
    memory_url: str

    @property
    def settings(self) -> dict[str, str]:
        return {
            "memory_url": self.memory_url,
            "sessions_url": self.sessions_url,
            "function_modules": "services.jobs.functions_memory",
        }

    async def say(self, *texts: str, session_id: str | None = None) -> str:
        session_id = session_id or (await self.sessions.sessions.create()).session_id
        for text in texts:
            await self.sessions.sessions.add_message(session_id, NewMessage(role="user", content=text))
        return session_id

    async def known(self) -> Counter[str]:
        return Counter([memory.text async for memory in _all(self.memory)])


async def _all(bureau: Bureau) -> AsyncIterator[Any]:
    for memory in (await bureau.memory.page(limit=100)).memories:
        yield memory


@pytest.fixture
async def house(tmp_path: Path, database_url: str) -> AsyncIterator[House]:
    common = CommonSettings.model_validate({"identity_public_keys": PUBLIC, "identity_private_key": PRIVATE})
    async with AsyncExitStack() as opened:
        sessions = sessions_app(SessionsSettings(common=common), store=SqliteSessionStore(tmp_path / "sessions.db"))
        sessions_url = await opened.enter_async_context(serving(sessions))
        asked = {"common": common, "database_url": database_url, "sessions_url": sessions_url}
        memory_url = await opened.enter_async_context(serving(memory_app(MemorySettings.model_validate(asked))))
        yield House(
            await opened.enter_async_context(Bureau(sessions_url, "unused", transport=Signed("sessions"))),
            await opened.enter_async_context(Bureau(memory_url, "unused", transport=Signed("memory"))),
            sessions_url, memory_url,
        )  # fmt: skip


def step(**arguments: object) -> dict[str, Any]:
    """The example's own step."""
    runbook = yaml.safe_load((ROOT / "examples" / "runbooks" / "remember.yaml").read_text())
    (only,) = runbook["steps"]
    return {**only, "arguments": arguments}


async def run(jobs: Jobs, **arguments: object) -> dict[str, Any]:
    job_id = (await jobs.start(step(**arguments))).job_id
    await reach(jobs, job_id, JobStatus.SUCCEEDED, seconds=60)
    (only,) = (await jobs.record(job_id)).steps
    assert isinstance(only.result, dict)
    return only.result


async def test_a_session_becomes_memories_once_however_often_the_job_runs(
    jobs: Jobs, workers: Workers, house: House
) -> None:
    session_id = await house.say(*SAID)
    await workers(**house.settings).ready()
    first = await run(jobs, session_id=session_id)
    assert (first["sessions"], first["messages"], first["added"]) == (1, 3, 2)
    known = await house.known()
    assert len(known) == 2
    again = await run(jobs, session_id=session_id)
    assert (again["messages"], again["added"]) == (0, 0)
    assert await house.known() == known, "none twice"
    await house.say("My name is Anna.", session_id=session_id)
    later = await run(jobs, session_id=session_id)
    assert (later["messages"], later["superseded"]) == (1, 1)
    assert len(await house.known()) == 2


async def test_without_a_session_all_of_the_owners_latest_ones_are_read(
    jobs: Jobs, workers: Workers, house: House
) -> None:
    await house.say("My name is Ann.")
    await house.say("I prefer short answers.")
    await workers(**house.settings).ready()
    found = await run(jobs, days=1)
    assert (found["sessions"], found["added"]) == (2, 2)
    assert (await run(jobs, days=1))["added"] == 0


async def test_a_memory_that_is_away_is_asked_again_later_and_another_ones_session_is_not_read(
    jobs: Jobs, workers: Workers, house: House
) -> None:
    away = await workers(**house.settings | {"memory_url": closed_url()}, retry_first_seconds=0.1).ready()
    session_id = await house.say(*SAID)
    job_id = (await jobs.start(step(session_id=session_id) | {"max_attempts": 2})).job_id
    await reach(jobs, job_id, JobStatus.FAILED)
    assert (await jobs.record(job_id)).steps[0].attempts == 2
    away.kill()
    await workers(**house.settings).ready()
    job_id = (await jobs.start(step(session_id="sess-of-somebody-else"))).job_id
    await reach(jobs, job_id, JobStatus.FAILED)
    assert "session" in str((await jobs.record(job_id)).error)
    assert not await house.known()
