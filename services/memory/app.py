"""The memory's composition root: the one place that chooses its store and its embedder."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from fastapi import FastAPI

from kit.clock import Clock, SystemClock
from kit.health import Check
from kit.logs import get_logger
from kit.settings import SettingsError
from kit.tasks import background, every
from kit.web import build_app
from services.memory import api
from services.memory.embedder import Embedder
from services.memory.embedder_hashed import HashedEmbedder
from services.memory.service import MemoryService
from services.memory.settings import EmbedderName, Settings
from services.memory.store import MemoryStore
from services.memory.store_pgvector import Options, PgvectorStore
from services.memory.usage import UsageCounts

log = get_logger(__name__)

PREPARE_SECONDS = 1.0
"""How often a database that was away at start is tried again."""


class OpenedStore(MemoryStore, Protocol):
    """A store with a beginning and an end."""

    async def prepare(self) -> None:
        """Does what is to be done once the store is reached; harmless before and after."""

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Adapters:
    """What tests put in place of Postgres, the system's clock and, when given, the embedder."""

    store: OpenedStore
    clock: Clock
    embedder: Embedder | None = None


def create_app(settings: Settings, adapters: Adapters | None = None) -> FastAPI:
    embedder = adapters.embedder if adapters and adapters.embedder else _embedder(settings)
    store: OpenedStore = adapters.store if adapters else PgvectorStore(_options(settings, embedder))
    clock = adapters.clock if adapters else SystemClock()

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        usage = UsageCounts(store, clock)
        app.state.memory = MemoryService(store, embedder, usage, clock)
        log.info("embedder_chosen", embedder=embedder.name, strength=embedder.strength)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(store.close)
            await store.prepare()
            stack.push_async_callback(usage.flush)
            work = background(
                every(PREPARE_SECONDS, store.prepare, name="prepare_store"),
                every(settings.usage_flush_seconds, usage.flush, name="flush_usage"),
            )
            await stack.enter_async_context(work)
            yield

    return build_app(
        service="memory",
        settings=settings,
        routers=[api.routes],
        lifespan=life,
        # Not required: searches are answered, as degraded, while Postgres is away.
        checks={"postgres": Check(store.ping, required=False)},
        capabilities={"embedder": f"{embedder.name}: {embedder.strength}"},
    )


def _embedder(settings: Settings) -> Embedder:
    if settings.embedder is EmbedderName.HASHED:
        return HashedEmbedder()
    try:
        from services.memory.embedder_sentence import SentenceEmbedder  # an extra: numpy and tokenizers
    except ModuleNotFoundError as error:
        raise SettingsError(f"MEMORY_EMBEDDER=sentence needs {error.name}: `make sentence` installs it") from error
    return SentenceEmbedder()


def _options(settings: Settings, embedder: Embedder) -> Options:
    return Options(
        url=settings.database_url.get_secret_value(),
        model=embedder.name,
        dimensions=embedder.dimensions,
        pool_size=settings.pool_size,
        statement_cache_size=settings.statement_cache_size,
        search_timeout_seconds=settings.search_timeout_seconds,
        request_timeout_seconds=settings.request_timeout_seconds,
        exact_rows=settings.exact_rows,
        ef_search=settings.ef_search,
    )
