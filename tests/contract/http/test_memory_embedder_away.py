"""The memory's routes while its embedder is away: only embedding itself is refused, and every answer says so."""

from collections.abc import AsyncIterator, Sequence

import httpx
import pytest

from bureau_contracts.health import Health
from bureau_contracts.memory import EmbedPurpose
from kit.identity import Principal, generate_keypair
from kit.settings import CommonSettings
from services.memory.app import Adapters, create_app
from services.memory.embedder import EmbedderAway
from services.memory.embedder_hashed import NAME, HashedEmbedder
from services.memory.settings import Settings
from services.memory.store_memory import InMemoryStore
from tests.fakes import FixedClock
from tests.http import service_client
from tests.waiting import eventually

PRIVATE, PUBLIC = generate_keypair()


class Unsteady(HashedEmbedder):
    away = True

    async def embed(self, texts: Sequence[str], purpose: EmbedPurpose = EmbedPurpose.DOCUMENT) -> list[list[float]]:
        if self.away:
            raise EmbedderAway("the embeddings endpoint cannot be reached")
        return await super().embed(texts, purpose)


@pytest.fixture
def embedder() -> Unsteady:
    return Unsteady()


@pytest.fixture
async def alice(embedder: Unsteady) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(common=CommonSettings(identity_public_keys=PUBLIC), upkeep_seconds=0.02)
    app = create_app(settings, Adapters(InMemoryStore(NAME), FixedClock(), embedder))
    client = service_client(app, Principal("acme", "alice"), "memory", PRIVATE)
    async with app.router.lifespan_context(app), client:
        yield client


async def health(client: httpx.AsyncClient) -> Health:
    return Health.model_validate((await client.get("/health")).json())


async def test_what_is_stored_meanwhile_is_found_by_its_words_and_later_by_its_vector(
    alice: httpx.AsyncClient, embedder: Unsteady
) -> None:
    stored = await alice.post("/memory", json={"text": "likes green tea"})
    assert stored.status_code == 201, stored.text
    for mode in ("hybrid", "vector"):
        answer = (await alice.get("/memory/search", params={"q": "tea", "mode": mode})).json()
        assert (answer["degraded"], answer["degraded_reason"]) == (True, "embedder_away")
        assert [(hit["memory"]["text"], hit["matched"]) for hit in answer["results"]] == [("likes green tea", ["text"])]
    by_words = (await alice.get("/memory/search", params={"q": "tea", "mode": "text"})).json()
    assert (by_words["degraded"], by_words["degraded_reason"]) == (False, None)

    async def noticed() -> bool:
        return (await health(alice)).dependencies["vectors"].status == "degraded"

    await eventually(noticed)
    embedder.away = False

    async def embedded() -> bool:
        return bool((await alice.get(f"/memory/{stored.json()['memory_id']}")).json()["embedding_model"])

    await eventually(embedded)
    answer = (await alice.get("/memory/search", params={"q": "tea"})).json()
    assert (answer["degraded"], answer["results"][0]["matched"]) == (False, ["vector", "text"])

    async def well_again() -> bool:
        return (await health(alice)).status == "ok"

    await eventually(well_again)


async def test_a_change_of_text_is_kept_and_embedding_itself_is_refused(alice: httpx.AsyncClient) -> None:
    memory_id = (await alice.post("/memory", json={"text": "likes tea"})).json()["memory_id"]
    changed = await alice.patch(f"/memory/{memory_id}", json={"text": "likes coffee"})
    assert (changed.status_code, changed.json()["embedding_model"]) == (200, "")
    refused = await alice.post("/memory/embed", json={"texts": ["tea"]})
    assert (refused.status_code, refused.json()["code"]) == (503, "embedder_away")
    assert refused.headers["retry-after"]
