"""What a user may use up of the sessions service, over HTTP: numbers, and when to come back."""

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI

from kit.identity import TENANT_WIDE, Principal, generate_keypair
from kit.settings import CommonSettings
from services.sessions.app import create_app
from services.sessions.settings import Settings
from services.sessions.store_memory import MemorySessionStore
from tests.http import service_client

PRIVATE_KEY, PUBLIC_KEY = generate_keypair()
ANNA, BOB = Principal("acme", "anna"), Principal("acme", "bob")
OPERATOR = Principal("acme", "olga", scopes=frozenset({TENANT_WIDE}))


@pytest.fixture(params=["alone", "with redis"])
async def app(request: pytest.FixtureRequest) -> AsyncIterator[FastAPI]:
    redis_url = "" if request.param == "alone" else request.getfixturevalue("redis_url")
    settings = Settings(
        common=CommonSettings(identity_public_keys=PUBLIC_KEY),
        max_messages_per_minute=3,
        redis_url=redis_url,
        redis_timeout_seconds=5,
    )
    app = create_app(settings, store=MemorySessionStore())
    async with app.router.lifespan_context(app):
        yield app


async def test_messages_beyond_the_limit_are_refused_with_the_numbers_and_a_time(app: FastAPI) -> None:
    async with service_client(app, ANNA, "sessions", PRIVATE_KEY) as anna:
        session = f"/sessions/{(await anna.post('/sessions', json={})).json()['session_id']}"
        message = {"role": "user", "content": "hello"}
        assert (await anna.post(f"{session}/turns", json={"turn_id": "turn-1", "messages": [message] * 2})).is_success
        refused = await anna.post(f"{session}/turns", json={"turn_id": "turn-2", "messages": [message] * 2})
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_messages")
        assert refused.json()["detail"].startswith("3 messages per minute: 2 were stored in the last minute")
        assert 50 <= int(refused.headers["retry-after"]) <= 61
        assert (await anna.post(f"{session}/history", json=message)).is_success
        assert (await anna.post(f"{session}/history", json=message)).status_code == 429
        assert (await anna.get(session)).json()["session"]["message_count"] == 3
    async with service_client(app, BOB, "sessions", PRIVATE_KEY) as bob:
        session = f"/sessions/{(await bob.post('/sessions', json={})).json()['session_id']}"
        assert (await bob.post(f"{session}/history", json=message)).is_success


async def test_health_tells_of_the_cache(app: FastAPI) -> None:
    async with service_client(app, None, "sessions", PRIVATE_KEY) as client:
        health = (await client.get("/health")).json()
    assert {each["status"] for each in health["dependencies"].values()} == {"ok"}


async def test_an_import_counts_as_the_messages_that_are_in_it(app: FastAPI) -> None:
    async with service_client(app, ANNA, "sessions", PRIVATE_KEY) as anna:
        session = f"/sessions/{(await anna.post('/sessions', json={})).json()['session_id']}"
        for _ in range(2):
            assert (await anna.post(f"{session}/history", json={"role": "user", "content": "hello"})).is_success
        document = (await anna.get(f"{session}/export")).json()
        await anna.delete(session, params={"purge": True})
        refused = await anna.post("/sessions/import", json=document)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_messages")
        assert (await anna.get(session)).status_code == 404
    async with service_client(app, OPERATOR, "sessions", PRIVATE_KEY) as operator:
        assert (await operator.post("/sessions/import", json=document)).is_success
