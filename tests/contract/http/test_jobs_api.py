"""The jobs' routes: what each answers, to whom, and how it refuses."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from kit.identity import TENANT_WIDE, Principal, generate_keypair
from kit.paging import encode_cursor
from kit.settings import CommonSettings
from services.jobs.app import create_app
from services.jobs.queue_memory import MemoryPulse, MemoryWorkQueue
from services.jobs.settings import Settings
from services.jobs.store import Run
from services.jobs.store_memory import MemoryJobs, MemoryJobStore
from tests.http import service_client
from tests.job_stores import AGAIN, AGENT, BREAKPOINT, LONG, WORKER, worker

PRIVATE, PUBLIC = generate_keypair()
ANN, BEN = Principal("acme", "ann"), Principal("acme", "ben")
OPERATOR = Principal("acme", "olga", scopes=frozenset({TENANT_WIDE}))
GLOBEX = Principal("globex", "ann", scopes=frozenset({TENANT_WIDE}))
UNKNOWN = "job-0199aaaa"

As = Callable[[Principal | None], httpx.AsyncClient]


def job(*steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"title": "monday review", "steps": list(steps or (AGENT,))} | fields


@pytest.fixture
def jobs() -> MemoryJobs:
    return MemoryJobs()


@pytest.fixture
async def as_(jobs: MemoryJobs) -> AsyncIterator[As]:
    settings = Settings(common=CommonSettings(identity_public_keys=PUBLIC))
    app = create_app(settings, MemoryJobStore(jobs))
    async with app.router.lifespan_context(app):
        yield lambda principal: service_client(app, principal, "jobs", PRIVATE)


@pytest.fixture
def client(as_: As) -> httpx.AsyncClient:
    return as_(ANN)


async def started(client: httpx.AsyncClient, *steps: dict[str, Any], **fields: Any) -> str:
    response = await client.post("/jobs/start", json=job(*steps, **fields))
    assert response.status_code == 202, response.text
    return str(response.json()["job_id"])


async def run_all(jobs: MemoryJobs) -> None:
    """What a worker would do, each step with the result 1."""
    queue = MemoryWorkQueue(jobs)
    for first in await queue.fetch(WORKER, 0, 10, 0):
        run: Run | None = first
        while run is not None:
            run = await queue.commit(run, "1", keep=True)


def assert_problem(response: httpx.Response, status: int, code: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["code"] == code
    assert problem["trace_id"] == response.headers["x-trace-id"]


async def test_a_job_is_started_and_read_back(client: httpx.AsyncClient) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    response = await client.post(
        "/jobs/start", json=job(AGENT, AGAIN, input={"month": "2026-09"}), headers={"traceparent": trace}
    )
    assert response.status_code == 202
    body = response.json()
    assert (body["status"], body["created"]) == ("queued", True)

    job_id = body["job_id"]
    assert job_id.startswith("job-")
    found = (await client.get(f"/jobs/{job_id}")).json()
    assert found["title"] == "monday review"
    assert (found["tenant"], found["owner"]) == ("acme", "ann")
    assert (found["current_step"], found["progress"], found["attempt"]) == (0, 0, 1)
    assert found["input"] == {"month": "2026-09"}
    assert found["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert [(step["index"], step["name"], step["status"]) for step in found["steps"]] == [
        (0, "ask", "pending"),
        (1, "again", "pending"),
    ]


async def test_jobs_are_listed_newest_first_page_by_page(client: httpx.AsyncClient) -> None:
    ids = [await started(client) for _ in range(3)]
    first = (await client.get("/jobs", params={"limit": 2})).json()
    assert [row["job_id"] for row in first["jobs"]] == [ids[2], ids[1]]
    rest = (await client.get("/jobs", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [row["job_id"] for row in rest["jobs"]] == [ids[0]]
    assert rest["next_cursor"] is None


async def test_jobs_are_listed_by_status_kind_and_user(as_: As) -> None:
    waiting = await started(as_(ANN), BREAKPOINT, kind="review")
    bens = await started(as_(BEN), AGENT, kind="import")
    operator = as_(OPERATOR)

    async def found(**params: str) -> list[str]:
        return [row["job_id"] for row in (await operator.get("/jobs", params=params)).json()["jobs"]]

    assert await found() == [bens, waiting]
    assert await found(status="waiting_approval") == [waiting]
    assert await found(kind="import") == [bens]
    assert await found(user_id="ann") == [waiting]
    assert await found(user_id="ann", kind="import") == []


async def test_the_same_idempotency_key_starts_one_job(client: httpx.AsyncClient) -> None:
    key = {"idempotency-key": "monday-1"}
    first = (await client.post("/jobs/start", json=job(), headers=key)).json()
    again = await client.post("/jobs/start", json=job(), headers=key)
    assert again.status_code == 202
    assert again.json() == first | {"created": False}
    other = await client.post("/jobs/start", json=job(title="another"), headers=key)
    assert_problem(other, 409, "idempotency_key_reused")
    assert len((await client.get("/jobs")).json()["jobs"]) == 1


async def test_a_key_covers_the_same_request_however_it_is_written(client: httpx.AsyncClient) -> None:
    key = {"idempotency-key": "k"}
    first = await client.post("/jobs/start", json=job(input={"a": 1, "b": 2}), headers=key)
    again = await client.post("/jobs/start", json=job(input={"b": 2, "a": 1}, kind="runbook"), headers=key)
    assert again.json()["job_id"] == first.json()["job_id"]


async def test_a_job_is_paused_resumed_and_cancelled(client: httpx.AsyncClient) -> None:
    job_id = await started(client)
    for action, status in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        response = await client.post(f"/jobs/{job_id}/{action}")
        assert (response.status_code, response.json()) == (200, {"job_id": job_id, "status": status})
        assert (await client.get(f"/jobs/{job_id}")).json()["status"] == status


async def test_an_illegal_transition_names_the_state_and_what_is_possible(client: httpx.AsyncClient) -> None:
    job_id = await started(client)
    response = await client.post(f"/jobs/{job_id}/resume")
    assert_problem(response, 409, "illegal_transition")
    assert f"{job_id} is queued; possible: pause, cancel" in response.json()["detail"]


async def test_a_failed_job_is_retried(client: httpx.AsyncClient) -> None:
    job_id = await started(client, BREAKPOINT)
    assert (await client.post(f"/jobs/{job_id}/steps/0/reject", json={})).json()["status"] == "failed"
    assert (await client.post(f"/jobs/{job_id}/retry")).json()["status"] == "waiting_approval"


@pytest.mark.parametrize(
    ("decision", "job_status", "step_status"),
    [("approve", "queued", "passed"), ("skip", "queued", "skipped"), ("reject", "failed", "failed")],
)
async def test_a_human_decides_on_a_breakpoint(
    client: httpx.AsyncClient, decision: str, job_status: str, step_status: str
) -> None:
    job_id = await started(client, BREAKPOINT, AGENT)
    response = await client.post(f"/jobs/{job_id}/steps/0/{decision}", json={"comment": "as agreed"})
    assert (response.status_code, response.json()["status"]) == (200, job_status)
    step = (await client.get(f"/jobs/{job_id}")).json()["steps"][0]
    assert step["status"] == step_status
    assert {"decision": decision, "by": "ann", "comment": "as agreed"}.items() <= step["verdict"].items()


async def test_decisions_on_other_steps_are_refused(client: httpx.AsyncClient) -> None:
    job_id = await started(client, BREAKPOINT, AGENT)
    assert_problem(await client.post(f"/jobs/{job_id}/steps/1/approve", json={}), 409, "step_not_waiting")
    assert_problem(await client.post(f"/jobs/{job_id}/steps/7/approve", json={}), 404, "step_not_found")


async def test_events_come_as_a_stream_that_ends_with_the_job(client: httpx.AsyncClient, jobs: MemoryJobs) -> None:
    job_id = await started(client)
    await run_all(jobs)
    response = await client.get(f"/jobs/{job_id}/events")
    assert response.headers["content-type"].startswith("text/event-stream")
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in response.text.strip().split("\n\n")]
    assert [block["id"] for block in blocks] == ["1", "2", "3", "4", "5"]
    assert blocks[-1]["event"] == "job.transition"
    assert f'"subject":"{job_id}"' in blocks[-1]["data"]


@pytest.mark.parametrize("how", [{"headers": {"last-event-id": "3"}}, {"params": {"after": "3"}}])
async def test_events_are_resumed(client: httpx.AsyncClient, jobs: MemoryJobs, how: dict[str, dict[str, str]]) -> None:
    job_id = await started(client)
    await run_all(jobs)
    response = await client.get(f"/jobs/{job_id}/events", headers=how.get("headers"), params=how.get("params"))
    assert [line for line in response.text.splitlines() if line.startswith("id:")] == ["id: 4", "id: 5"]
    over = await client.get(f"/jobs/{job_id}/events", params={"after": 5})
    assert (over.status_code, over.text) == (200, "")


async def test_workers_show_only_jobs_within_reach(as_: As, jobs: MemoryJobs) -> None:
    job_id = await started(as_(ANN))
    (run,) = await MemoryWorkQueue(jobs).fetch(WORKER, 0, 1, 0)
    MemoryPulse(jobs).beat(worker(WORKER, run), [run.claim])

    async def shown(principal: Principal) -> Any:
        (seen,) = (await as_(principal).get("/jobs/workers")).json()["workers"]
        assert seen["worker_id"] == WORKER
        return seen["job_id"]

    assert await shown(ANN) == await shown(OPERATOR) == job_id
    assert await shown(BEN) is await shown(GLOBEX) is None


ROUTES = [
    ("POST", "/jobs/start", job()),
    ("GET", "/jobs", None),
    ("GET", "/jobs/workers", None),
    ("GET", "/jobs/{id}", None),
    ("POST", "/jobs/{id}/pause", None),
    ("POST", "/jobs/{id}/resume", None),
    ("POST", "/jobs/{id}/cancel", None),
    ("POST", "/jobs/{id}/retry", None),
    ("POST", "/jobs/{id}/steps/0/approve", {}),
    ("POST", "/jobs/{id}/steps/0/reject", {}),
    ("POST", "/jobs/{id}/steps/0/skip", {}),
    ("GET", "/jobs/{id}/events", None),
]
OF_ONE_JOB = [route for route in ROUTES if "{id}" in route[1]]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_nobody_is_answered(as_: As, method: str, path: str, body: object) -> None:
    job_id = await started(as_(ANN), BREAKPOINT)
    response = await as_(None).request(method, path.format(id=job_id), json=body)
    assert_problem(response, 401, "unauthenticated")
    assert (await as_(ANN).get(f"/jobs/{job_id}")).json()["status"] == "waiting_approval"


@pytest.mark.parametrize("stranger", [BEN, GLOBEX], ids=["user", "tenant"])
@pytest.mark.parametrize(("method", "path", "body"), OF_ONE_JOB)
async def test_a_stranger_finds_nothing_and_changes_nothing(
    as_: As, method: str, path: str, body: object, stranger: Principal
) -> None:
    job_id = await started(as_(ANN), BREAKPOINT)
    before = (await as_(ANN).get(f"/jobs/{job_id}")).json()
    response = await as_(stranger).request(method, path.format(id=job_id), json=body)
    assert_problem(response, 404, "job_not_found")
    assert (await as_(ANN).get(f"/jobs/{job_id}")).json() == before
    assert (await as_(stranger).get("/jobs")).json()["jobs"] == []


@pytest.mark.parametrize(("method", "path", "body"), OF_ONE_JOB)
async def test_an_unknown_job_is_not_found(client: httpx.AsyncClient, method: str, path: str, body: object) -> None:
    assert_problem(await client.request(method, path.format(id=UNKNOWN), json=body), 404, "job_not_found")


async def test_another_users_name_needs_a_tenant_wide_scope(as_: As) -> None:
    assert_problem(await as_(ANN).post("/jobs/start", json=job(user_id="ben")), 403, "other_user")
    assert_problem(await as_(ANN).get("/jobs", params={"user_id": "ben"}), 403, "other_user")
    job_id = await started(as_(OPERATOR), user_id="ben")
    assert (await as_(BEN).get(f"/jobs/{job_id}")).json()["owner"] == "ben"
    assert_problem(await as_(ANN).get(f"/jobs/{job_id}"), 404, "job_not_found")


async def test_what_a_human_approves_is_no_longer_than_a_steps_own_result(client: httpx.AsyncClient) -> None:
    job_id = (await client.post("/jobs/start", json=job(BREAKPOINT))).json()["job_id"]
    path = f"/jobs/{job_id}/steps/0/approve"
    response = await client.post(path, json={"result": "é" * 140_000})
    assert_problem(response, 422, "invalid")
    assert [error["location"] for error in response.json()["errors"]] == ["body.result"]
    assert (await client.get(f"/jobs/{job_id}")).json()["status"] == "waiting_approval"
    assert (await client.post(path, json={"result": "é" * 130_000})).status_code == 200


BAD_JOBS: list[tuple[object, str]] = [
    ({}, "body.title"),
    (job(title=""), "body.title"),
    ({"title": "t", "steps": []}, "body.steps"),
    (job(*[BREAKPOINT] * 201), "body.steps"),
    (job({"name": "a", "kind": "dance"}), "body.steps.0.kind"),
    (job({"name": "a", "kind": "agent"}), "body.steps.0.message"),
    (job({"name": "a", "kind": "agent", "message": ""}), "body.steps.0.message"),
    (job({"name": "a", "kind": "wait"}), "body.steps.0.seconds"),
    (job({"name": "a", "kind": "wait", "seconds": -1}), "body.steps.0.seconds"),
    (job({"name": "a", "kind": "wait", "seconds": 10**400}), "body.steps.0.seconds"),
    (job({"name": "a", "kind": "function"}), "body.steps.0.function"),
    (job(AGENT, AGENT), "body.steps.1.name"),
    (
        job(*(BREAKPOINT | {"name": f"look {each}", "approval": {"approvers": ["ben"] * 41}} for each in range(5))),
        "body.steps",
    ),
    (job(AGENT, start_at="9999-12-31T23:59:59Z", deadline_seconds=86_400), "body.start_at"),
    (job(AGENT, surprise=1), "body.surprise"),
    (
        job({"name": "a", "kind": "http", "request": {"url": "https://api.test", "headers": {"Host": "inside"}}}),
        "body.steps.0.request.headers",
    ),
    (job(user_id="a b"), "body.user_id"),
    (job(input=[1]), "body.input"),
    (job({**AGENT, "message": "{{ steps.later.reply }}"}, {**AGENT, "name": "later"}), "body.steps.0.message"),
    (job({**AGENT, "arguments": {"x": ["{{ os.environ }}"]}}), "body.steps.0.arguments"),
    (job({**AGENT, "max_attempts": 10**30}), "body.steps.0.max_attempts"),
    (job({**AGENT, "timeout_seconds": 0}), "body.steps.0.timeout_seconds"),
]


@pytest.mark.parametrize(("body", "place"), BAD_JOBS)
async def test_a_job_that_cannot_run_is_refused_before_it_starts(
    client: httpx.AsyncClient, body: object, place: str
) -> None:
    response = await client.post("/jobs/start", json=body)
    assert_problem(response, 422, "invalid")
    assert place in [error["location"] for error in response.json()["errors"]]
    assert (await client.get("/jobs")).json()["jobs"] == []


@pytest.mark.parametrize(
    "body", [b"{", b'{"title": "\\u0000"}', b'{"title": "\\ud800"}', b'{"title": NaN}', b"\xff", b'{"a":1,"a":2}']
)
@pytest.mark.parametrize("path", ["/jobs/start", f"/jobs/{UNKNOWN}/steps/0/approve"])
async def test_malformed_json_is_a_bad_request(client: httpx.AsyncClient, path: str, body: bytes) -> None:
    response = await client.post(path, content=body, headers={"content-type": "application/json"})
    assert_problem(response, 400, "malformed_json")
    assert (await client.get("/jobs")).json()["jobs"] == []


@pytest.mark.parametrize(
    "path",
    [
        "/jobs?limit=0",
        "/jobs?limit=201",
        "/jobs?limit=x",
        "/jobs?status=lazy",
        "/jobs?kind=",
        "/jobs?kind=%00",
        "/jobs?user_id=%00",
        "/jobs/sess-1",
        "/jobs/job-%00",
        "/jobs/job-A",
    ],
)
async def test_wrong_parameters_are_invalid(client: httpx.AsyncClient, path: str) -> None:
    assert_problem(await client.get(path), 422, "invalid")


@pytest.mark.parametrize(
    "cursor", ["x", "WyJhIiwgMV0", "W10", "bnVsbA", "%00", encode_cursor("sess-1"), encode_cursor("job-\ud800")]
)
async def test_a_cursor_of_somebody_elses_making_is_invalid(client: httpx.AsyncClient, cursor: str) -> None:
    assert_problem(await client.get(f"/jobs?cursor={cursor}"), 422, "invalid_cursor")


@pytest.mark.parametrize("header", [{"idempotency-key": "a b"}, {"idempotency-key": "x" * 201}])
async def test_a_wrong_idempotency_key_is_invalid(client: httpx.AsyncClient, header: dict[str, str]) -> None:
    assert_problem(await client.post("/jobs/start", json=job(), headers=header), 422, "invalid")


@pytest.mark.parametrize("header", ["x", "-1", "9" * 30])
async def test_a_wrong_last_event_id_is_invalid(client: httpx.AsyncClient, header: str) -> None:
    job_id = await started(client)
    response = await client.get(f"/jobs/{job_id}/events", headers={"last-event-id": header})
    assert_problem(response, 422, "invalid")
    assert_problem(await client.get(f"/jobs/{job_id}/events?after={header}"), 422, "invalid")


async def test_wrong_steps_and_comments_are_invalid(client: httpx.AsyncClient) -> None:
    job_id = await started(client, BREAKPOINT)
    for n, body in (("x", {}), ("-1", {}), ("0", {"comment": "x" * 4001}), ("0", {"who": "me"}), ("9" * 30, {})):
        assert_problem(await client.post(f"/jobs/{job_id}/steps/{n}/approve", json=body), 422, "invalid")
    assert (await client.get(f"/jobs/{job_id}")).json()["status"] == "waiting_approval"


async def test_huge_numbers_in_somebodys_own_json_are_kept(client: httpx.AsyncClient) -> None:
    big = {"n": 10**40, "nested": [[{"x": -(10**30)}]]}
    job_id = await started(client, LONG, input=big)
    response = await client.get(f"/jobs/{job_id}")
    assert response.status_code == 200
    assert response.json()["input"] == big


async def test_health_says_that_jobs_wait_for_a_worker(client: httpx.AsyncClient, jobs: MemoryJobs) -> None:
    health = (await client.get("/health")).json()
    assert (health["status"], health["dependencies"]["redis"]["status"]) == ("degraded", "ok")
    assert "no worker" in health["dependencies"]["workers"]["detail"]
    MemoryPulse(jobs).beat(worker(), [])
    assert (await client.get("/health")).json()["status"] == "ok"


async def test_a_dry_run_says_what_would_happen_and_starts_nothing(client: httpx.AsyncClient, jobs: MemoryJobs) -> None:
    body = job(AGENT, BREAKPOINT, LONG, input={"month": "2026-09"})
    response = await client.post("/jobs/dry-run", json=body)
    assert response.status_code == 200, response.text
    told = response.json()
    assert (told["owner"], told["ok"], told["approvals"]) == ("ann", True, 1)
    assert [step["would"] for step in told["steps"]][1:] == [
        "waits until a human approves, rejects or skips it",
        "waits for 3600 s",
    ]
    assert jobs.jobs == {}


async def test_a_dry_run_is_refused_as_the_start_would_be(client: httpx.AsyncClient) -> None:
    wrong = job({"name": "a", "kind": "agent", "message": "{{ steps.b.reply }}"})
    for path in ("/jobs/start", "/jobs/dry-run"):
        assert_problem(await client.post(path, json=wrong), 422, "invalid")
        assert (await client.post(path, json=job(user_id="ben"))).status_code == 403
