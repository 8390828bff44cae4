"""The memory's composition root: the one place that chooses its store and its embedder."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import httpx
from fastapi import FastAPI

from bureau.http import Caller
from bureau.sessions import SessionsClient
from bureau_contracts.memory import Origin
from kit.clock import Clock, SystemClock
from kit.health import Check
from kit.http_client import outside_http, service_http
from kit.identity import PrincipalSigner
from kit.logs import get_logger
from kit.outside_api import OutsideApi
from kit.settings import SettingsError
from kit.tasks import background, every
from kit.web import build_app
from services.memory import api, api_documents, api_extraction, api_transfer, api_usage
from services.memory.conversations import Conversations
from services.memory.document_store import DocumentStore
from services.memory.document_store_memory import InMemoryDocumentStore
from services.memory.document_store_postgres import PostgresDocumentStore
from services.memory.documents import Documents
from services.memory.embedder import Embedder
from services.memory.embedder_hashed import HashedEmbedder
from services.memory.embedder_remote import Provider, Remote, RemoteEmbedder
from services.memory.embedding_cache import CachedEmbedder
from services.memory.extraction import Extractions, Readers
from services.memory.extraction_log import ExtractionLog
from services.memory.extraction_log_memory import InMemoryExtractionLog
from services.memory.extraction_log_postgres import PostgresExtractionLog
from services.memory.extractor_openai import OpenAiExtractor
from services.memory.extractor_rules import RulesExtractor
from services.memory.pgvector import Options
from services.memory.provider_openai import OpenAiProvider
from services.memory.service import MemoryService, Rules
from services.memory.settings import Settings
from services.memory.statements import Model
from services.memory.store import MemoryStore, Upkeep
from services.memory.store_memory import InMemoryStore
from services.memory.store_pgvector import PgvectorStore
from services.memory.transfer import Transfer
from services.memory.upkeep import VectorUpkeep, WordUpkeep
from services.memory.usage import UsageCounts
from services.memory.use_buffer_memory import InMemoryUseBuffer
from services.memory.use_log import UseLog
from services.memory.use_store_memory import InMemoryUseStore
from services.memory.use_store_postgres import PostgresUseStore
from services.memory.uses import UseBuffer, UseStore
from services.memory.vectors import Vectors

log = get_logger(__name__)

PURGE_SECONDS = 300.0
WRITE_USES_SECONDS = 0.5
PREPARE_SECONDS = 1.0
"""How often a database that was away at start is tried again."""


class OpenedStore(MemoryStore, Upkeep, Protocol):
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
    embedder = adapters.embedder if adapters and adapters.embedder else _embedder(settings, settings.embedder, opened)
    previous = _embedder(settings, settings.previous_embedder, opened) if settings.previous_embedder else None
    if settings.forget_model and settings.forget_model in (embedder.name, previous and previous.name):
        raise SettingsError(f"MEMORY_FORGET_MODEL={settings.forget_model} is in use")
    store: OpenedStore = adapters.store if adapters else PgvectorStore(_options(settings, embedder, previous))
    clock = adapters.clock if adapters else SystemClock()
    beside, buffer = _beside(settings, store), _buffer(settings, opened)
    conversations, readers = _conversations(settings, opened), _readers(settings, opened)
    upkeep, word_upkeep = VectorUpkeep(store, embedder, settings.forget_model), WordUpkeep(store)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        usage = UsageCounts(store, clock)
        uses = UseLog(buffer, beside.uses, clock, timedelta(days=settings.usage_days))
        app.state.uses = uses
        vectors = Vectors(embedder, previous, lambda: upkeep.done)
        app.state.memory = MemoryService(
            store, vectors, usage, clock, _rules(settings), [beside.readings, uses, beside.documents], uses
        )
        app.state.extractions = Extractions(app.state.memory, conversations, readers, beside.readings, clock)
        quarantine = _rules(settings).quarantine
        app.state.documents = Documents(beside.documents, vectors, clock, quarantine)
        app.state.transfer = Transfer(store, vectors, clock)
        log.info("embedder_chosen", embedder=embedder.name, strength=embedder.strength)
        async with opened as stack:
            stack.push_async_callback(store.close)
            await store.prepare()
            stack.push_async_callback(usage.flush)
            stack.push_async_callback(uses.flush)
            work = background(
                every(PREPARE_SECONDS, store.prepare, name="prepare_store"),
                every(settings.usage_flush_seconds, usage.flush, name="flush_usage"),
                every(WRITE_USES_SECONDS, uses.write, name="write_uses"),
                every(settings.usage_flush_seconds, uses.flush, name="flush_uses"),
                every(PURGE_SECONDS, app.state.memory.purge_gone, name="purge_gone"),
                every(PURGE_SECONDS, uses.purge, name="purge_uses"),
                every(settings.upkeep_seconds, upkeep.run, name="embed_the_rest"),
                every(settings.upkeep_seconds, word_upkeep.run, name="read_words_anew"),
            )
            await stack.enter_async_context(work)
            yield

    return build_app(
        service="memory",
        settings=settings,
        routers=[api_documents.routes, api_usage.routes, api_extraction.routes, api_transfer.routes, api.routes],
        lifespan=life,
        # Not required: searches are answered, as degraded, while Postgres is away.
        checks={
            "postgres": Check(store.ping, required=False),
            "vectors": Check(upkeep.ping, required=False),
            "words": Check(word_upkeep.ping, required=False),
        },
        capabilities={"embedder": f"{embedder.name}: {embedder.strength}", "extractor": readers.first.name},
    )


@dataclass(frozen=True)
class _Beside:
    """What is kept beside the memories, where they are kept."""

    readings: ExtractionLog
    uses: UseStore
    documents: DocumentStore


def _beside(settings: Settings, store: OpenedStore) -> _Beside:
    if isinstance(store, PgvectorStore):
        place = (store.database, settings.request_timeout_seconds)
        documents = PostgresDocumentStore(*place, store.add_within)
        return _Beside(PostgresExtractionLog(*place), PostgresUseStore(*place), documents)
    if isinstance(store, InMemoryStore):
        return _Beside(InMemoryExtractionLog(), InMemoryUseStore(store), InMemoryDocumentStore(store))
    raise TypeError(f"nothing is known to stand beside {type(store).__name__}")


def _buffer(settings: Settings, stack: AsyncExitStack) -> UseBuffer:
    url = settings.redis_url.get_secret_value()
    if not url:
        return InMemoryUseBuffer()
    from kit.redis import connect  # half a second of imports that only who has a Redis needs
    from services.memory.use_buffer_redis import RedisUseBuffer

    redis = connect(url, timeout_seconds=1.0)
    stack.push_async_callback(redis.aclose)
    return RedisUseBuffer(redis)


def _conversations(settings: Settings, stack: AsyncExitStack) -> Conversations | None:
    key = settings.common.identity_private_key.get_secret_value()
    if not settings.sessions_url or not key:
        return None
    client = service_http(settings.sessions_url, audience="sessions", signer=PrincipalSigner(key, "memory"))
    stack.push_async_callback(client.aclose)
    return Conversations(SessionsClient(Caller(client)))


def _readers(settings: Settings, stack: AsyncExitStack) -> Readers:
    rules = RulesExtractor()
    _, _, model = settings.extractor.partition(":")
    if not model:
        return Readers(rules, rules)
    seconds = settings.extractor_timeout_seconds
    client = outside_http(timeout_seconds=seconds, connect_seconds=min(2.0, seconds))
    stack.push_async_callback(client.aclose)
    url = settings.openai_base_url.rstrip("/")
    api = OutsideApi(client, "the extractor's endpoint", url, settings.openai_api_key, seconds)
    return Readers(OpenAiExtractor(api, model), rules)


def _embedder(settings: Settings, wanted: str, stack: AsyncExitStack) -> Embedder:
    kind, _, written = wanted.partition(":")
    if kind == "hashed":
        return HashedEmbedder()
    if kind == "sentence":
        return CachedEmbedder(_sentence())
    model, _, dimensions = written.rpartition("@")
    remote = Remote(kind, model, int(dimensions), settings.embedder_max_tokens)
    provider = _openai(settings, remote, stack) if kind == "openai" else _vertex(settings, remote, stack)
    return CachedEmbedder(RemoteEmbedder(provider, remote))


def _sentence() -> Embedder:
    try:
        from services.memory.embedder_sentence import SentenceEmbedder  # an extra: numpy and tokenizers
    except ModuleNotFoundError as error:
        raise SettingsError(f"the sentence embedder needs {error.name}: `make sentence` installs it") from error
    return SentenceEmbedder()


def _openai(settings: Settings, remote: Remote, stack: AsyncExitStack) -> Provider:
    client, seconds = _client(settings, stack), settings.embedder_timeout_seconds
    url = settings.openai_base_url.rstrip("/")
    api = OutsideApi(client, "the embeddings endpoint", url, settings.openai_api_key, seconds)
    return OpenAiProvider(api, remote.model, shorten_to=_shorter(settings, remote))


def _vertex(settings: Settings, remote: Remote, stack: AsyncExitStack) -> Provider:
    if not settings.vertex_project:
        raise SettingsError("an embedder on Vertex AI needs MEMORY_VERTEX_PROJECT")
    try:
        from services.memory.provider_vertex import VertexProvider  # an extra: google-genai
    except ModuleNotFoundError as error:
        raise SettingsError(f"an embedder on Vertex AI needs {error.name} (the extra `vertex`)") from error
    return VertexProvider(
        _client(settings, stack),
        remote.model,
        project=settings.vertex_project,
        location=settings.vertex_location,
        timeout_seconds=settings.embedder_timeout_seconds,
        shorten_to=_shorter(settings, remote),
        base_url=settings.vertex_base_url,
    )


def _client(settings: Settings, stack: AsyncExitStack) -> httpx.AsyncClient:
    seconds = settings.embedder_timeout_seconds
    client = outside_http(timeout_seconds=seconds, connect_seconds=min(2.0, seconds))
    stack.push_async_callback(client.aclose)
    return client


def _shorter(settings: Settings, remote: Remote) -> int | None:
    return remote.dimensions if settings.embedder_shortens else None


def _rules(settings: Settings) -> Rules:
    quarantine = frozenset(Origin(each) for each in settings.quarantine_origins.split(",") if each)
    return Rules(quarantine, timedelta(days=settings.purge_days))


def _options(settings: Settings, embedder: Embedder, previous: Embedder | None) -> Options:
    return Options(
        url=settings.database_url.get_secret_value(),
        model=embedder.name,
        dimensions=embedder.dimensions,
        previous=Model(previous.name, previous.dimensions) if previous else None,
        pool_size=settings.pool_size,
        statement_cache_size=settings.statement_cache_size,
        search_timeout_seconds=settings.search_timeout_seconds,
        request_timeout_seconds=settings.request_timeout_seconds,
        exact_rows=settings.exact_rows,
        ef_search=settings.ef_search,
        language=settings.text_language,
    )
