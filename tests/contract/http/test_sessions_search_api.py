"""The search's route over every store: right, wrong, stranger."""

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI

from kit.identity import TENANT_WIDE, Principal, generate_keypair
from kit.settings import CommonSettings
from services.sessions.app import create_app
from services.sessions.settings import Settings
from tests.http import service_client
from tests.session_stores import UNCACHED, make_store

PRIVATE_KEY, PUBLIC_KEY = generate_keypair()
ANNA = Principal("acme", "anna")
BOB = Principal("acme", "bob")
OLGA = Principal("acme", "olga", scopes=frozenset({TENANT_WIDE}))


@pytest.fixture(params=UNCACHED)
async def app(request: pytest.FixtureRequest) -> AsyncIterator[FastAPI]:
    settings = Settings(common=CommonSettings(identity_public_keys=PUBLIC_KEY))
    app = create_app(settings, store=make_store(request.param, request))
    async with app.router.lifespan_context(app):
        async with service_client(app, ANNA, "sessions", PRIVATE_KEY) as anna:
            await anna.post("/sessions", json={"session_id": "sess-1"})
            for text in ("show my tickets", "Two tickets are open: 17 and 18"):
                await anna.post("/sessions/sess-1/history", json={"role": "user", "content": text})
        yield app


async def test_one_finds_ones_own(app: FastAPI) -> None:
    async with service_client(app, ANNA, "sessions", PRIVATE_KEY) as anna:
        page = (await anna.get("/sessions/search", params={"q": '"two tickets"'})).raise_for_status().json()
    (hit,) = page["hits"]
    assert (hit["session_id"], hit["seq"], hit["role"]) == ("sess-1", 2, "user")
    assert "".join(part["text"] for part in hit["snippet"]) == "Two tickets are open: 17 and 18"
    assert [part["text"] for part in hit["snippet"] if part["match"]] == ["Two tickets"]
    assert (page["next_cursor"], page["indexing"]) == (None, False)


async def test_another_user_finds_nothing_and_may_not_ask_for_anothers(app: FastAPI) -> None:
    async with service_client(app, BOB, "sessions", PRIVATE_KEY) as bob:
        assert (await bob.get("/sessions/search", params={"q": "tickets"})).json()["hits"] == []
        refused = await bob.get("/sessions/search", params={"q": "tickets", "user_id": "anna"})
    assert (refused.status_code, refused.json()["code"]) == (403, "other_user")
    async with service_client(app, OLGA, "sessions", PRIVATE_KEY) as olga:
        assert len((await olga.get("/sessions/search", params={"q": "tickets", "user_id": "anna"})).json()["hits"]) == 2
    async with service_client(app, None, "sessions", PRIVATE_KEY) as nobody:
        assert (await nobody.get("/sessions/search", params={"q": "tickets"})).status_code == 401


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({}, "invalid"),
        ({"q": ""}, "query_without_words"),
        ({"q": '"*"'}, "query_without_words"),
        ({"q": "a-b " + " ".join(f"w{number}" for number in range(40))}, "query_too_long"),
        ({"q": "x" * 501}, "invalid"),
        ({"q": "a", "limit": "0"}, "invalid"),
        ({"q": "a", "role": "boss"}, "invalid"),
        ({"q": "a", "session_id": "nope"}, "invalid"),
        ({"q": "a", "cursor": "????"}, "invalid_cursor"),
        ({"q": "a", "cursor": "WzFlMzAwXQ"}, "invalid_cursor"),
        ({"q": "a", "cursor": "Wy0xXQ"}, "invalid_cursor"),
        ({"q": "a", "cursor": "WzkyMjMzNzIwMzY4NTQ3NzU4MDcwXQ"}, "invalid_cursor"),
        ({"q": "a\x00b"}, None),
    ],
)
async def test_what_makes_no_search_is_refused(app: FastAPI, params: dict[str, str], code: str | None) -> None:
    async with service_client(app, ANNA, "sessions", PRIVATE_KEY) as anna:
        answer = await anna.get("/sessions/search", params=params)
    assert (answer.status_code, answer.json().get("code")) == ((422, code) if code else (200, None))
