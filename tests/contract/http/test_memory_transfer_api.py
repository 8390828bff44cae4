"""Export and import of memories: loss-free, safe to repeat, and within one's own."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from kit.identity import TENANT_WIDE, Principal, generate_keypair
from kit.settings import CommonSettings
from services.memory.app import Adapters, OpenedStore, create_app
from services.memory.embedder_hashed import DIMENSIONS, NAME
from services.memory.pgvector import Options
from services.memory.settings import Settings
from services.memory.store_memory import InMemoryStore
from services.memory.store_pgvector import PgvectorStore
from tests.fakes import FixedClock
from tests.http import service_client

PRIVATE, PUBLIC = generate_keypair()
ALICE, BOB = Principal("acme", "alice"), Principal("acme", "bob")
OPERATOR = Principal("acme", "op", scopes=frozenset({TENANT_WIDE}))
Client = Callable[[Principal], httpx.AsyncClient]


@pytest.fixture(params=["memory", "pgvector"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    store: OpenedStore = InMemoryStore(NAME)
    if request.param == "pgvector":
        url = request.getfixturevalue("memory_database_url")
        store = PgvectorStore(Options(url, NAME, DIMENSIONS, search_timeout_seconds=20))
    app: FastAPI = create_app(
        Settings(common=CommonSettings(identity_public_keys=PUBLIC)), Adapters(store, FixedClock())
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        yield lambda principal: service_client(app, principal, "memory", PRIVATE)


async def keep(alice: httpx.AsyncClient, text: str, **fields: Any) -> str:
    stored = await alice.post("/memory", json={"text": text, **fields})
    assert stored.status_code == 201, stored.text
    return str(stored.json()["memory_id"])


async def exported(client: httpx.AsyncClient, limit: int = 2, **params: str) -> list[dict[str, Any]]:
    found, after = list[dict[str, Any]](), "mem-0"
    while True:
        page = (await client.get("/memory/export", params={"limit": limit, "after": after, **params})).json()
        found += page["memories"]
        after = page["next_after"]
        if after is None:
            return found


async def fill(alice: httpx.AsyncClient) -> list[str]:
    """What is known of Alice: told, changed, superseded, in doubt; and one that she deleted."""
    tea = await keep(alice, "likes tea", metadata={"ü": [1, None]}, importance=0.9, kind="preference", agent="tickets")
    await alice.patch(f"/memory/{tea}", json={"text": "likes green tea", "importance": 0.1})
    rome = await keep(alice, "lives in Rome", session_id="sess-1", source_seqs=[1, 2])
    await alice.post(f"/memory/{rome}/supersede", json={"text": "lives in Paris"})
    await keep(alice, "a tool said so", origin="tool", expires_at="2090-01-01T00:00:00Z")
    gone = await keep(alice, "likes secrets")
    await alice.delete(f"/memory/{gone}")
    return [tea, rome]


async def test_what_was_exported_comes_back_as_it_was(client: Client) -> None:
    async with client(ALICE) as alice, client(OPERATOR) as operator:
        tea, rome = await fill(alice)
        before = await exported(alice)
        assert len(before) == 4
        assert "secrets" not in str(before)
        assert (await operator.delete("/memory", params={"user_id": "alice"})).json()["erased"] == 5
        assert await exported(alice) == []
        answer = await operator.post("/memory/import", json={"memories": before})
        assert answer.status_code == 200, answer.text
        assert [each["created"] for each in answer.json()["memories"]] == [True] * 4
        assert await exported(alice) == before
        found = (await alice.get("/memory/search", params={"q": "green tea"})).json()["results"]
        assert found[0]["memory"]["memory_id"] == tea
        assert found[0]["matched"] == ["vector", "text"]
        assert (await alice.get(f"/memory/{tea}/history")).json()["versions"][0]["text"] == "likes tea"
        assert (await alice.get("/memory/search", params={"q": "lives"})).json()["results"][0]["memory"]["text"] == (
            "lives in Paris"
        )
        assert (await alice.get(f"/memory/{rome}")).json()["superseded_by"]


async def test_importing_again_changes_nothing(client: Client) -> None:
    async with client(ALICE) as alice:
        await fill(alice)
        before = await exported(alice)
        answer = await alice.post("/memory/import", json={"memories": before})
        assert [each["created"] for each in answer.json()["memories"]] == [False] * 4
        assert await exported(alice) == before


async def test_what_was_deleted_since_is_stored_again(client: Client) -> None:
    async with client(ALICE) as alice:
        memory_id = await keep(alice, "likes tea")
        before = await exported(alice)
        await alice.delete(f"/memory/{memory_id}")
        answer = await alice.post("/memory/import", json={"memories": before})
        assert answer.json()["memories"] == [{"memory_id": memory_id, "created": True}]
        assert await exported(alice) == before


async def test_nobody_imports_for_another_or_takes_anothers_memory(client: Client) -> None:
    async with client(ALICE) as alice, client(BOB) as bob, client(Principal("globex", "alice")) as stranger:
        await keep(alice, "likes tea")
        before = await exported(alice)
        refused = await bob.post("/memory/import", json={"memories": before})
        assert (refused.status_code, refused.json()["code"]) == (403, "other_user")
        elsewhere = await stranger.post("/memory/import", json={"memories": before})
        assert [each["created"] for each in elsewhere.json()["memories"]] == [False], "the ID is taken"
        assert await exported(bob) == await exported(stranger) == []
        assert await exported(alice) == before


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"text": "   "}, "memories.0.text"),
        ({"text": "a\x00b"}, ""),
        ({"importance": 7}, "memories.0.importance"),
        ({"memory_id": "x" * 100}, "memories.0"),
        ({"agent": "No Agent"}, "memories.0.agent"),
        ({"created_at": "9999-12-31T23:59:59.999999Z"}, "memories.0.created_at"),
        ({"valid_to": "0001-01-01T00:00:00Z"}, "memories.0.valid_to"),
        ({"updated_at": "9999-12-31T23:59:59-12:00"}, "memories.0.updated_at"),
    ],
    ids=["empty", "nul", "importance", "id", "agent", "endless", "beginningless", "beyond the calendar"],
)
async def test_what_could_not_be_stored_cannot_be_imported(client: Client, change: dict[str, Any], place: str) -> None:
    async with client(ALICE) as alice:
        await keep(alice, "likes tea")
        (record,) = await exported(alice)
        await alice.delete("/memory", params={"user_id": "alice"})
        record["memory"] |= change
        refused = await alice.post("/memory/import", json={"memories": [record]})
        assert refused.status_code in (400, 422), refused.text
        assert place in refused.json()["detail"]
        assert await exported(alice) == []
