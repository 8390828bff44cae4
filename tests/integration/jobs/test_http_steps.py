"""`http` steps by real workers that are killed, against a target that counts what it was asked to do."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bureau_contracts.jobs import JobStatus
from bureau_contracts.steps import StepStatus
from services.jobs.states import Action
from tests.integration.jobs.conftest import Workers, reach
from tests.job_stores import Jobs
from tests.waiting import eventually


class Target:
    """Counts effects by idempotency key. While it is `held` it does what it is asked and does not answer."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.held = False
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            headers = dict(line.split(": ", 1) for line in head.strip().split("\r\n")[1:])
            await reader.readexactly(int(headers.get("content-length", "0")))
            self.asked[headers["idempotency-key"]] += 1
            if self.held:
                await reader.read()
                return
            writer.write(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"id": 7}')
            await writer.drain()
        finally:
            writer.close()


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    made = Target()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


def post(target: Target, name: str, **request: Any) -> dict[str, Any]:
    return {"name": name, "kind": "http", "request": {"method": "POST", "url": f"{target.url}/{name}", **request}}


async def test_steps_pass_their_answers_on(jobs: Jobs, workers: Workers, target: Target) -> None:
    await workers(http_allowed=target.url).ready()
    get = {"name": "get", "kind": "http", "request": {"url": f"{target.url}/orders/{{{{ steps.order.body.id }}}}"}}
    job_id = (await jobs.start(post(target, "order", body={"sku": 1}), get)).job_id
    await reach(jobs, job_id, JobStatus.SUCCEEDED)
    record = await jobs.record(job_id)
    assert [step.result["body"] for step in record.steps] == [{"id": 7}, {"id": 7}]
    assert target.asked == {f"{job_id}:0": 1, f"{job_id}:1": 1}


async def test_an_address_that_is_not_allowed_fails_the_job(jobs: Jobs, workers: Workers, target: Target) -> None:
    await workers().ready()
    job_id = (await jobs.start(post(target, "order"))).job_id
    await reach(jobs, job_id, JobStatus.FAILED)
    assert "JOBS_HTTP_ALLOWED" in str((await jobs.record(job_id)).error)
    assert not target.asked


async def test_a_request_that_may_have_had_an_effect_is_never_repeated_by_itself(
    jobs: Jobs, workers: Workers, target: Target
) -> None:
    target.held = True
    doomed = await workers(lease_seconds=1, http_allowed=target.url).ready()
    job_id = (await jobs.start(post(target, "pay"))).job_id
    await eventually(lambda: target.asked[f"{job_id}:0"] == 1)
    doomed.kill()
    target.held = False
    await workers(lease_seconds=1, http_allowed=target.url).ready()
    await reach(jobs, job_id, JobStatus.WAITING_APPROVAL)
    assert (await jobs.record(job_id)).steps[0].status is StepStatus.UNKNOWN_OUTCOME
    assert target.asked == {f"{job_id}:0": 1}
    await jobs.steer(job_id, Action.RETRY)
    await reach(jobs, job_id, JobStatus.SUCCEEDED)
    assert target.asked == {f"{job_id}:0": 2}, "only because a human said so, and under the same key"


async def test_a_target_that_honours_the_key_is_asked_again_under_the_same(
    jobs: Jobs, workers: Workers, target: Target
) -> None:
    target.held = True
    doomed = await workers(lease_seconds=1, http_allowed=target.url).ready()
    job_id = (await jobs.start(post(target, "pay", idempotent=True))).job_id
    await eventually(lambda: target.asked[f"{job_id}:0"] == 1)
    doomed.kill()
    target.held = False
    await workers(lease_seconds=1, http_allowed=target.url).ready()
    await reach(jobs, job_id, JobStatus.SUCCEEDED)
    assert target.asked == {f"{job_id}:0": 2}
