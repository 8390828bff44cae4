"""What the memory's store does to a database when it first meets it."""

import asyncio
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from deploy.local.postgres import EmbeddedPostgres
from kit.identity import Owner, Reach
from services.memory.embedder_hashed import DIMENSIONS, NAME, vector_of
from services.memory.pgvector import Options, PgvectorMissing, TextLanguageMissing
from services.memory.store import Draft, StoreAway, Wording
from services.memory.store_pgvector import PgvectorStore
from services.memory.wording import digest
from tests.fakes import FixedClock

NOW = FixedClock().now()
DATABASE = "memory_without_pgvector"


@pytest.fixture
def bare_url(postgres_server: EmbeddedPostgres) -> Iterator[Callable[[str], str]]:
    """A database without the extension; gives its URL for the user `plain` or for the owner."""
    postgres_server.execute(f"CREATE DATABASE {DATABASE}", "CREATE ROLE plain LOGIN PASSWORD 'plain'")
    postgres_server.execute(f"GRANT CREATE ON DATABASE {DATABASE} TO plain")
    owners = postgres_server.url_of(DATABASE)
    plains = f"postgresql://plain:plain@{urlsplit(owners).netloc.split('@')[1]}/{DATABASE}"
    yield lambda user: plains if user == "plain" else owners
    postgres_server.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)", "DROP ROLE plain")


async def test_who_may_not_create_pgvector_is_told_what_to_do(bare_url: Callable[[str], str]) -> None:
    store = PgvectorStore(Options(bare_url("plain"), NAME, DIMENSIONS))
    await store.prepare()
    with pytest.raises(PgvectorMissing, match="run CREATE EXTENSION vector"):
        await store.ping()
    superuser = await asyncpg.connect(bare_url("owner"))
    await superuser.execute("CREATE EXTENSION vector")
    await superuser.close()
    await store.prepare()
    assert await store.ping() == ""
    await store.close()


async def test_a_language_that_the_database_does_not_know_is_told_with_those_it_knows(database_url: str) -> None:
    store = PgvectorStore(Options(database_url, NAME, DIMENSIONS, language="klingon"))
    await store.prepare()
    with pytest.raises(TextLanguageMissing, match=r"no language 'klingon', but .*english, .*german"):
        await store.ping()
    await store.close()


async def test_replicas_that_start_together_prepare_it_once(database_url: str) -> None:
    stores = [PgvectorStore(Options(database_url, NAME, DIMENSIONS)) for _ in range(4)]
    await asyncio.gather(*(store.prepare() for store in stores))
    for store in stores:
        assert await store.ping() == ""
        await store.close()


async def test_another_models_vectors_stand_beside_the_first_ones(database_url: str) -> None:
    """With other dimensions too; a search compares only vectors of its own model."""
    wording = Wording("likes tea", digest("likes tea"), ("likes", "tea"), vector_of("likes tea"))
    small = Wording("likes cake", digest("likes cake"), ("likes", "cake"), [1.0, 0.0, 0.0])
    for name, dimensions, each in ((NAME, DIMENSIONS, wording), ("small-3", 3, small)):
        store = PgvectorStore(Options(database_url, name, dimensions))
        await store.prepare()
        await store.add([Draft(f"mem-{dimensions}", Owner("acme", "alice"), each, NOW)])
        memory = await store.get(Reach("acme", "alice"), f"mem-{dimensions}", NOW)
        assert memory is not None
        assert memory.embedding_model == name
        await store.close()
    connection = await asyncpg.connect(database_url)
    indexes = await connection.fetch("SELECT indexname FROM pg_indexes WHERE indexdef LIKE '%hnsw%' ORDER BY 1")
    assert [row["indexname"] for row in indexes] == [f"embedding_{NAME}", "embedding_small-3"]
    await connection.close()


async def test_an_owner_of_nothing_leaves_no_trace(database_url: str) -> None:
    store = PgvectorStore(Options(database_url, NAME, DIMENSIONS))
    await store.prepare()
    wording = Wording("likes tea", digest("likes tea"), ("likes", "tea"), vector_of("likes tea"))
    await store.add([Draft("mem-1", Owner("acme", "alice"), wording, NOW)])
    await store.note_used({"mem-1": 1}, NOW)
    await store.erase(Owner("acme", "alice"))
    connection = await asyncpg.connect(database_url)
    for table in ("item", "embedding", "version", "usage", "owner"):
        assert await connection.fetchval(f"SELECT count(*) FROM memory.{table}") == 0, table
    await connection.close()
    await store.close()


async def test_a_database_nobody_listens_at_is_away_and_says_so() -> None:
    store = PgvectorStore(Options("postgresql://nobody@127.0.0.1:1/none", NAME, DIMENSIONS))
    await store.prepare()
    with pytest.raises(StoreAway):
        await store.ping()
    await store.close()
