"""The jobs' routes beyond a single job's life: batches, dead letters, queues, edits, retries from a step, children,
approvers, and the events of several jobs."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from kit.identity import ADMIN, OPERATOR, TENANT_WIDE, Principal, generate_keypair
from kit.settings import CommonSettings
from services.jobs.app import create_app
from services.jobs.queue_memory import MemoryWorkQueue
from services.jobs.settings import Settings
from services.jobs.store import Failure, FailureKind
from services.jobs.store_memory import MemoryJobs, MemoryJobStore
from tests.contract.http.test_jobs_api import ANN, BEN, GLOBEX, UNKNOWN, As, assert_problem, job, run_all, started
from tests.http import service_client
from tests.job_stores import AGAIN, AGENT, BREAKPOINT, LONG, ONCE, WORKER

PRIVATE, PUBLIC = generate_keypair()
OLGA = Principal("acme", "olga", scopes=frozenset({TENANT_WIDE}))
ROOT = Principal("acme", "root", scopes=frozenset({ADMIN}))
WATCHER = Principal("house", "grafana", scopes=frozenset({OPERATOR}))
CARL = Principal("acme", "carl")
FOR_CARL = {"name": "look", "kind": "breakpoint", "approval": {"approvers": ["carl"]}}


@pytest.fixture
def settings() -> Settings:
    return Settings(
        common=CommonSettings(identity_public_keys=PUBLIC), queues="default,mail",
        limits="queue:mail concurrency=5 rate=10/60 depth=2",
    )  # fmt: skip


@pytest.fixture
def jobs(settings: Settings) -> MemoryJobs:
    return MemoryJobs(settings.bounds)


@pytest.fixture
async def as_(jobs: MemoryJobs, settings: Settings) -> AsyncIterator[As]:
    app = create_app(settings, MemoryJobStore(jobs))
    async with app.router.lifespan_context(app):
        yield lambda principal: service_client(app, principal, "jobs", PRIVATE)


@pytest.fixture
def client(as_: As) -> httpx.AsyncClient:
    return as_(ANN)


async def fail_next(jobs: MemoryJobs) -> str:
    queue = MemoryWorkQueue(jobs)
    (run,) = await queue.fetch(WORKER, len(jobs.jobs) + 1000, 1, 0)
    await queue.fail(run, Failure(FailureKind.FAILED, "broken"))
    return run.record.job_id


async def listed(client: httpx.AsyncClient, path: str = "/jobs", **params: Any) -> list[str]:
    response = await client.get(path, params=params)
    assert response.status_code == 200, response.text
    return [each["job_id"] for each in response.json()["jobs"]]


async def test_a_batch_is_started_whole_under_one_key(client: httpx.AsyncClient) -> None:
    body = {"jobs": [job(), job(AGAIN), job(BREAKPOINT)]}
    first = await client.post("/jobs/batch", json=body, headers={"idempotency-key": "monday"})
    assert first.status_code == 202, first.text
    started_jobs = first.json()["jobs"]
    assert [each["status"] for each in started_jobs] == ["queued", "queued", "waiting_approval"]
    again = await client.post("/jobs/batch", json=body, headers={"idempotency-key": "monday"})
    assert [each["job_id"] for each in again.json()["jobs"]] == [each["job_id"] for each in started_jobs]
    assert not any(each["created"] for each in again.json()["jobs"])
    assert len(await listed(client)) == 3


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"jobs": []}, "body.jobs"),
        ({"jobs": [job()] * 101}, "body.jobs"),
        ({"jobs": [job(), job({"name": "a", "kind": "wait"})]}, "body.jobs.1.steps.0.seconds"),
        ({"jobs": [job(), job(queue="nowhere")]}, "body.jobs.1.queue"),
        ({"jobs": [job()], "surprise": 1}, "body.surprise"),
    ],
    ids=["none", "too many", "one that cannot run", "no such queue", "surprise"],
)
async def test_a_batch_with_one_wrong_job_starts_none(client: httpx.AsyncClient, body: object, place: str) -> None:
    response = await client.post("/jobs/batch", json=body)
    assert_problem(response, 422, "invalid")
    assert place in [each["location"] for each in response.json()["errors"]]
    assert await listed(client) == []


async def test_a_batch_is_held_to_what_each_of_its_jobs_may(client: httpx.AsyncClient) -> None:
    assert_problem(await client.post("/jobs/batch", json={"jobs": [job(), job(user_id="ben")]}), 403, "other_user")
    assert_problem(await client.post("/jobs/batch", json={"jobs": [job(), job(ONCE)]}), 403, "scope_missing")
    assert await listed(client) == []


async def test_a_full_queue_says_when_to_come_back(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        await started(client, queue="mail")
    for path, body in (("/jobs/start", job(queue="mail")), ("/jobs/batch", {"jobs": [job(), job(queue="mail")]})):
        response = await client.post(path, json=body)
        assert_problem(response, 429, "queue_full")
        assert float(response.headers["retry-after"]) > 0
    assert len(await listed(client)) == 2


async def test_a_function_needs_its_scope(as_: As) -> None:
    for allowed in (Principal("acme", "ann", scopes=frozenset({"function:pay"})), ROOT):
        assert (await as_(allowed).post("/jobs/start", json=job(ONCE))).status_code == 202
    for other in (ANN, Principal("acme", "ann", scopes=frozenset({"function:other"})), OLGA):
        assert_problem(await as_(other).post("/jobs/start", json=job(ONCE)), 403, "scope_missing")
        assert_problem(await as_(other).post("/jobs/dry-run", json=job(ONCE)), 403, "scope_missing")


async def test_dead_letters_are_listed_and_let_go_on(as_: As, client: httpx.AsyncClient, jobs: MemoryJobs) -> None:
    job_id = await started(client)
    await fail_next(jobs)
    rejected = await started(client, BREAKPOINT)
    await client.post(f"/jobs/{rejected}/steps/0/reject", json={})
    assert await listed(client, "/jobs/dead") == await listed(as_(OLGA), "/jobs/dead", user_id="ann") == [job_id]
    assert await listed(as_(BEN), "/jobs/dead") == await listed(as_(GLOBEX), "/jobs/dead") == []
    assert_problem(await client.get("/jobs/dead", params={"user_id": "ben"}), 403, "other_user")
    assert_problem(await client.get("/jobs/dead?limit=0"), 422, "invalid")
    assert_problem(await client.get("/jobs/dead?cursor=x"), 422, "invalid_cursor")

    for stranger in (BEN, GLOBEX):
        assert_problem(await as_(stranger).post(f"/jobs/dead/{job_id}/requeue"), 404, "job_not_found")
    response = await client.post(f"/jobs/dead/{job_id}/requeue")
    assert (response.status_code, response.json()) == (200, {"job_id": job_id, "status": "queued"})
    assert_problem(await client.post(f"/jobs/dead/{job_id}/requeue"), 409, "illegal_transition")
    assert_problem(await client.post(f"/jobs/dead/{UNKNOWN}/requeue"), 404, "job_not_found")
    assert await listed(client, "/jobs/dead") == []


async def test_queues_show_a_tenant_its_own_and_the_operator_all(as_: As) -> None:
    await started(as_(ANN), queue="mail")
    await started(as_(GLOBEX), queue="mail")
    queues = (await as_(ANN).get("/jobs/queues")).json()["queues"]
    assert [each["name"] for each in queues] == ["default", "mail"]
    mail = queues[1]
    assert (mail["yours"]["waiting"], mail["everybody"]) == (1, None)
    assert (mail["concurrency"], mail["rate"], mail["depth"]) == (5, "10/60", 2)
    for powerful in (OLGA, ROOT):
        assert (await as_(powerful).get("/jobs/queues")).json()["queues"][1]["everybody"] is None
    seen = (await as_(WATCHER).get("/jobs/queues")).json()["queues"][1]
    assert (seen["yours"]["waiting"], seen["everybody"]["waiting"]) == (0, 2)


async def test_queues_are_metrics_for_the_operator_alone(as_: As) -> None:
    await started(as_(ANN), queue="mail")
    as_text = {"accept": "text/plain"}
    response = await as_(WATCHER).get("/jobs/queues", headers=as_text)
    assert response.headers["content-type"].startswith("text/plain")
    assert 'bureau_jobs_waiting{queue="mail"} 1' in response.text
    assert "bureau_jobs_workers 0" in response.text
    for other in (ANN, OLGA, ROOT):
        assert_problem(await as_(other).get("/jobs/queues", headers=as_text), 403, "scope_missing")


async def test_without_a_secret_there_are_no_webhooks(as_: As, client: httpx.AsyncClient) -> None:
    assert_problem(await client.post("/jobs/start", json=job(webhook_url="https://hook.test")), 422, "invalid")
    assert_problem(await as_(ROOT).get("/jobs/webhook-key"), 409, "webhooks_off")
    assert_problem(await client.get("/jobs/webhook-key"), 403, "scope_missing")


async def test_a_step_that_has_not_begun_is_edited(as_: As, client: httpx.AsyncClient) -> None:
    job_id = await started(client, BREAKPOINT, AGENT, AGAIN)
    path = f"/jobs/{job_id}/steps/1/edit"
    definition = AGENT | {"message": "rather this"}
    response = await client.post(path, json={"definition": definition, "comment": "a typo"})
    assert (response.status_code, response.json()["status"]) == (200, "waiting_approval")
    step = (await client.get(f"/jobs/{job_id}")).json()["steps"][1]
    assert step["definition"]["message"] == "rather this"
    (version,) = step["versions"]
    assert (version["definition"]["message"], version["by"], version["comment"]) == ("hello", "ann", "a typo")

    for stranger in (BEN, GLOBEX):
        assert_problem(await as_(stranger).post(path, json={"definition": definition}), 404, "job_not_found")
    before = (await client.get(f"/jobs/{job_id}")).json()
    for n, wrong, status, code in [
        (0, BREAKPOINT, 409, "step_not_waiting"),
        (7, definition, 404, "step_not_found"),
        (1, ONCE, 403, "scope_missing"),
        (1, AGENT | {"message": None}, 422, "invalid"),
        (1, AGENT | {"message": "{{ steps.again.reply }}"}, 422, "invalid"),
        (1, AGENT | {"name": "again"}, 422, "invalid"),
        (1, {}, 422, "invalid"),
    ]:
        answer = await client.post(f"/jobs/{job_id}/steps/{n}/edit", json={"definition": wrong})
        assert_problem(answer, status, code)
    assert (await client.get(f"/jobs/{job_id}")).json() == before
    running = await started(client)
    answer = await client.post(f"/jobs/{running}/steps/0/edit", json={"definition": definition})
    assert_problem(answer, 409, "illegal_transition")


async def test_an_edit_that_breaks_a_later_step_is_refused(client: httpx.AsyncClient) -> None:
    job_id = await started(client, BREAKPOINT, AGENT, AGAIN | {"message": "{{ steps.ask.reply }}"})
    renamed = AGENT | {"name": "renamed"}
    response = await client.post(f"/jobs/{job_id}/steps/1/edit", json={"definition": renamed})
    assert_problem(response, 422, "invalid")
    assert (await client.get(f"/jobs/{job_id}")).json()["steps"][1]["name"] == "ask"


async def test_an_ended_job_is_run_again_from_a_step(as_: As, client: httpx.AsyncClient, jobs: MemoryJobs) -> None:
    job_id = await started(client, AGENT, AGAIN)
    await run_all(jobs)
    assert_problem(await client.post(f"/jobs/{job_id}/retry"), 409, "illegal_transition")
    assert_problem(await as_(BEN).post(f"/jobs/{job_id}/retry", json={"from_step": 0}), 404, "job_not_found")
    for body, status, code in (
        ({"from_step": 2}, 404, "step_not_found"),
        ({"from_step": -1}, 422, "invalid"),
        ({"from_step": "x"}, 422, "invalid"),
        ({"surprise": 1}, 422, "invalid"),
    ):
        assert_problem(await client.post(f"/jobs/{job_id}/retry", json=body), status, code)
    response = await client.post(f"/jobs/{job_id}/retry", json={"from_step": 1})
    assert (response.status_code, response.json()["status"]) == (200, "queued")
    shown = (await client.get(f"/jobs/{job_id}")).json()
    assert (shown["attempt"], shown["current_step"], shown["steps"][0]["status"]) == (2, 1, "passed")


async def test_children_are_listed_with_their_parent_alone(as_: As, client: httpx.AsyncClient) -> None:
    parent = await started(client, LONG)
    child = await started(client, parent_id=parent)
    assert await listed(client) == [parent]
    assert await listed(client, parent_id=parent) == await listed(as_(OLGA), parent_id=parent) == [child]
    assert await listed(client, parent_id=parent, status="paused") == []
    assert (await client.get(f"/jobs/{child}")).json()["parent_id"] == parent
    for stranger in (BEN, GLOBEX):
        response = await as_(stranger).get("/jobs", params={"parent_id": parent})
        assert_problem(response, 404, "job_not_found")
        assert_problem(await as_(stranger).post("/jobs/start", json=job(parent_id=parent)), 404, "parent_not_found")
    assert_problem(await client.get("/jobs", params={"parent_id": "nonsense"}), 422, "invalid")


async def test_an_approver_finds_sees_and_decides(as_: As, client: httpx.AsyncClient) -> None:
    job_id = await started(client, FOR_CARL, AGENT)
    assert await listed(as_(CARL), waiting_for_me="true") == [job_id]
    assert await listed(as_(CARL)) == await listed(client, waiting_for_me="true") == []
    assert await listed(as_(OLGA), waiting_for_me="true") == []
    assert (await as_(CARL).get(f"/jobs/{job_id}")).json()["owner"] == "ann"
    path = f"/jobs/{job_id}/steps/0/approve"
    for refused in (ANN, OLGA):
        assert_problem(await as_(refused).post(path, json={}), 403, "not_an_approver")
    for stranger in (BEN, GLOBEX, Principal("globex", "carl")):
        assert_problem(await as_(stranger).post(path, json={}), 404, "job_not_found")
    assert_problem(await as_(CARL).post(f"/jobs/{job_id}/pause"), 404, "job_not_found")
    response = await as_(CARL).post(path, json={"comment": "fine"})
    assert (response.status_code, response.json()["status"]) == (200, "queued")
    other = await started(client, FOR_CARL, AGENT)
    assert (await as_(ROOT).post(f"/jobs/{other}/steps/0/skip", json={})).json()["status"] == "queued"


def blocks(text: str) -> list[dict[str, str]]:
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.strip().split("\n\n")]


async def test_the_events_of_several_jobs_come_in_one_stream(client: httpx.AsyncClient, jobs: MemoryJobs) -> None:
    first, second = [await started(client) for _ in range(2)]
    await run_all(jobs)
    response = await client.get("/jobs/events", params={"job_id": [first, second]})
    seen = blocks(response.text)
    assert seen[-1]["id"] == "5.5"
    told = [json.loads(each["data"]) for each in seen]
    for job_id in (first, second):
        assert [each["seq"] for each in told if each["subject"] == job_id] == [1, 2, 3, 4, 5]

    resumed = await client.get("/jobs/events", params={"job_id": [first, second]}, headers={"last-event-id": "4.3"})
    rest = [json.loads(each["data"]) for each in blocks(resumed.text)]
    assert [(each["subject"], each["seq"]) for each in rest] == [(first, 5), (second, 4), (second, 5)]
    fewer = await client.get("/jobs/events", params={"job_id": [first, second]}, headers={"last-event-id": "5"})
    assert {json.loads(each["data"])["subject"] for each in blocks(fewer.text)} == {second}


async def test_a_stream_of_several_jobs_is_for_who_may_see_all_of_them(as_: As, client: httpx.AsyncClient) -> None:
    mine, other = await started(client, BREAKPOINT), await started(as_(BEN), BREAKPOINT)
    assert_problem(await client.get("/jobs/events", params={"job_id": [mine, other]}), 404, "job_not_found")
    assert_problem(await as_(GLOBEX).get("/jobs/events", params={"job_id": [mine]}), 404, "job_not_found")
    assert_problem(await client.get("/jobs/events"), 422, "invalid")
    assert_problem(await client.get("/jobs/events", params={"job_id": ["job-a"] * 51}), 422, "invalid")
    for header in ("x", "5..0", "-1", "5.", "9" * 16):
        response = await client.get("/jobs/events", params={"job_id": [mine]}, headers={"last-event-id": header})
        assert_problem(response, 422, "invalid")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/jobs/batch", {"jobs": [job()]}),
        ("GET", "/jobs/dead", None),
        ("POST", f"/jobs/dead/{UNKNOWN}/requeue", None),
        ("GET", "/jobs/queues", None),
        ("GET", f"/jobs/events?job_id={UNKNOWN}", None),
        ("POST", f"/jobs/{UNKNOWN}/steps/0/edit", {"definition": AGENT}),
        ("POST", f"/jobs/{UNKNOWN}/retry", {"from_step": 0}),
    ],
)
async def test_nobody_is_answered(as_: As, method: str, path: str, body: object) -> None:
    assert_problem(await as_(None).request(method, path, json=body), 401, "unauthenticated")
