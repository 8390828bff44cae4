"""The memory's composition root: the one place that chooses its store and its embedder."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import httpx
from fastapi import FastAPI

from kit.clock import Clock, SystemClock
from kit.health import Check
from kit.http_client import outside_http
from kit.logs import get_logger
from kit.outside_api import OutsideApi
from kit.settings import SettingsError
from kit.tasks import background, every
from kit.web import build_app
from services.memory import api
from services.memory.embedder import Embedder
from services.memory.embedder_hashed import HashedEmbedder
from services.memory.embedder_remote import Provider, Remote, RemoteEmbedder
from services.memory.embedding_cache import CachedEmbedder
from services.memory.provider_openai import OpenAiProvider
from services.memory.service import MemoryService
from services.memory.settings import Settings
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
    opened = AsyncExitStack()
    embedder = adapters.embedder if adapters and adapters.embedder else _embedder(settings, opened)
    store: OpenedStore = adapters.store if adapters else PgvectorStore(_options(settings, embedder))
    clock = adapters.clock if adapters else SystemClock()

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        usage = UsageCounts(store, clock)
        app.state.memory = MemoryService(store, embedder, usage, clock)
        log.info("embedder_chosen", embedder=embedder.name, strength=embedder.strength)
        async with opened as stack:
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


def _embedder(settings: Settings, stack: AsyncExitStack) -> Embedder:
    kind, _, model = settings.embedder.partition(":")
    if kind == "hashed":
        return HashedEmbedder()
    if kind == "sentence":
        return CachedEmbedder(_sentence())
    if settings.embedder_dimensions is None:
        raise SettingsError(f"MEMORY_EMBEDDER={settings.embedder} needs MEMORY_EMBEDDER_DIMENSIONS")
    provider = _openai(settings, model, stack) if kind == "openai" else _vertex(settings, model, stack)
    remote = Remote(kind, model, settings.embedder_dimensions, settings.embedder_max_tokens)
    return CachedEmbedder(RemoteEmbedder(provider, remote))


def _sentence() -> Embedder:
    try:
        from services.memory.embedder_sentence import SentenceEmbedder  # an extra: numpy and tokenizers
    except ModuleNotFoundError as error:
        raise SettingsError(f"MEMORY_EMBEDDER=sentence needs {error.name}: `make sentence` installs it") from error
    return SentenceEmbedder()


def _openai(settings: Settings, model: str, stack: AsyncExitStack) -> Provider:
    client, seconds = _client(settings, stack), settings.embedder_timeout_seconds
    url = settings.openai_base_url.rstrip("/")
    api = OutsideApi(client, "the embeddings endpoint", url, settings.openai_api_key, seconds)
    return OpenAiProvider(api, model, shorten_to=_shorter(settings))


def _vertex(settings: Settings, model: str, stack: AsyncExitStack) -> Provider:
    if not settings.vertex_project:
        raise SettingsError(f"MEMORY_EMBEDDER={settings.embedder} needs MEMORY_VERTEX_PROJECT")
    try:
        from services.memory.provider_vertex import VertexProvider  # an extra: google-genai
    except ModuleNotFoundError as error:
        raise SettingsError(f"MEMORY_EMBEDDER={settings.embedder} needs {error.name} (the extra `vertex`)") from error
    return VertexProvider(
        _client(settings, stack),
        model,
        project=settings.vertex_project,
        location=settings.vertex_location,
        timeout_seconds=settings.embedder_timeout_seconds,
        shorten_to=_shorter(settings),
        base_url=settings.vertex_base_url,
    )


def _client(settings: Settings, stack: AsyncExitStack) -> httpx.AsyncClient:
    seconds = settings.embedder_timeout_seconds
    client = outside_http(timeout_seconds=seconds, connect_seconds=min(2.0, seconds))
    stack.push_async_callback(client.aclose)
    return client


def _shorter(settings: Settings) -> int | None:
    return settings.embedder_dimensions if settings.embedder_shortens else None


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
