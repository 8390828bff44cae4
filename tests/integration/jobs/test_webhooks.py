"""Who a job names is told of its end: by real workers, also when it refuses, and when the worker that told it dies."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from bureau_contracts.events import Event, EventType
from bureau_contracts.jobs import JobStatus
from services.jobs.signatures import tenant_key
from services.jobs.states import Action
from tests.integration.jobs.conftest import Notes, Workers, reach
from tests.job_stores import Jobs, mine
from tests.scripted_server import Asked, ScriptedServer, json_answer, scripted_server
from tests.waiting import eventually

SECRET = "s3cret"


@pytest.fixture
async def receiver() -> AsyncIterator[ScriptedServer]:
    async with scripted_server() as server:
        server.answers = [json_answer({})]
        yield server


async def told(jobs: Jobs, job_id: str) -> list[Event]:
    return [event for event in await jobs.events(job_id) if event.type is EventType.WEBHOOK]


def holds(asked: Asked, tenant: str = "acme") -> bool:
    """Whether the signature is right, worked out anew."""
    body = json.dumps(asked.body, ensure_ascii=False)
    content = f"{asked.headers['webhook-id']}.{asked.headers['webhook-timestamp']}.{body}".encode()
    expected = base64.b64encode(hmac.digest(tenant_key(SECRET, tenant), content, hashlib.sha256)).decode()
    return asked.headers["webhook-signature"] == f"v1,{expected}"


async def test_the_end_of_a_job_is_told_and_signed(
    jobs: Jobs, workers: Workers, receiver: ScriptedServer, notes: Notes
) -> None:
    await workers(webhook_secret=SECRET, http_allowed=receiver.url).ready()
    job_id = (await jobs.start(notes.step("a"), webhook_url=f"{receiver.url}/ended")).job_id
    await eventually(lambda: len(receiver.requests) == 1, seconds=20)
    (asked,) = receiver.requests
    assert asked.line == "POST /ended HTTP/1.1"
    assert asked.headers["webhook-id"] == f"{job_id}.1"
    assert abs(int(asked.headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 60
    assert holds(asked)
    assert not holds(asked, tenant="bolt")
    assert asked.body["type"] == "job.succeeded"
    assert asked.body["data"]["job_id"] == job_id

    async def settled() -> bool:
        return [event.status for event in await told(jobs, job_id)] == ["delivered"]

    await eventually(settled)


async def test_a_receiver_that_refuses_is_told_again(
    jobs: Jobs, workers: Workers, receiver: ScriptedServer, notes: Notes
) -> None:
    receiver.answers = [json_answer({}, status=500), json_answer({})]
    await workers(webhook_secret=SECRET, http_allowed=receiver.url).ready()
    job_id = (await jobs.start(notes.step("a"), webhook_url=receiver.url)).job_id
    await eventually(lambda: len(receiver.requests) == 2, seconds=30)
    assert [asked.headers["webhook-id"] for asked in receiver.requests] == [f"{job_id}.1"] * 2

    async def settled() -> bool:
        return [event.status for event in await told(jobs, job_id)] == ["retry", "delivered"]

    await eventually(settled)


async def test_a_receiver_that_is_gone_for_good_is_told_once(
    jobs: Jobs, workers: Workers, receiver: ScriptedServer, notes: Notes
) -> None:
    receiver.answers = [json_answer({}, status=410)]
    await workers(webhook_secret=SECRET, http_allowed=receiver.url).ready()
    job_id = (await jobs.start(notes.step("a"), webhook_url=receiver.url)).job_id

    async def settled() -> bool:
        return [event.status for event in await told(jobs, job_id)] == ["given_up"]

    await eventually(settled, seconds=20)


async def test_each_run_of_a_job_is_told(jobs: Jobs, workers: Workers, receiver: ScriptedServer, notes: Notes) -> None:
    await workers(webhook_secret=SECRET, http_allowed=receiver.url).ready()
    job_id = (await jobs.start(notes.step("a"), webhook_url=receiver.url)).job_id
    await eventually(lambda: len(receiver.requests) == 1, seconds=20)
    await reach(jobs, job_id, JobStatus.SUCCEEDED)
    await jobs.store.steer(mine(), job_id, Action.RETRY, "ann", from_step=0)
    await eventually(lambda: len(receiver.requests) == 2, seconds=20)
    assert [asked.headers["webhook-id"] for asked in receiver.requests] == [f"{job_id}.1", f"{job_id}.2"]
