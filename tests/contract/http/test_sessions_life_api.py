"""The routes about keys, shared state and the life of sessions, over every store, called through the client."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import httpx
import pytest
from fastapi import FastAPI

from kit.identity import TENANT_WIDE, Principal, generate_keypair
from kit.settings import CommonSettings
from services.sessions.app import create_app
from services.sessions.scopes import WRITE_APP
from services.sessions.settings import Settings
from tests.fakes import FixedClock
from tests.http import service_client
from tests.session_stores import LASTING, make_store

PRIVATE_KEY, PUBLIC_KEY = generate_keypair()
ANNA, BOB = Principal("acme", "anna"), Principal("acme", "bob")
PUBLISHER = Principal("acme", "anna", scopes=frozenset({WRITE_APP}))
OPERATOR = Principal("acme", "olga", scopes=frozenset({TENANT_WIDE}))
DAY = 24 * 3600
HELLO = {"role": "user", "content": "hello"}


@dataclass
class Bench:
    app: FastAPI
    clock: FixedClock

    def client(self, principal: Principal = ANNA) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        return service_client(self.app, principal, "sessions", PRIVATE_KEY)


@pytest.fixture(params=["memory", *LASTING])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    settings = Settings(
        common=CommonSettings(identity_public_keys=PUBLIC_KEY), max_per_user=3, max_message_bytes=200, cleanup_days=1
    )
    clock = FixedClock()
    app = create_app(settings, store=make_store(request.param, request), clock=clock)
    async with app.router.lifespan_context(app):
        yield Bench(app, clock)


@pytest.fixture
async def anna(bench: Bench) -> AsyncIterator[httpx.AsyncClient]:
    async with bench.client() as client:
        (await client.post("/sessions", json={"session_id": "sess-1"})).raise_for_status()
        yield client


def problem(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["code"]


async def test_a_request_sent_twice_under_a_key_gets_the_first_answer_and_status(anna: httpx.AsyncClient) -> None:
    for method, path, body in (
        ("POST", "/sessions", {"title": "new"}),
        ("POST", "/sessions/sess-1/history", HELLO),
        ("POST", "/sessions/sess-1/invocations", {"agent_name": "a", "query": "q"}),
        ("POST", "/sessions/sess-1/turns", {"turn_id": "turn-1", "messages": [HELLO]}),
        ("PUT", "/sessions/sess-1/context", {"last_query": "q"}),
        ("PATCH", "/sessions/sess-1/state", {"state": {"a": 1}}),
        ("PATCH", "/sessions/sess-1/status", {"status": "planning"}),
        ("POST", "/sessions/sess-1/lease", {"holder": "me"}),
        ("PUT", "/sessions/sess-1/lease/renew", {"fencing_token": 1}),
        ("DELETE", "/sessions/sess-1/lease?fencing_token=1", None),
        ("POST", "/sessions/sess-1/fork", {"at_seq": 1}),
        ("POST", "/sessions/sess-1/rewind", {"to_seq": 1}),
        ("POST", "/sessions/sess-1/resume", None),
        ("DELETE", "/sessions/sess-1", None),
    ):
        headers = {"Idempotency-Key": f"{method}:{path}"}
        first = (await anna.request(method, path, json=body, headers=headers)).raise_for_status()
        before = (await anna.get("/sessions/sess-1?history_limit=100")).json()
        again = await anna.request(method, path, json=body, headers=headers)
        assert (again.status_code, again.json()) == (first.status_code, first.json()), path
        assert (await anna.get("/sessions/sess-1?history_limit=100")).json() == before, path
        other = await anna.request(method, path.partition("?")[0] + "?fencing_token=9", json=body, headers=headers)
        assert problem(other) == (409, "idempotency_key_reused"), path


async def test_an_import_under_a_key_is_done_once(bench: Bench, anna: httpx.AsyncClient) -> None:
    await anna.post("/sessions/sess-1/history", json=HELLO)
    document = (await anna.get("/sessions/sess-1/export")).json()
    document["session"]["session_id"] = "sess-2"
    document["session"]["state"] = {"own": 1, "user:not": "mine"}
    answers = [
        await anna.post("/sessions/import", json=document, headers={"Idempotency-Key": key}) for key in ("k", "k", "l")
    ]
    assert [answer.status_code for answer in answers] == [201, 201, 409]
    assert answers[0].json() == answers[1].json()
    assert (await anna.get("/sessions/sess-2/state")).json()["state"] == {"own": 1}


@pytest.mark.parametrize("key", ["", "two words", "é", "x" * 201])
async def test_a_key_that_is_none_is_refused(anna: httpx.AsyncClient, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode()}
    refused = await anna.post("/sessions/sess-1/history", json=HELLO, headers=headers)
    assert problem(refused) == (422, "invalid")


async def test_a_purge_is_404_the_second_time_whatever_the_key(anna: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k"}
    assert (await anna.delete("/sessions/sess-1?purge=true", headers=headers)).json() == {"status": "deleted"}
    assert problem(await anna.delete("/sessions/sess-1?purge=true", headers=headers)) == (404, "session_not_found")


async def test_shared_state_is_seen_by_whom_it_belongs_to(bench: Bench, anna: httpx.AsyncClient) -> None:
    refused = await anna.patch("/sessions/sess-1/state", json={"state": {"app:a": 1}})
    assert problem(refused) == (403, "scope_missing")
    async with bench.client(PUBLISHER) as publisher, bench.client(BOB) as bob:
        await publisher.patch("/sessions/sess-1/state", json={"state": {"app:a": 1, "user:b": 2}})
        await bob.post("/sessions", json={"session_id": "sess-b"})
        assert (await bob.get("/sessions/sess-b")).json()["session"]["state"] == {"app:a": 1}
    await anna.post("/sessions", json={"session_id": "sess-2"})
    assert (await anna.get("/sessions/sess-2/state")).json()["state"] == {"app:a": 1, "user:b": 2}
    export = (await anna.get("/sessions/sess-1/export")).json()
    assert export["session"]["state"] == {}


async def test_an_expired_session_is_read_refused_and_resumed(bench: Bench, anna: httpx.AsyncClient) -> None:
    session = (await anna.get("/sessions/sess-1")).json()["session"]
    assert (session["lifecycle"], session["expires_at"]) == ("active", "2026-02-01T03:04:05Z")
    bench.clock.move(30 * DAY)
    session = (await anna.get("/sessions/sess-1")).json()["session"]
    assert session["lifecycle"] == "expired"
    refused = await anna.post("/sessions/sess-1/history", json=HELLO)
    assert problem(refused) == (409, "session_expired")
    assert "resume" in refused.json()["detail"]
    assert (await anna.get("/sessions")).json()["sessions"] == []
    listed = (await anna.get("/sessions?lifecycle=expired")).json()["sessions"]
    assert [each["session_id"] for each in listed] == ["sess-1"]
    resumed = (await anna.post("/sessions/sess-1/resume")).json()
    assert resumed == {"status": "resumed", "expires_at": "2026-03-03T03:04:05Z"}
    assert (await anna.post("/sessions/sess-1/history", json=HELLO)).status_code == 201
    await anna.delete("/sessions/sess-1")
    assert problem(await anna.post("/sessions/sess-1/resume")) == (409, "session_archived")


async def test_completed_sessions_are_cleaned_up(bench: Bench, anna: httpx.AsyncClient) -> None:
    await anna.patch("/sessions/sess-1/status", json={"status": "completed"})
    bench.clock.move(8 * DAY)
    dry = await anna.post("/sessions/cleanup", json={"dry_run": True})
    assert dry.json() == {"status": "cleaned_up", "sessions": 1, "dry_run": True}
    assert (await anna.post("/sessions/cleanup", json={})).json()["sessions"] == 1
    assert (await anna.get("/sessions/sess-1")).json()["session"]["lifecycle"] == "archived"
    assert problem(await anna.post("/sessions/cleanup", json={"user_id": "bob"})) == (403, "other_user")
    assert problem(await anna.post("/sessions/cleanup", json={"older_than_days": -1})) == (422, "invalid")


async def test_the_sweep_does_the_upkeep_of_the_callers_tenant(bench: Bench, anna: httpx.AsyncClient) -> None:
    await anna.patch("/sessions/sess-1/status", json={"status": "completed"})
    bench.clock.move(2 * DAY)
    async with bench.client(OPERATOR) as operator:
        counts = (await operator.post("/sessions/sweep")).json()["counts"]
    assert (counts["sessions_archived"], counts["sessions_expired"], counts["sessions_purged"]) == (1, 0, 0)


async def test_a_person_is_erased(bench: Bench, anna: httpx.AsyncClient) -> None:
    await anna.patch("/sessions/sess-1/state", json={"state": {"user:a": 1}})
    assert problem(await anna.delete("/sessions")) == (422, "invalid")
    assert problem(await anna.delete("/sessions?user_id=bob")) == (403, "other_user")
    erased = await anna.delete("/sessions?user_id=anna")
    assert erased.json() == {"status": "erased", "sessions": 1, "user_state": True}
    assert problem(await anna.get("/sessions/sess-1")) == (404, "session_not_found")


async def test_too_many_sessions_are_refused_with_the_number(anna: httpx.AsyncClient) -> None:
    for _ in range(2):
        assert (await anna.post("/sessions", json={})).status_code == 201
    for refused in (await anna.post("/sessions", json={}), await anna.post("/sessions/sess-1/fork", json={})):
        assert problem(refused) == (429, "too_many_sessions")
        assert refused.json()["detail"].startswith("3 active sessions per user")
        assert refused.headers["retry-after"] == "60"


async def test_a_message_that_is_too_large_is_refused_with_the_numbers_and_nothing_is_stored(
    anna: httpx.AsyncClient,
) -> None:
    large = {"role": "user", "content": "ä" * 100}
    refusals = [
        await anna.post("/sessions/sess-1/history", json=large),
        await anna.post("/sessions/sess-1/turns", json={"turn_id": "turn-1", "messages": [HELLO, large]}),
    ]
    assert [problem(refused) for refused in refusals] == [(413, "message_too_large")] * 2
    assert refusals[1].json()["detail"] == "200 bytes of JSON per message: the 2. of these messages has 228"
    assert (await anna.get("/sessions/sess-1")).json()["session"]["message_count"] == 0
