"""Events over real HTTP: as they happen, resumed without a gap after the connection was cut."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from bureau.http import Caller
from bureau.jobs import JobsClient
from bureau_contracts.events import Event
from bureau_contracts.jobs import JobStatus, StartJob
from kit.identity import PRINCIPAL_HEADER, Principal, PrincipalSigner, generate_keypair
from kit.redis import connect
from kit.settings import CommonSettings
from services.jobs.app import create_app
from services.jobs.news_redis import RedisNews
from services.jobs.settings import Settings
from tests.integration.jobs.conftest import Notes, Workers
from tests.servers import serving

PRIVATE, PUBLIC = generate_keypair()


@pytest.fixture
async def http(redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(redis_url=redis_url, common=CommonSettings(identity_public_keys=PUBLIC))
    ann = Principal("acme", "ann", scopes=frozenset({"function:until", "function:note"}))
    token = PrincipalSigner(PRIVATE, "tests").sign(ann, "jobs")
    async with (
        serving(create_app(settings)) as url,
        httpx.AsyncClient(base_url=url, headers={PRINCIPAL_HEADER: token}) as client,
    ):
        yield client


async def test_events_come_as_they_happen_and_the_stream_ends_with_the_job(
    http: httpx.AsyncClient, workers: Workers, notes: Notes
) -> None:
    await workers().ready()
    client = JobsClient(Caller(http))
    steps = [notes.held_step("one"), notes.step("two")]
    job_id = (await client.start(StartJob.model_validate({"title": "t", "steps": steps}))).job_id
    seen = []
    async for event in client.events(job_id):
        seen.append(event)
        if event.type == "step.started" and event.data["index"] == 0:
            assert (await client.get(job_id)).status is JobStatus.RUNNING
            notes.let_go()
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert (seen[-1].type, seen[-1].status) == ("job.transition", "succeeded")
    assert {event.subject for event in seen} == {job_id}


async def test_a_cut_stream_is_resumed_by_the_last_event_id_without_a_gap(
    http: httpx.AsyncClient, workers: Workers, notes: Notes
) -> None:
    await workers().ready()
    client = JobsClient(Caller(http))
    steps = [notes.step("one"), notes.held_step("two"), notes.step("three")]
    job_id = (await client.start(StartJob.model_validate({"title": "t", "steps": steps}))).job_id
    seen = []
    async for event in client.events(job_id):
        seen.append(event.seq)
        if event.type == "step.started" and event.data["index"] == 1:
            break
    notes.let_go()
    headers, lines = {"last-event-id": str(seen[-1])}, []
    async with http.stream("GET", f"/jobs/{job_id}/events", headers=headers) as response:
        lines = [line async for line in response.aiter_lines() if line.startswith("id: ")]
    seen += [int(line.removeprefix("id: ")) for line in lines]
    assert seen == list(range(1, len(seen) + 1))
    assert (await client.get(job_id)).status is JobStatus.SUCCEEDED


async def test_many_streams_of_many_jobs_each_get_their_own(
    http: httpx.AsyncClient, workers: Workers, notes: Notes
) -> None:
    client = JobsClient(Caller(http))
    job = StartJob.model_validate({"title": "t", "steps": [notes.step("one"), notes.step("two")]})
    ids = [(await client.start(job)).job_id for _ in range(10)]
    streams = [client.events(job_id) for job_id in ids for _ in range(3)]
    firsts = [await anext(stream) for stream in streams]
    await workers().ready()
    subjects = [job_id for job_id in ids for _ in range(3)]
    for subject, first, stream in zip(subjects, firsts, streams, strict=True):
        events = [first] + [event async for event in stream]
        assert [event.seq for event in events] == [1, 2, 3, 4, 5, 6, 7]
        assert {event.subject for event in events} == {subject}


async def test_several_jobs_share_one_stream_that_is_resumed_for_each_where_it_was(
    http: httpx.AsyncClient, workers: Workers, notes: Notes
) -> None:
    await workers().ready()
    client = JobsClient(Caller(http))
    held, quick = [notes.step("one"), notes.held_step("two")], [notes.step("three")]
    jobs = [StartJob.model_validate({"title": "t", "steps": steps}) for steps in (held, quick)]
    ids = [each.job_id for each in (await client.start_all(jobs)).jobs]
    seen = dict.fromkeys(ids, 0)
    async for event in client.events_of(ids):
        assert event.seq == seen[event.subject] + 1
        seen[event.subject] = event.seq
        under_way = event.type == "step.started" and event.subject == ids[0] and event.data["index"] == 1
        if under_way:
            break
    notes.let_go()
    headers = {"last-event-id": ".".join(str(number) for number in seen.values())}
    async with http.stream("GET", "/jobs/events", params={"job_id": ids}, headers=headers) as response:
        lines = [line async for line in response.aiter_lines()]
    for line in lines:
        if line.startswith("data: "):
            event = Event.model_validate_json(line.removeprefix("data: "))
            assert event.seq == seen[event.subject] + 1
            seen[event.subject] = event.seq
    assert [line for line in lines if line.startswith("id: ")][-1] == "id: " + ".".join(map(str, seen.values()))
    assert [(await client.get(job_id)).status for job_id in ids] == [JobStatus.SUCCEEDED] * 2
    assert [event.seq async for event in client.events_of(ids, after=seen)] == []


async def test_a_listener_that_is_closed_while_it_connects_ends(redis_url: str) -> None:
    async with asyncio.timeout(60):
        for _ in range(30):
            async with connect(redis_url) as redis, RedisNews(redis).listening():
                await redis.ping()
