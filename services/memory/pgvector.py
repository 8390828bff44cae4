"""The database of memories as the rooms of `store_pgvector.py` share it: how it is opened, prepared and asked."""

import re
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import asyncpg

from kit.identity import Reach
from kit.postgres import migrate, open_pool
from services.memory.database import Connection, Database, Pool
from services.memory.statements import Model
from services.memory.statements_search import VECTOR_INDEX
from services.memory.store import StoreAway

MIGRATIONS = Path(__file__).parent / "migrations"
_MODEL_NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,49}$")
_NO_PGVECTOR = (asyncpg.FeatureNotSupportedError, asyncpg.UndefinedFileError, asyncpg.InsufficientPrivilegeError)


class PgvectorMissing(StoreAway):
    code = "pgvector_missing"


class TextLanguageMissing(StoreAway):
    code = "text_language_missing"


@dataclass(frozen=True, slots=True)
class Options:
    url: str
    model: str
    """The embedder whose vectors are searched."""
    dimensions: int
    pool_size: int = 10
    statement_cache_size: int = 40
    search_timeout_seconds: float = 1.0
    request_timeout_seconds: float = 10.0
    previous: Model | None = None
    """The embedder that was used before: its vectors are searched too, as long as queries bring one of its."""
    exact_rows: int = 4000
    """Up to so many memories within reach a search compares all, of a large table more; beyond, it scans the HNSW
    index. With 0 it always scans first."""
    ef_search: int = 100
    language: str = "simple"
    """A text search configuration of the database, in which words have base forms; in ``simple`` they have none."""


class OnPgvector:
    """What every room has: options, a model, connections."""

    def __init__(self, options: Options) -> None:
        """Opens nothing: `prepare` does, now and again until the database was there."""
        self._model = Model(options.model, options.dimensions)
        for model in filter(None, (self._model, options.previous)):
            if not is_model_name(model.name) or not 1 <= model.dimensions <= 4000:
                raise ValueError(f"not a model that can be indexed: {model.name} ({model.dimensions} dimensions)")
        self._options = options
        self._database = Database(partial(_open, options), partial(_prepare, options))

    @property
    def database(self) -> Database:
        """For what stands beside the memories: readings, usage, documents."""
        return self._database

    async def prepare(self) -> None:
        await self._database.prepare()

    async def close(self) -> None:
        await self._database.close()

    async def ping(self) -> str:
        async with self._database.connection(self._options.search_timeout_seconds) as connection:
            await connection.execute("SELECT 1")
        return ""

    def _connection(self) -> AbstractAsyncContextManager[Connection]:
        return self._database.connection(self._options.request_timeout_seconds)


def is_model_name(name: str) -> bool:
    """Whether it may stand in the text of statements."""
    return _MODEL_NAME.match(name) is not None


def one_user(reach: Reach) -> bool:
    """Which of two statements is meant: with a condition on the user, or without."""
    return reach.user is not None


_LANGUAGES = "SELECT cfgname FROM pg_ts_config WHERE pg_ts_config_is_visible(oid) ORDER BY cfgname"

_READING = """
INSERT INTO memory.reading (language) VALUES ($1) ON CONFLICT (only_one) DO UPDATE SET language = excluded.language
"""


async def _open(options: Options) -> Pool:
    return await open_pool(
        options.url,
        max_size=options.pool_size,
        command_timeout_seconds=options.request_timeout_seconds,
        statement_cache_size=options.statement_cache_size,
        reset_on_release=False,
    )


async def _prepare(options: Options, pool: Pool) -> None:
    """Migrations, and the index of the embedder's vectors: cheap when the model is new, as it has no vectors yet."""
    try:
        await migrate(pool, "memory", MIGRATIONS)
    except _NO_PGVECTOR as error:
        raise PgvectorMissing(
            f"the memory's database could not be prepared ({error}): install pgvector 0.8 or newer, run "
            "CREATE EXTENSION vector in it as a superuser, and let this user create a schema"
        ) from error
    async with pool.acquire() as connection, connection.transaction():
        version = await connection.fetchval("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
        if tuple(map(int, version.split(".")[:2])) < (0, 8):
            raise PgvectorMissing(
                f"pgvector {version} is too old: 0.8 or newer is needed (ALTER EXTENSION vector UPDATE)"
            )
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('bureau:memory:index'))", timeout=60)
        index = VECTOR_INDEX.format(model=options.model, dimensions=options.dimensions)
        await connection.execute(index, timeout=600)
        languages = [row["cfgname"] for row in await connection.fetch(_LANGUAGES)]
        if options.language not in languages:
            raise TextLanguageMissing(
                f"the memory's database knows no language {options.language!r}, but {', '.join(languages)}"
            )
        await connection.execute(_READING, options.language)
