"""Isolation: every route of the sessions service × everybody who might call it. The routes come from OpenAPI.

What is another's is answered exactly as what is missing; lists and searches show nothing of it; and whatever was
refused changed nothing.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from kit.identity import ADMIN, TENANT_WIDE, Principal, generate_keypair
from kit.settings import CommonSettings
from services.sessions.app import create_app
from services.sessions.scopes import WRITE_APP
from services.sessions.settings import Settings
from tests.fakes import FixedClock
from tests.http import service_client
from tests.session_stores import LASTING, make_store

PRIVATE_KEY, PUBLIC_KEY = generate_keypair()
ANNA = Principal("acme", "anna")
FELLOW = Principal("acme", "bob", scopes=frozenset({WRITE_APP}))
STRANGER = Principal("globex", "anna", scopes=frozenset({ADMIN, TENANT_WIDE, WRITE_APP}))
OPERATOR = Principal("acme", "olga", scopes=frozenset({TENANT_WIDE}))

SECRET = "zanzibar"
KEY = {"Idempotency-Key": "annas-key"}
"""Which Anna used for the first message of hers, and others try on everything."""
MESSAGE = {"role": "user", "content": f"the word is {SECRET}"}
TURN = {
    "turn_id": "turn-1",
    "messages": [MESSAGE, {"role": "assistant", "content": SECRET, "agent": "spy"}],
    "invocations": [{"agent_name": "spy", "query": SECRET, "response": SECRET}],
    "context": {"last_query": SECRET},
    "state": {"own": SECRET, "user:lang": SECRET},
    "status": "completed",
    "answer": {"reply": SECRET},
}


@dataclass(frozen=True)
class Call:
    """How a route is called, and what it answers to those who may."""

    body: Any = None
    params: dict[str, str] = field(default_factory=dict)
    allowed: tuple[int, ...] = (200, 201)
    """Of the owner and the operator."""
    naming: tuple[dict[str, str], ...] = ({},)
    """Of a route of no one session: parameters by which another's might be reached."""


OF_A_SESSION: dict[str, Call] = {
    "GET /sessions/{session_id}": Call(),
    "DELETE /sessions/{session_id}": Call(params={"purge": "true"}),
    "GET /sessions/{session_id}/history": Call(),
    "POST /sessions/{session_id}/history": Call(MESSAGE),
    "POST /sessions/{session_id}/invocations": Call({"agent_name": "a", "query": "q"}),
    "POST /sessions/{session_id}/turns": Call({**TURN, "turn_id": "turn-2", "fencing_token": 1}),
    "GET /sessions/{session_id}/turns/{turn_id}": Call(),
    "GET /sessions/{session_id}/context": Call(),
    "PUT /sessions/{session_id}/context": Call({}),
    "GET /sessions/{session_id}/state": Call(),
    "PATCH /sessions/{session_id}/state": Call({"state": {"own": 1, "user:lang": "en"}}),
    "PATCH /sessions/{session_id}/status": Call({"status": "idle"}),
    "POST /sessions/{session_id}/lease": Call({"holder": "anna"}),
    "PUT /sessions/{session_id}/lease/renew": Call({"fencing_token": 1}),
    "DELETE /sessions/{session_id}/lease": Call(params={"fencing_token": "1"}),
    "POST /sessions/{session_id}/fork": Call({}),
    "POST /sessions/{session_id}/rewind": Call({"to_seq": 1, "fencing_token": 1}),
    "GET /sessions/{session_id}/branches": Call(),
    "GET /sessions/{session_id}/export": Call(),
    "POST /sessions/{session_id}/compact": Call({}),
    "GET /sessions/{session_id}/summary": Call(allowed=(404,)),  # summary_not_found: nothing was summarised
    "GET /sessions/{session_id}/window": Call(),
    "POST /sessions/{session_id}/resume": Call(),
}
ANNAS: tuple[dict[str, str], ...] = ({}, {"user_id": "anna"})
OF_NO_SESSION: dict[str, Call] = {
    "GET /sessions": Call(naming=(*ANNAS, {"agent": "spy"}, {"lifecycle": "archived"})),
    "DELETE /sessions": Call(naming=({"user_id": "anna"},)),
    "GET /sessions/search": Call(
        params={"q": SECRET}, naming=(*ANNAS, {"session_id": "sess-1"}, {"user_id": "anna", "session_id": "sess-1"})
    ),
    "POST /sessions/cleanup": Call({"older_than_days": 0, "purge": True, "user_id": "anna"}),
    "POST /sessions/sweep": Call(allowed=(200, 403)),
    "POST /sessions/backup": Call(allowed=(403,)),
    # Last: a stranger gets a session of this id in its own tenant.
    "POST /sessions": Call({"session_id": "sess-1", "user_id": "anna"}, allowed=(409,)),
    "POST /sessions/import": Call({}, allowed=(409,)),  # the body is Anna's own export
}
MATRIX = {**OF_A_SESSION, **OF_NO_SESSION}


@dataclass
class World:
    app: FastAPI

    def client(self, principal: Principal | None) -> httpx.AsyncClient:
        return service_client(self.app, principal, "sessions", PRIVATE_KEY)

    async def fill(self, session_id: str) -> None:
        """A session of Anna's with something of everything, and she holds its lease."""
        async with self.client(ANNA) as anna:
            for path, body, headers in (
                ("", {"session_id": session_id, "title": SECRET, "metadata": {"a": SECRET}}, {}),
                (f"/{session_id}/history", MESSAGE, KEY),
                (f"/{session_id}/history", MESSAGE, {}),
                (f"/{session_id}/rewind", {"to_seq": 1}, {}),
                (f"/{session_id}/turns", TURN, {}),
                (f"/{session_id}/lease", {"holder": "anna", "ttl_seconds": 600}, {}),
            ):
                (await anna.post(f"/sessions{path}", json=body, headers=headers)).raise_for_status()

    async def annas(self) -> list[Any]:
        """All that Anna can see."""
        async with self.client(ANNA) as anna:
            paths = ["/sessions", "/sessions?lifecycle=archived", "/sessions?lifecycle=expired"]
            paths += [f"/sessions/sess-1{each}" for each in ("", "/state", "/branches", "/export", "/turns/turn-1")]
            return [(await anna.get(path)).raise_for_status().json() for path in paths]

    async def exported(self) -> Any:
        async with self.client(ANNA) as anna:
            return (await anna.get("/sessions/sess-1/export")).json()

    async def ask(self, client: httpx.AsyncClient, route: str, session_id: str = "", **params: str) -> httpx.Response:
        method, path = route.split()
        path = path.format(session_id=session_id, turn_id="turn-1")
        call = MATRIX[route]
        body = await self.exported() if route == "POST /sessions/import" else call.body
        return await client.request(
            method, path, json=body, params={**call.params, **params}, headers=KEY if params or session_id else {}
        )


@pytest.fixture(params=["memory", *LASTING])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    settings = Settings(common=CommonSettings(identity_public_keys=PUBLIC_KEY), max_messages_per_minute=0)
    clock = FixedClock()
    app = create_app(settings, store=make_store(request.param, request), clock=clock)
    async with app.router.lifespan_context(app):
        world = World(app)
        await world.fill("sess-1")
        clock.move(5)
        yield world


def test_every_route_is_in_the_matrix() -> None:
    paths = create_app(Settings(common=CommonSettings(identity_public_keys=PUBLIC_KEY))).openapi()["paths"]
    routes = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert routes - {"GET /health"} == MATRIX.keys()
    assert {route for route in MATRIX if "{session_id}" in route} == OF_A_SESSION.keys()


async def test_nobody_is_answered_without_identity(world: World) -> None:
    before = await world.annas()
    async with world.client(None) as nobody:
        for route in MATRIX:
            refused = await world.ask(nobody, route, "sess-1")
            assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated"), route
    assert await world.annas() == before


@pytest.mark.parametrize("other", [FELLOW, STRANGER], ids=["fellow", "stranger"])
async def test_anothers_session_is_answered_exactly_as_one_that_is_missing(world: World, other: Principal) -> None:
    before = await world.annas()
    async with world.client(other) as client:
        for route in OF_A_SESSION:
            foreign, missing = await world.ask(client, route, "sess-1"), await world.ask(client, route, "sess-0")
            assert (foreign.status_code, foreign.json()["code"]) == (404, "session_not_found"), route
            assert _told(foreign, "sess-1") == _told(missing, "sess-0"), route
    assert await world.annas() == before


@pytest.mark.parametrize("other", [FELLOW, STRANGER], ids=["fellow", "stranger"])
async def test_nothing_of_anothers_is_listed_found_taken_or_erased(world: World, other: Principal) -> None:
    before = await world.annas()
    async with world.client(other) as client:
        for route, call in OF_NO_SESSION.items():
            for named in call.naming:
                answer = await world.ask(client, route, **named)
                if other is FELLOW:
                    assert answer.status_code == (403 if _is_forbidden(route, call, named) else 200), (route, named)
                assert answer.status_code in (200, 201, 403, 409), (route, answer.text)
                if route not in ("POST /sessions", "POST /sessions/import"):  # which answer with the id they were sent
                    assert "sess-1" not in answer.text, (route, named)
                assert SECRET not in answer.text, (route, named)
                assert not _counted(answer), (route, named)
            assert await world.annas() == before, route


@pytest.mark.parametrize("caller", [ANNA, OPERATOR], ids=["owner", "operator"])
async def test_the_owner_and_an_operator_of_the_tenant_may(world: World, caller: Principal) -> None:
    async with world.client(caller) as client:
        for number, (route, call) in enumerate(OF_A_SESSION.items()):
            await world.fill(f"sess-own-{number}")
            method, path = route.split()
            url = path.format(session_id=f"sess-own-{number}", turn_id="turn-1")
            answer = await client.request(method, url, json=call.body, params=call.params)
            assert answer.status_code in call.allowed, (route, answer.text)
        listed = (await client.get("/sessions", params={"user_id": "anna"})).json()["sessions"]
        assert "sess-1" in {session["session_id"] for session in listed}
        for route in ("POST /sessions", "POST /sessions/import", "POST /sessions/sweep", "POST /sessions/backup"):
            answer = await world.ask(client, route)
            assert answer.status_code in OF_NO_SESSION[route].allowed, (route, answer.text)
        cleaned = await world.ask(client, "POST /sessions/cleanup")
        assert cleaned.status_code == 200
        erased = await world.ask(client, "DELETE /sessions", user_id="anna")
        assert (erased.status_code, erased.json()["user_state"]) == (200, True)
        assert (await client.get("/sessions/sess-1")).status_code == 404


async def test_anothers_key_does_not_bring_up_the_first_answer(world: World) -> None:
    async with world.client(ANNA) as anna, world.client(FELLOW) as fellow:
        repeated = await anna.post("/sessions/sess-1/history", json=MESSAGE, headers=KEY)
        assert (repeated.status_code, repeated.json()["seq"]) == (201, 1)
        refused = await fellow.post("/sessions/sess-1/history", json=MESSAGE, headers=KEY)
        assert refused.status_code == 404


def _told(answer: httpx.Response, session_id: str) -> Any:
    """What a refusal says, but for the id that was asked for and the trace."""
    body = json.loads(answer.text.replace(session_id, "sess-?"))
    headers = {name: value for name, value in answer.headers.items() if name not in ("x-trace-id", "x-request-id")}
    return {**body, "trace_id": ""}, answer.status_code, headers


def _is_forbidden(route: str, call: Call, named: dict[str, str]) -> bool:
    """To one without a tenant-wide scope: to name another user, and what is an operator's."""
    names_anna = "anna" in (named.get("user_id"), (call.body or {}).get("user_id"))
    return names_anna or route in ("POST /sessions/import", "POST /sessions/sweep", "POST /sessions/backup")


def _counted(answer: httpx.Response) -> bool:
    """Whether it says that sessions were erased, archived, compacted or found."""
    if answer.status_code != 200:
        return False
    body = answer.json()
    counts = body.get("counts") or {}
    return bool(body.get("hits") or body.get("user_state") or any(counts.values()) or body.get("sessions"))
