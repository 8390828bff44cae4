"""Why an agent knew something, and whether it helped: over HTTP, with each store and a real Redis."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import httpx
import pytest
from pydantic import SecretStr

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
from tests.servers import closed_url, port_of

PRIVATE, PUBLIC = generate_keypair()
ALICE, BOB = Principal("acme", "alice"), Principal("acme", "bob")
OPERATOR = Principal("acme", "op", scopes=frozenset({TENANT_WIDE}))
TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACED = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-00"}
Client = Callable[[Principal], httpx.AsyncClient]


@pytest.fixture(params=["memory", "pgvector and redis", "redis away"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    store: OpenedStore = InMemoryStore(NAME)
    redis_url = ""
    if request.param == "pgvector and redis":
        url = request.getfixturevalue("memory_database_url")
        store = PgvectorStore(Options(url, NAME, DIMENSIONS, search_timeout_seconds=20))
        redis_url = request.getfixturevalue("redis_url")
    elif request.param == "redis away":
        redis_url = f"redis://127.0.0.1:{port_of(closed_url())}/0"
    settings = Settings(redis_url=SecretStr(redis_url), common=CommonSettings(identity_public_keys=PUBLIC))
    app = create_app(settings, Adapters(store, FixedClock()))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        yield lambda principal: service_client(app, principal, "memory", PRIVATE)


async def test_a_turn_can_be_asked_what_it_was_given_and_told_whether_it_helped(client: Client) -> None:
    async with client(ALICE) as alice, client(BOB) as bob, client(OPERATOR) as operator:
        memory_id = (await alice.post("/memory", json={"text": "likes tea"})).json()["memory_id"]
        found = await alice.get("/memory/search", params={"q": "tea"}, headers=TRACED)
        assert found.json()["trace_id"] == TRACE
        (use,) = (await alice.get("/memory/usage", params={"trace_id": TRACE})).json()["uses"]
        assert (use["query"], use["user_id"], [each["memory_id"] for each in use["results"]]) == (
            "tea", "alice", [memory_id],
        )  # fmt: skip
        assert (await bob.get("/memory/usage", params={"trace_id": TRACE})).json()["uses"] == []
        assert (await bob.get("/memory/usage", params={"memory_id": memory_id})).json()["uses"] == []
        assert len((await operator.get("/memory/usage", params={"memory_id": memory_id})).json()["uses"]) == 1
        report = {"trace_id": TRACE, "helped": False, "note": "she drinks coffee"}
        assert (await bob.post("/memory/usage", json=report)).json() == {"reported": 0}
        assert (await alice.post("/memory/usage", json=report)).json() == {"reported": 1}
        (harmful,) = (await alice.get("/memory/harmful")).json()["memories"]
        assert (harmful["memory"]["memory_id"], harmful["harmed"], harmful["helped"]) == (memory_id, 1, 0)
        assert (await bob.get("/memory/harmful")).json()["memories"] == []
        assert (await alice.get("/memory/unused", params={"days": 1})).json()["memories"] == []


async def test_erasing_a_person_leaves_no_use(client: Client) -> None:
    async with client(ALICE) as alice, client(OPERATOR) as operator:
        await alice.post("/memory", json={"text": "likes tea"})
        await alice.get("/memory/search", params={"q": "tea"}, headers=TRACED)
        assert len((await alice.get("/memory/usage", params={"trace_id": TRACE})).json()["uses"]) == 1
        await alice.get("/memory/search", params={"q": "more tea"}, headers=TRACED)
        assert (await operator.delete("/memory", params={"user_id": "alice"})).status_code == 200
        assert (await operator.get("/memory/usage", params={"trace_id": TRACE})).json()["uses"] == []


@pytest.mark.parametrize("params", [{}, {"trace_id": TRACE, "memory_id": "mem-1"}, {"trace_id": "x"}], ids=str)
async def test_usage_is_asked_for_by_one_thing(client: Client, params: dict[str, str]) -> None:
    async with client(ALICE) as alice:
        assert (await alice.get("/memory/usage", params=params)).status_code == 422
