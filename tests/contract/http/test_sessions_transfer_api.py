"""Export and import over every store: what comes out goes in again and is the same."""

import copy
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from kit.identity import TENANT_WIDE, Principal, generate_keypair
from kit.settings import CommonSettings
from services.sessions import transferring
from services.sessions.app import create_app
from services.sessions.settings import Settings
from tests.http import service_client
from tests.session_stores import UNCACHED, make_store

PRIVATE_KEY, PUBLIC_KEY = generate_keypair()
ANNA = Principal("acme", "anna")
BOB = Principal("acme", "bob")
OLGA = Principal("acme", "olga", scopes=frozenset({TENANT_WIDE}))
ELSEWHERE = Principal("globex", "olga", scopes=frozenset({TENANT_WIDE}))

Document = dict[str, Any]


@pytest.fixture(params=UNCACHED)
async def app(request: pytest.FixtureRequest) -> AsyncIterator[FastAPI]:
    settings = Settings(common=CommonSettings(identity_public_keys=PUBLIC_KEY))
    app = create_app(settings, store=make_store(request.param, request))
    async with app.router.lifespan_context(app):
        yield app


def client(app: FastAPI, principal: Principal | None = ANNA) -> httpx.AsyncClient:
    return service_client(app, principal, "sessions", PRIVATE_KEY)


async def told(anna: httpx.AsyncClient) -> None:
    """Anna's sess-1 with turns, a rewind, and what followed; and sess-f, forked from what was left."""

    async def turn(number: int, *texts: str) -> None:
        body = {
            "turn_id": f"turn-{number}",
            "messages": [
                {"role": "user", "content": texts[0]},
                {"role": "assistant", "agent": "tickets", "content": [{"type": "text", "text": t} for t in texts],
                 "tool_calls": [{"call_id": "c", "name": "find", "arguments": {"ä": [1.5, None]}}]},
            ],
            "invocations": [{"agent_name": "tickets", "query": texts[0], "duration_ms": 1.5}],
            "state": {"step": number, f"only-{number}": True},
            "context": {"last_query": texts[0]},
            "status": "completed",
            "answer": {"reply": texts[0]},
        }  # fmt: skip
        (await anna.post("/sessions/sess-1/turns", json=body)).raise_for_status()

    await anna.post("/sessions", json={"session_id": "sess-1", "title": "Zoë's", "metadata": {"b": 1, "a": 2}})
    await turn(1, "one", "née")
    await turn(2, "two")
    (await anna.post("/sessions/sess-1/rewind", json={"to_seq": 3})).raise_for_status()
    await turn(3, "three")
    (await anna.post("/sessions/sess-1/fork", json={"session_id": "sess-f", "branch": 0})).raise_for_status()
    (await anna.post("/sessions/sess-f/history", json={"role": "user", "content": "aside"})).raise_for_status()
    await anna.post("/sessions/sess-1/lease", json={"holder": "one"})


async def exported(caller: httpx.AsyncClient, session_id: str = "sess-1") -> Document:
    document: Document = (await caller.get(f"/sessions/{session_id}/export")).raise_for_status().json()
    return document


async def test_what_was_exported_and_purged_is_imported_the_same(app: FastAPI) -> None:
    async with client(app) as anna:
        await told(anna)
        document = await exported(anna)
        before = (await anna.get("/sessions/sess-1")).json()
        left = (await anna.get("/sessions/sess-1/history", params={"branch": 0})).json()
        await anna.delete("/sessions/sess-1", params={"purge": True})
        imported = await anna.post("/sessions/import", json=document)
        assert (imported.status_code, imported.json()["message_count"]) == (201, before["session"]["message_count"])
        after = (await anna.get("/sessions/sess-1")).json()
        # A fork shows messages of the session that was purged, so the new one's branches begin behind those.
        shift = after["session"].pop("branch") - before["session"].pop("branch")
        assert after == before
        assert (await anna.get("/sessions/sess-1/history", params={"branch": shift})).json() == left
        again = await exported(anna)
        assert again == document
        repeated = await anna.post("/sessions/sess-1/turns", json={"turn_id": "turn-1", "messages": []})
        assert repeated.json()["code"] == "turn_differs"
        # Going back further undoes what the first life changed.
        (await anna.post("/sessions/sess-1/rewind", json={"to_seq": 0})).raise_for_status()
        assert (await anna.get("/sessions/sess-1/state")).json()["state"] == {}
        assert (await anna.get("/sessions/search", params={"q": "aside"})).json()["hits"][0]["session_id"] == "sess-f"


async def test_a_forks_export_stands_alone(app: FastAPI) -> None:
    async with client(app) as anna:
        await told(anna)
        document = await exported(anna, "sess-f")
        before = (await anna.get("/sessions/sess-f/history")).json()
    async with client(app, ELSEWHERE) as olga:
        (await olga.post("/sessions/import", json=document)).raise_for_status()
        assert (await olga.get("/sessions/sess-f/history")).json() == before
        assert (await olga.get("/sessions/sess-1")).status_code == 404
        assert (await olga.get("/sessions", params={"agent": "tickets"})).json()["sessions"][0]["user_id"] == "anna"
        added = await olga.post("/sessions/sess-f/history", json={"role": "user", "content": "on"})
        assert added.json()["seq"] == len(before["messages"]) + 1
        (await olga.post("/sessions/sess-f/rewind", json={"to_seq": 2})).raise_for_status()
        (await olga.post("/sessions/sess-f/history", json={"role": "user", "content": "anew"})).raise_for_status()
        assert [m["seq"] for m in (await olga.get("/sessions/sess-f/history")).json()["messages"]] == [1, 2, 3]


async def test_a_long_session_is_exported_in_pieces(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transferring, "AT_A_TIME", 3)
    async with client(app) as anna:
        await told(anna)
        document = await exported(anna)
        monkeypatch.setattr(transferring, "AT_A_TIME", 1000)
        assert await exported(anna) == document


async def test_nobody_exports_what_is_out_of_reach_or_imports_what_is_anothers(app: FastAPI) -> None:
    async with client(app) as anna, client(app, BOB) as bob, client(app, OLGA) as olga, client(app, None) as nobody:
        await told(anna)
        document = await exported(anna)
        missing = await bob.get("/sessions/sess-none/export")
        foreign = await bob.get("/sessions/sess-1/export")
        assert (foreign.status_code, foreign.json()["code"]) == (404, "session_not_found")
        assert foreign.json()["detail"] == missing.json()["detail"].replace("sess-none", "sess-1")
        document["session"]["session_id"] = "sess-2"
        refused = await bob.post("/sessions/import", json=document)
        assert (refused.status_code, refused.json()["code"]) == (403, "other_user")
        assert (await nobody.get("/sessions/sess-1/export")).status_code == 401
        assert (await nobody.post("/sessions/import", json=document)).status_code == 401
        assert (await olga.post("/sessions/import", json=document)).status_code == 201
        assert (await anna.get("/sessions/sess-2")).status_code == 200


async def test_an_id_that_is_taken_is_refused_and_nothing_changes(app: FastAPI) -> None:
    async with client(app) as anna:
        await told(anna)
        document = await exported(anna)
        refused = await anna.post("/sessions/import", json=document)
        assert (refused.status_code, refused.json()["code"]) == (409, "session_exists")
        assert await exported(anna) == document


def _gap(document: Document) -> None:
    del document["messages"][0]


def _double(document: Document) -> None:
    document["messages"].append(copy.deepcopy(document["messages"][0]))


def _same_message_id(document: Document) -> None:
    document["messages"][1]["message_id"] = document["messages"][0]["message_id"]


def _count_too_high(document: Document) -> None:
    document["session"]["message_count"] = 10**15


def _nobodys_message(document: Document) -> None:
    document["messages"].append({**document["messages"][0], "branch": 77, "message_id": "msg-x"})


def _foreign_lineage(document: Document) -> None:
    document["lineage"][0]["branch"] = 5


def _branch_ahead(document: Document) -> None:
    document["branches"][0]["branch"] = 9


def _same_turn(document: Document) -> None:
    document["turns"].append(document["turns"][0])


def _bad_role(document: Document) -> None:
    document["messages"][0]["role"] = "boss"


def _bad_agent(document: Document) -> None:
    document["messages"][0]["agent"] = "no such name!"


def _bad_id(document: Document) -> None:
    document["session"]["session_id"] = "../../etc"


def _newer_format(document: Document) -> None:
    document["format_version"] = 2


DAMAGES = [
    _gap, _double, _same_message_id, _count_too_high, _nobodys_message, _foreign_lineage, _branch_ahead, _same_turn,
    _bad_role, _bad_agent, _bad_id, _newer_format,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda each: each.__name__)
async def test_what_is_no_whole_session_is_refused(app: FastAPI, damage: Callable[[Document], None]) -> None:
    async with client(app) as anna:
        await told(anna)
        document = await exported(anna)
        document["session"]["session_id"] = "sess-2"
        damage(document)
        refused = await anna.post("/sessions/import", json=document)
        assert (refused.status_code, refused.json()["code"]) in {(422, "bad_export"), (422, "invalid")}
        assert (await anna.get("/sessions/sess-2")).status_code == 404
