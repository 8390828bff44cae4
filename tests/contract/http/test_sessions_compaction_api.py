"""The routes of summaries over every store: what they answer, and whom they refuse."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from bureau.http import Caller
from bureau.sessions import SessionsClient
from kit.identity import TENANT_WIDE, Principal, generate_keypair
from kit.settings import CommonSettings
from services.sessions.app import create_app
from services.sessions.settings import Settings
from tests.fakes import FixedClock
from tests.http import service_client
from tests.session_compaction import ANNA, BEN, talk
from tests.session_stores import UNCACHED, make_store
from tests.waiting import eventually

PRIVATE_KEY, PUBLIC_KEY = generate_keypair()
OLGA = Principal("acme", "olga", scopes=frozenset({TENANT_WIDE}))
GUS = Principal("globex", "gus", scopes=frozenset({TENANT_WIDE}))


@dataclass
class Bench:
    app: FastAPI

    def client(self, principal: Principal | None = ANNA) -> httpx.AsyncClient:
        return service_client(self.app, principal, "sessions", PRIVATE_KEY)


def settings(**more: Any) -> Settings:
    common = CommonSettings(identity_public_keys=PUBLIC_KEY)
    return Settings(common=common, max_messages_per_minute=0, compact_above_tokens=400, **more)


@pytest.fixture(params=UNCACHED)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    app = create_app(settings(), store=make_store(request.param, request), clock=FixedClock())
    async with app.router.lifespan_context(app):
        yield Bench(app)


@pytest.fixture
async def anna(bench: Bench) -> AsyncIterator[httpx.AsyncClient]:
    """Anna, who has one long session."""
    async with bench.client() as client:
        await fill(client)
        yield client


async def fill(client: httpx.AsyncClient) -> None:
    assert (await client.post("/sessions", json={"session_id": "sess-1"})).status_code == 201
    messages = [message.model_dump(mode="json") for message in talk(60)]
    turn = {"turn_id": "turn-1", "messages": messages}
    assert (await client.post("/sessions/sess-1/turns", json=turn)).status_code == 201


async def test_a_session_is_compacted_and_nothing_of_it_is_lost(anna: httpx.AsyncClient) -> None:
    missing = await anna.get("/sessions/sess-1/summary")
    assert (missing.status_code, missing.json()["code"]) == (404, "summary_not_found")
    before = (await anna.get("/sessions/sess-1?history_limit=100")).json()

    answer = (await anna.post("/sessions/sess-1/compact", json={"max_tokens": 400})).raise_for_status().json()
    assert answer["compacted"] is True
    assert answer["tokens"] <= 400
    summary = answer["summary"]
    covers = summary["covers"]
    assert covers["first_seq"] == 1
    assert [each["seq"] for each in answer["messages"]] == list(range(covers["last_seq"] + 1, 61))
    assert summary["made_by"] == "extractive"
    assert summary["tokens_after"] < summary["tokens_before"]
    assert (await anna.get("/sessions/sess-1/summary")).json() == summary

    assert (await anna.get("/sessions/sess-1?history_limit=100")).json() == before
    hits = (await anna.get("/sessions/search", params={"q": '"message 3"'})).json()["hits"]
    assert [each["seq"] for each in hits] == [3], "what is summarised is still found"

    again = (await anna.post("/sessions/sess-1/compact", json={"max_tokens": 400})).json()
    assert (again["compacted"], again["summary"], again["messages"]) == (False, summary, answer["messages"])
    kept = (await anna.post("/sessions/sess-1/compact", json={"keep_last": 5})).json()
    assert kept["compacted"] is False, "1500 tokens are enough by now"


async def test_a_window_is_what_a_model_is_shown(anna: httpx.AsyncClient) -> None:
    window = (await anna.get("/sessions/sess-1/window", params={"max_tokens": 200})).json()
    assert window["summary"] is None
    assert window["omitted"] == 60 - len(window["messages"]) > 0
    assert window["messages"][-1]["seq"] == 60
    compacted = (await anna.post("/sessions/sess-1/compact", json={"max_tokens": 400})).json()
    window = (await anna.get("/sessions/sess-1/window", params={"max_tokens": 400})).json()
    assert window == {key: compacted[key] for key in ("summary", "messages", "tokens", "omitted")}
    few = (await anna.get("/sessions/sess-1/window", params={"max_tokens": 400, "max_messages": 1})).json()
    assert [each["seq"] for each in few["messages"]] == [60]


@pytest.mark.parametrize(
    "body", [{"max_tokens": 99}, {"max_tokens": 10**6}, {"keep_last": -1}, {"keep_last": 1001}, {"max_tokens": "many"}]
)
async def test_limits_out_of_range_are_refused(anna: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert (await anna.post("/sessions/sess-1/compact", json=body)).status_code == 422


async def test_an_archived_session_is_not_compacted(anna: httpx.AsyncClient) -> None:
    await anna.delete("/sessions/sess-1")
    refused = await anna.post("/sessions/sess-1/compact", json={"max_tokens": 400})
    assert (refused.status_code, refused.json()["code"]) == (409, "session_archived")


async def test_a_sweep_needs_a_tenant_wide_scope_and_stays_in_its_tenant(bench: Bench, anna: httpx.AsyncClient) -> None:
    async with bench.client(BEN) as ben, bench.client(None) as nobody:
        assert (await ben.post("/sessions/sweep")).json()["code"] == "scope_missing"
        assert (await nobody.post("/sessions/sweep")).status_code == 401
    async with bench.client(GUS) as gus:
        assert (await gus.post("/sessions/sweep")).json()["counts"]["sessions_compacted"] == 0
    assert (await anna.get("/sessions/sess-1/summary")).status_code == 404
    async with bench.client(OLGA) as olga:
        swept = (await olga.post("/sessions/sweep")).raise_for_status().json()
        assert (swept["status"], swept["counts"]["sessions_compacted"]) == ("swept", 1)
        assert (await olga.post("/sessions/sweep")).json()["counts"]["sessions_compacted"] == 0
    assert (await anna.get("/sessions/sess-1/summary")).status_code == 200


async def test_the_client_knows_every_route(bench: Bench) -> None:
    async with bench.client(OLGA) as olga:
        await fill(olga)
        sessions = SessionsClient(Caller(olga, attempts=1))
        compacted = await sessions.compact("sess-1", max_tokens=400)
        assert compacted.compacted
        assert await sessions.summary("sess-1") == compacted.summary
        assert (await sessions.window("sess-1", max_tokens=400, max_messages=100)).messages == compacted.messages
        assert (await sessions.sweep()).counts["sessions_compacted"] == 0


async def test_the_service_sweeps_by_itself(request: pytest.FixtureRequest) -> None:
    app = create_app(settings(sweep_seconds=0.02), store=make_store("memory", request), clock=FixedClock())
    async with app.router.lifespan_context(app), Bench(app).client() as client:
        await fill(client)

        async def is_summarised() -> bool:
            return (await client.get("/sessions/sess-1/summary")).status_code == 200

        await eventually(is_summarised)
