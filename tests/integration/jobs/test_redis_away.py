"""Redis is killed and comes back: nothing is lost, and everybody goes on without a restart."""

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from bureau_contracts.jobs import JobStatus
from deploy.local.binaries import find_valkey
from deploy.local.valkey import EmbeddedValkey
from kit.identity import Principal, generate_keypair
from kit.settings import CommonSettings
from services.jobs.app import create_app
from services.jobs.settings import Settings
from services.jobs.store import Bounds
from tests.http import service_client
from tests.integration.jobs.conftest import Notes, reach, workers_of
from tests.job_stores import open_redis
from tests.waiting import eventually

PRIVATE, PUBLIC = generate_keypair()


class Breakable:
    """A Valkey of a test's own, that syncs every write and comes back on the same port."""

    def __init__(self, folder: Path) -> None:
        self.store = EmbeddedValkey(folder)
        self._again: subprocess.Popen[bytes] | None = None

    def kill(self) -> None:
        pid = self.store.server_pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    async def start_again(self) -> None:
        self._start()
        await eventually(self.answers)

    def _start(self) -> None:
        command = [str(find_valkey()), "valkey.conf"]
        self._again = subprocess.Popen(command, cwd=self.store.folder, stdout=subprocess.DEVNULL)

    def answers(self) -> bool:
        try:
            return self.store.ask("PING") == "+PONG"
        except OSError:
            return False

    def end(self) -> None:
        if self._again is not None:
            self._again.terminate()
            self._again.wait(10)


@contextmanager
def breakable(folder: Path) -> Iterator[Breakable]:
    own = Breakable(folder)
    with own.store:
        try:
            yield own
        finally:
            own.end()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Breakable]:
    with breakable(tmp_path / "data") as own:
        yield own


async def test_nothing_is_lost_when_redis_is_killed_in_the_middle_of_a_step(
    valkey: Breakable, tmp_path: Path, notes: Notes
) -> None:
    with workers_of(valkey.store.url, tmp_path) as workers:
        worker = await workers().ready()
        async with open_redis(Bounds(), valkey.store.url) as jobs:
            running = (await jobs.start(notes.held_step("one"), notes.step("two"))).job_id
            await eventually(lambda: notes.executions()[f"{running}:0"] == 1)
            waiting = (await jobs.start({"name": "look", "kind": "breakpoint"}, key="k")).job_id
            valkey.kill()
            await eventually(lambda: worker.says("heartbeat_failed"))
            notes.let_go()
            await eventually(lambda: worker.says("step_passed"))
            await valkey.start_again()

        async with open_redis(Bounds(), valkey.store.url) as jobs:
            await reach(jobs, running, JobStatus.SUCCEEDED)
            assert notes.executions() == Counter({f"{running}:0": 1, f"{running}:1": 1})
            assert (await jobs.record(waiting)).status is JobStatus.WAITING_APPROVAL
            assert not (await jobs.start({"name": "look", "kind": "breakpoint"}, key="k")).created
            seqs = [event.seq for event in await jobs.events(running)]
            assert seqs == list(range(1, len(seqs) + 1))


async def test_the_api_says_that_redis_is_away_and_recovers(valkey: Breakable) -> None:
    settings = Settings(redis_url=valkey.store.url, common=CommonSettings(identity_public_keys=PUBLIC))
    app = create_app(settings)
    body = {"title": "t", "steps": [{"name": "look", "kind": "breakpoint"}]}
    async with app.router.lifespan_context(app):
        client = service_client(app, Principal("acme", "ann"), "jobs", PRIVATE)
        job_id = (await client.post("/jobs/start", json=body)).json()["job_id"]
        valkey.kill()
        await eventually(lambda: not valkey.answers())
        for response in (
            await client.post("/jobs/start", json=body),
            await client.get(f"/jobs/{job_id}"),
            await client.get(f"/jobs/{job_id}/events"),
            await client.get("/jobs/workers"),
        ):
            assert (response.status_code, response.json()["code"]) == (503, "store_away")
            assert response.headers["retry-after"] == "1"
        assert (await client.get("/health")).status_code == 503

        await valkey.start_again()
        response = await client.get(f"/jobs/{job_id}")
        assert (response.status_code, response.json()["status"]) == (200, "waiting_approval")


async def test_the_api_starts_while_redis_is_away() -> None:
    settings = Settings(redis_url="redis://127.0.0.1:1/0", common=CommonSettings(identity_public_keys=PUBLIC))
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        client = service_client(app, Principal("acme", "ann"), "jobs", PRIVATE)
        response: httpx.Response = await client.get("/jobs")
        assert (response.status_code, response.json()["code"]) == (503, "store_away")


async def test_health_says_what_to_set_when_redis_may_forget(valkey: Breakable) -> None:
    settings = Settings(redis_url=valkey.store.url, common=CommonSettings(identity_public_keys=PUBLIC))
    app = create_app(settings)
    assert valkey.store.ask("CONFIG", "SET", "appendonly", "no") == "+OK"
    assert valkey.store.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru") == "+OK"
    async with app.router.lifespan_context(app):
        redis = (await service_client(app, None, "jobs", PRIVATE).get("/health")).json()["dependencies"]["redis"]
    assert redis["status"] == "degraded"
    assert "appendonly yes" in redis["detail"]
    assert "maxmemory-policy noeviction" in redis["detail"]
