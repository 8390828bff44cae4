"""Jobs on Redis as production has it. The server that holds them is killed in the middle, and nobody is told."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx

from bureau.http import Caller
from bureau.jobs import JobsClient
from bureau_contracts.events import Event
from bureau_contracts.jobs import JobStatus, StartJob
from deploy.local.ports import free_port
from kit.identity import PRINCIPAL_HEADER, Principal, PrincipalSigner, generate_keypair
from kit.tasks import background
from services.jobs.library import PREFIX
from tests.integration.jobs.conftest import ROOT, Notes, workers_of
from tests.redis_shapes import Cluster, Node, Sentinels, ending
from tests.waiting import eventually

PRIVATE, PUBLIC = generate_keypair()


@contextmanager
def api_process(url: str, folder: Path) -> Iterator[str]:
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BUREAU_", "JOBS_"))}
    environment |= {"BUREAU_IDENTITY_PUBLIC_KEYS": PUBLIC, "JOBS_REDIS_URL": url, "JOBS_PORT": str(port)}
    command = [sys.executable, "-m", "kit.serve", "services.jobs", "--lifeline"]
    with (folder / "api.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()


@asynccontextmanager
async def api_of(url: str, folder: Path) -> AsyncIterator[JobsClient]:
    """A client of an API in a process of its own, that asks as Ann."""
    ann = Principal("acme", "ann", scopes=frozenset({"function:note", "function:until"}))
    headers = {PRINCIPAL_HEADER: PrincipalSigner(PRIVATE, "tests").sign(ann, "jobs")}
    with api_process(url, folder) as base:
        async with httpx.AsyncClient(base_url=base, headers=headers, timeout=10) as http:

            async def answers() -> bool:
                try:
                    return (await http.get("/health")).status_code == 200
                except httpx.HTTPError:
                    return False

            await eventually(answers, seconds=30)
            yield JobsClient(Caller(http))


async def goes_on_without(holder: Node, url: str, folder: Path, notes: Notes) -> None:
    """A job whose first step is under way when `holder` is killed runs to its end, and is followed all the while."""
    seen: list[Event] = []
    with workers_of(url, folder) as workers:
        worker = await workers(lease_seconds=2).ready()
        async with api_of(url, folder) as client:
            steps = [notes.held_step("one"), notes.step("two"), {"name": "nap", "kind": "wait", "seconds": 0.1}]
            steps.append(notes.step("three"))
            job_id = (await client.start(StartJob.model_validate({"title": "t", "steps": steps}))).job_id

            async def follow() -> None:
                async for event in client.events(job_id):
                    seen.append(event)

            async with background(follow()):
                await eventually(lambda: any(event.type == "step.started" for event in seen))
                holder.kill()
                await eventually(lambda: worker.says("heartbeat_failed"))
                notes.let_go()
                await eventually(lambda: bool(seen) and seen[-1].status == "succeeded", seconds=30)
            job = await client.get(job_id)
    assert job.status is JobStatus.SUCCEEDED
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    finished = Counter(event.data["index"] for event in seen if event.type == "step.finished")
    assert finished == Counter(range(4))
    assert notes.executions() == Counter({f"{job_id}:{index}": 1 for index in (0, 1, 3)})


async def test_a_job_goes_on_when_sentinels_promote_a_replica(tmp_path: Path, notes: Notes) -> None:
    sentinels = Sentinels(tmp_path / "redis")
    with ending(sentinels):
        await sentinels.ready()
        await goes_on_without(sentinels.primary, sentinels.url, tmp_path, notes)


async def test_a_job_goes_on_when_a_cluster_promotes_a_replica(tmp_path: Path, notes: Notes) -> None:
    cluster = Cluster(tmp_path / "redis", spare=True)
    with ending(cluster):
        await cluster.ready()
        await goes_on_without(await cluster.add_replica(PREFIX), cluster.url, tmp_path, notes)
