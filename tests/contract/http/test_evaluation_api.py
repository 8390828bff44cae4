"""Evaluation's routes: what each answers, to whom, and how it refuses."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from kit.identity import ADMIN, Principal, generate_keypair
from kit.settings import CommonSettings
from services.evaluation.app import create_app
from services.evaluation.settings import Settings
from services.evaluation.store import MetricsStore
from services.evaluation.store_memory import MemoryStore
from tests.http import service_client

PRIVATE, PUBLIC = generate_keypair()
COMMON = CommonSettings(identity_public_keys=PUBLIC)
ANN, BEN = Principal("acme", "ann"), Principal("acme", "ben")
GUS = Principal("globex", "gus", scopes=frozenset({ADMIN}))
MAX_SERIES = 3

As = Callable[[Principal | None], httpx.AsyncClient]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(MAX_SERIES)


@pytest.fixture
async def client_of(store: MemoryStore) -> AsyncIterator[As]:
    @asynccontextmanager
    async def open_store() -> AsyncIterator[MetricsStore]:
        yield store

    app = create_app(Settings(common=COMMON), open_store=open_store)
    async with app.router.lifespan_context(app):
        yield lambda principal: service_client(app, principal, "evaluation", PRIVATE)


@pytest.fixture
def client(client_of: As) -> httpx.AsyncClient:
    return client_of(ANN)


def assert_problem(response: httpx.Response, status: int, code: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["code"] == code
    assert problem["trace_id"] == response.headers["x-trace-id"]


def turns(**fields: Any) -> dict[str, Any]:
    return {"name": "turns", "labels": {"agent": "tickets"}} | fields


async def test_a_metric_is_recorded_and_read_back_by_the_whole_tenant(client_of: As) -> None:
    response = await client_of(ANN).post("/metrics", json=turns())
    assert (response.status_code, response.json()) == (201, {"status": "recorded"})
    await client_of(BEN).post("/metrics", json=turns(value=2))
    expected = {"name": "turns", "labels": {"agent": "tickets"}, "value": 3.0, "count": 2, "observed": False}
    for principal in (ANN, BEN):
        response = await client_of(principal).get("/metrics")
        assert response.headers["content-type"] == "application/json"
        assert response.json() == {"metrics": [expected]}


async def test_prometheus_gets_its_own_format(client: httpx.AsyncClient) -> None:
    await client.post("/metrics", json=turns(labels={"agent": 'a"b'}))
    await client.post("/metrics", json={"name": "seconds", "value": 1.5, "observe": True})
    response = await client.get("/metrics", headers={"accept": "text/plain;version=0.0.4;q=0.4,*/*;q=0.1"})
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert response.text == (
        "# TYPE seconds summary\nseconds_sum 1.5\nseconds_count 1\n"
        '# TYPE turns counter\nturns{agent="a\\"b"} 1.0\n'
    )  # fmt: skip


async def test_another_tenant_sees_none_of_it_and_has_a_limit_of_its_own(client_of: As) -> None:
    for number in range(MAX_SERIES):
        await client_of(ANN).post("/metrics", json=turns(labels={"n": str(number)}))
    assert (await client_of(GUS).get("/metrics")).json() == {"metrics": []}
    assert (await client_of(GUS).get("/metrics", headers={"accept": "text/plain"})).text == ""
    assert (await client_of(GUS).post("/metrics", json=turns())).status_code == 201


async def test_one_series_too_many_answers_429(client: httpx.AsyncClient) -> None:
    for number in range(MAX_SERIES):
        await client.post("/metrics", json=turns(labels={"n": str(number)}))
    assert_problem(await client.post("/metrics", json=turns(labels={"n": "more"})), 429, "too_many_series")
    assert len((await client.get("/metrics")).json()["metrics"]) == MAX_SERIES


async def test_a_counter_does_not_become_an_observation(client: httpx.AsyncClient) -> None:
    await client.post("/metrics", json=turns())
    assert_problem(await client.post("/metrics", json=turns(observe=True)), 409, "metric_kind_differs")


async def test_a_runbook_is_scored(client: httpx.AsyncClient) -> None:
    body = {"runbook": "check the tickets\ndelete all", "reference": "check the tickets", "forbidden_phrases": ["all"]}
    response = await client.post("/evaluations/runbook", json=body)
    assert response.status_code == 200
    answer = response.json()
    assert (answer["step_count"], answer["mean_step_length"], answer["forbidden_found"]) == (2, 2.5, ["all"])
    assert 0 < answer["similarity"] < 1
    assert answer["score"] == pytest.approx(sum(answer["details"].values()) / len(answer["details"]))


async def test_the_steps_of_a_job_are_scored(client: httpx.AsyncClient) -> None:
    steps = [{"name": "look", "kind": "agent", "message": "show my tickets"}]
    response = await client.post("/evaluations/runbook", json={"runbook": steps, "reference": steps})
    assert (response.json()["score"], response.json()["similarity"]) == (1.0, 1.0)


EVERYTHING = [
    ("GET", "/metrics", None),
    ("POST", "/metrics", turns()),
    ("POST", "/evaluations/runbook", {"runbook": "check the tickets"}),
]


@pytest.mark.parametrize(("method", "path", "body"), EVERYTHING)
async def test_without_identity_nothing_answers(client_of: As, method: str, path: str, body: Any) -> None:
    assert_problem(await client_of(None).request(method, path, json=body), 401, "unauthenticated")
    assert (await client_of(ANN).get("/metrics")).json() == {"metrics": []}


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"name": "a", "name": "b"}', b'{"name": "\\ud800"}', b"NaN"])
@pytest.mark.parametrize("path", ["/metrics", "/evaluations/runbook"])
async def test_a_body_that_is_not_json_is_refused(client: httpx.AsyncClient, path: str, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    assert_problem(await client.post(path, content=body, headers=headers), 400, "malformed_json")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "two words"},
        {"name": "9lives"},
        turns(value=-1),
        turns(value=1e16),
        turns(value=10**400),
        turns(value="many"),
        turns(labels={"__name__": "other"}),
        turns(labels={"a-b": "x"}),
        turns(labels={"a": 1}),
        turns(labels={"a": ""}),
        turns(labels={f"l{n}": "x" for n in range(11)}),
        turns(unknown=1),
        [],
        None,
    ],
)
async def test_a_metric_that_makes_no_sense_is_refused(client: httpx.AsyncClient, body: Any) -> None:
    assert_problem(await client.post("/metrics", json=body), 422, "invalid")
    assert (await client.get("/metrics")).json() == {"metrics": []}


@pytest.mark.parametrize(
    "body", [{}, {"runbook": ""}, {"runbook": 7}, {"runbook": [{"name": "x"}]}, {"runbook": "x", "more": 1}]
)
async def test_a_runbook_that_makes_no_sense_is_refused(client: httpx.AsyncClient, body: Any) -> None:
    assert_problem(await client.post("/evaluations/runbook", json=body), 422, "invalid")


@pytest.mark.parametrize("accept", ["", "text/plain", "\x7f", ",;=q", "text/plain;q=nan"])
async def test_no_accept_header_is_too_odd(client: httpx.AsyncClient, accept: str) -> None:
    assert (await client.get("/metrics", headers={"accept": accept})).status_code == 200


async def test_metrics_answer_503_while_the_store_is_away_and_scoring_goes_on(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    store.away = True
    for response in (await client.get("/metrics"), await client.post("/metrics", json=turns())):
        assert_problem(response, 503, "unavailable")
        assert response.headers["retry-after"] == "1"
    assert (await client.post("/evaluations/runbook", json={"runbook": "go on"})).status_code == 200
    health = await client.get("/health")
    assert (health.status_code, health.json()["dependencies"]["redis"]["status"]) == (503, "unavailable")
    store.away = False
    assert (await client.post("/metrics", json=turns())).status_code == 201


async def test_it_works_on_redis_and_starts_without_it(redis_url: str) -> None:
    for url, status in (("redis://127.0.0.1:1/0", 503), (redis_url, 201)):
        app = create_app(Settings(redis_url=url, common=COMMON))
        async with app.router.lifespan_context(app):
            client = service_client(app, ANN, "evaluation", PRIVATE)
            response = await client.post("/metrics", json=turns())
            assert response.status_code == status
            assert (await client.get("/metrics")).status_code == (200 if status == 201 else 503)
