"""The routes of schedules: what each answers, to whom, and how it refuses."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from bureau.errors import BureauError
from bureau.http import Caller
from bureau.jobs import JobsClient
from bureau_contracts.jobs import StartJob
from bureau_contracts.schedules import NewSchedule
from kit.identity import TENANT_WIDE, Principal, generate_keypair
from kit.paging import encode_cursor
from kit.settings import CommonSettings
from services.jobs.app import create_app
from services.jobs.schedules_memory import MemorySchedules
from services.jobs.settings import Settings
from services.jobs.store_memory import MemoryJobs, MemoryJobStore
from services.jobs.tender import Tender
from tests.http import service_client
from tests.job_stores import AGENT, BREAKPOINT

PRIVATE, PUBLIC = generate_keypair()
ANN, BEN = Principal("acme", "ann"), Principal("acme", "ben")
OPERATOR = Principal("acme", "olga", scopes=frozenset({TENANT_WIDE}))
GLOBEX = Principal("globex", "ann", scopes=frozenset({TENANT_WIDE}))
PAYING = Principal("acme", "ann", scopes=frozenset({"function:pay"}))
UNKNOWN = "sched-0199aaaa"

As = Callable[[Principal | None], httpx.AsyncClient]


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 28, 12, 0, 30, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def schedules(clock: Clock) -> MemorySchedules:
    return MemorySchedules(MemoryJobs(clock=clock))


@pytest.fixture
async def as_(schedules: MemorySchedules) -> AsyncIterator[As]:
    settings = Settings(common=CommonSettings(identity_public_keys=PUBLIC), schedules_per_tenant=5)
    app = create_app(settings, MemoryJobStore(schedules.jobs), schedules)
    async with app.router.lifespan_context(app):
        yield lambda principal: service_client(app, principal, "jobs", PRIVATE)


@pytest.fixture
def client(as_: As) -> httpx.AsyncClient:
    return as_(ANN)


def nightly(**fields: Any) -> dict[str, Any]:
    job = {"title": "nightly review", "steps": [AGENT]}
    return {"title": "nightly", "cron": "30 2 * * *", "timezone": "Europe/Berlin", "job": job} | fields


async def added(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    response = await client.post("/jobs/schedules", json=nightly(**fields))
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


def assert_problem(response: httpx.Response, status: int, code: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == code


async def test_a_schedule_is_added_and_shows_its_next_ticks(client: httpx.AsyncClient) -> None:
    schedule = await added(client)
    assert schedule["schedule_id"].startswith("sched-")
    assert (schedule["tenant"], schedule["owner"], schedule["enabled"]) == ("acme", "ann", True)
    assert (schedule["overlap"], schedule["catch_up"], schedule["jitter_seconds"]) == ("skip", "one", 0)
    # Over the change of the clock: 02:30 does not exist on the 29th.
    assert schedule["next_ticks"][:3] == ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"]
    assert len(schedule["next_ticks"]) == 5
    assert schedule["next_at"] == schedule["next_ticks"][0]
    assert (schedule["last_tick"], schedule["job_ids"], schedule["waiting"]) == (None, [], [])
    assert (await client.get(f"/jobs/schedules/{schedule['schedule_id']}")).json() == schedule


async def test_ticks_become_jobs_over_a_change_of_the_clock(
    client: httpx.AsyncClient, schedules: MemorySchedules, clock: Clock
) -> None:
    schedule_id = (await added(client, overlap="replace"))["schedule_id"]
    tender = Tender(schedules)
    fired = []
    for _ in range(4 * 24 * 60):
        clock.time += timedelta(minutes=1)
        if await tender.tend():
            fired.append((await client.get(f"/jobs/schedules/{schedule_id}")).json()["last_tick"])
    assert fired == [
        "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z", "2026-04-01T00:30:00Z",
    ]  # fmt: skip
    shown = (await client.get(f"/jobs/schedules/{schedule_id}")).json()
    assert (shown["started"], len(shown["job_ids"])) == (4, 4)
    newest, *former = [(await client.get(f"/jobs/{job_id}")).json() for job_id in shown["job_ids"]]
    assert (newest["owner"], newest["status"], newest["schedule_id"]) == ("ann", "queued", schedule_id)
    assert {job["status"] for job in former} == {"cancelled"}


async def test_a_paused_schedule_fires_nothing_and_makes_up_for_nothing(
    client: httpx.AsyncClient, schedules: MemorySchedules, clock: Clock
) -> None:
    path = f"/jobs/schedules/{(await added(client))['schedule_id']}"
    paused = (await client.patch(path, json={"enabled": False})).json()
    assert (paused["enabled"], paused["next_ticks"], paused["next_at"]) == (False, [], None)
    clock.time += timedelta(days=3)
    assert await Tender(schedules).tend() == 0
    resumed = (await client.patch(path, json={"enabled": True})).json()
    assert await Tender(schedules).tend() == 0
    assert resumed["next_at"] == "2026-04-01T00:30:00Z"


async def test_a_change_is_of_what_it_names(client: httpx.AsyncClient) -> None:
    before = await added(client, overlap="queue", jitter_seconds=60)
    path = f"/jobs/schedules/{before['schedule_id']}"
    after = (await client.patch(path, json={"cron": "0 4 * * *", "title": "later"})).json()
    assert (after["cron"], after["title"], after["overlap"]) == ("0 4 * * *", "later", "queue")
    assert (after["job"], after["jitter_seconds"]) == (before["job"], 60)
    assert after["next_ticks"][0] == "2026-03-29T02:00:00Z"
    same = (await client.patch(path, json={"catch_up": "all"})).json()
    assert (same["catch_up"], same["next_at"]) == ("all", after["next_at"])
    job = {"title": "other", "steps": [BREAKPOINT]}
    assert (await client.patch(path, json={"job": job})).json()["job"]["title"] == "other"


async def test_a_schedule_is_run_now_also_while_it_is_paused(client: httpx.AsyncClient) -> None:
    schedule = await added(client, enabled=False)
    path, key = f"/jobs/schedules/{schedule['schedule_id']}", {"idempotency-key": "now"}
    first = await client.post(f"{path}/run", headers=key)
    assert first.status_code == 202
    again = await client.post(f"{path}/run", headers=key)
    assert again.json() == first.json() | {"created": False}
    other = (await client.post(f"{path}/run")).json()["job_id"]
    assert (await client.get(path)).json()["job_ids"] == [other, first.json()["job_id"]]
    job = (await client.get(f"/jobs/{other}")).json()
    assert (job["title"], job["schedule_id"]) == ("nightly review", schedule["schedule_id"])


async def test_a_deleted_schedule_is_gone_and_its_jobs_are_not(client: httpx.AsyncClient) -> None:
    path = f"/jobs/schedules/{(await added(client))['schedule_id']}"
    job_id = (await client.post(f"{path}/run")).json()["job_id"]
    assert (await client.delete(path)).status_code == 200
    assert_problem(await client.get(path), 404, "schedule_not_found")
    assert_problem(await client.delete(path), 404, "schedule_not_found")
    assert (await client.get(f"/jobs/{job_id}")).status_code == 200


async def test_schedules_are_listed_newest_first_page_by_page(as_: As) -> None:
    ids = [(await added(as_(ANN)))["schedule_id"] for _ in range(3)]
    bens = (await added(as_(BEN)))["schedule_id"]

    async def page(principal: Principal, **params: Any) -> dict[str, Any]:
        body: dict[str, Any] = (await as_(principal).get("/jobs/schedules", params=params)).json()
        return body | {"ids": [each["schedule_id"] for each in body["schedules"]]}

    first = await page(ANN, limit=2)
    assert first["ids"] == [ids[2], ids[1]]
    rest = await page(ANN, limit=2, cursor=first["next_cursor"])
    assert (rest["ids"], rest["next_cursor"]) == ([ids[0]], None)
    assert (await page(OPERATOR))["ids"] == [bens, *ids[::-1]]
    assert (await page(OPERATOR, user_id="ben"))["ids"] == [bens]
    assert (await page(GLOBEX))["ids"] == []


@pytest.mark.parametrize("stranger", [BEN, GLOBEX])
async def test_to_others_a_schedule_is_not_there(as_: As, stranger: Principal) -> None:
    path = f"/jobs/schedules/{(await added(as_(ANN)))['schedule_id']}"
    client = as_(stranger)
    for response in (
        await client.get(path),
        await client.patch(path, json={"enabled": False}),
        await client.delete(path),
        await client.post(f"{path}/run"),
    ):
        assert_problem(response, 404, "schedule_not_found")
    assert (await as_(ANN).get(path)).json()["enabled"] is True


async def test_only_a_tenant_wide_scope_may_name_another_user(as_: As) -> None:
    job = {"title": "t", "steps": [AGENT], "user_id": "ben"}
    assert_problem(await as_(ANN).post("/jobs/schedules", json=nightly(job=job)), 403, "other_user")
    schedule = await added(as_(OPERATOR), job=job)
    assert schedule["owner"] == "ben"
    moved = await as_(OPERATOR).patch(
        f"/jobs/schedules/{schedule['schedule_id']}", json={"job": job | {"user_id": "ann"}}
    )
    assert moved.status_code == 422
    assert moved.json()["errors"][0]["location"] == "body.job.user_id"


@pytest.mark.parametrize(
    ("fields", "location"),
    [
        ({"cron": "61 * * * *"}, "body.cron"),
        ({"cron": "0 0 30 2 *"}, "body.cron"),
        ({"cron": "* * * * * *"}, "body.cron"),
        ({"timezone": "Mars/Olympus"}, "body.timezone"),
        ({"jitter_seconds": 86_400}, "body.jitter_seconds"),
        ({"job": {"title": "t", "steps": [{"name": "a", "kind": "agent"}]}}, "body.job.steps.0.message"),
        ({"overlap": "perhaps"}, "body.overlap"),
        ({"crom": "* * * * *"}, "body.crom"),
    ],
)
async def test_what_is_wrong_with_a_schedule_is_said_where_it_stands(
    client: httpx.AsyncClient, fields: dict[str, Any], location: str
) -> None:
    refused = await client.post("/jobs/schedules", json=nightly(**fields))
    assert refused.status_code == 422, refused.text
    assert [error["location"] for error in refused.json()["errors"]] == [location]
    path = f"/jobs/schedules/{(await added(client))['schedule_id']}"
    changed = await client.patch(path, json=fields)
    assert changed.status_code == 422, changed.text
    assert [error["location"] for error in changed.json()["errors"]] == [location]


async def test_a_tenant_has_no_more_schedules_than_it_may(as_: As) -> None:
    for principal in (ANN, ANN, ANN, BEN, BEN):
        await added(as_(principal))
    assert_problem(await as_(ANN).post("/jobs/schedules", json=nightly()), 409, "too_many_schedules")
    await added(as_(GLOBEX))


async def test_unknown_schedules_cursors_and_strangers_are_refused(as_: As) -> None:
    client = as_(ANN)
    assert_problem(await client.get(f"/jobs/schedules/{UNKNOWN}"), 404, "schedule_not_found")
    assert (await client.get("/jobs/schedules/nonsense")).status_code == 422
    odd = await client.get("/jobs/schedules", params={"cursor": encode_cursor("job-1")})
    assert_problem(odd, 422, "invalid_cursor")
    assert (await as_(None).get("/jobs/schedules")).status_code == 401


async def test_the_client_adds_pauses_runs_and_deletes_a_schedule(client: httpx.AsyncClient) -> None:
    schedules = JobsClient(Caller(client)).schedules
    job = StartJob.model_validate({"title": "t", "steps": [AGENT]})
    added = await schedules.add(NewSchedule(title="nightly", cron="30 2 * * *", timezone="Europe/Berlin", job=job))
    assert not (await schedules.pause(added.schedule_id)).enabled
    assert (await schedules.resume(added.schedule_id)).next_at == added.next_at
    started = await schedules.run(added.schedule_id, idempotency_key="k")
    assert (await schedules.get(added.schedule_id)).job_ids == [started.job_id]
    assert [each.schedule_id for each in (await schedules.page()).schedules] == [added.schedule_id]
    await schedules.delete(added.schedule_id)
    with pytest.raises(BureauError, match="there is no schedule"):
        await schedules.get(added.schedule_id)


async def test_to_run_a_schedule_takes_the_scopes_of_its_functions(as_: As) -> None:
    """As to start its job does: a tick has its owner's word, this has the caller's."""
    job = {"title": "payday", "steps": [{"name": "pay", "kind": "function", "function": "pay"}]}
    path = f"/jobs/schedules/{(await added(as_(PAYING), job=job))['schedule_id']}/run"
    for lacking in (ANN, OPERATOR):
        assert_problem(await as_(lacking).post(path), 403, "scope_missing")
    assert (await as_(PAYING).post(path)).status_code == 202
