"""The registry's composition root."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import httpx
from fastapi import FastAPI

from bureau.http import Caller
from bureau.memory import MemoryClient
from bureau_contracts.tools import ToolRecord
from kit.certificates import trusted
from kit.clock import Clock, SystemClock
from kit.destinations import Destinations
from kit.health import Check
from kit.http_client import no_cookies, service_http
from kit.identity import PrincipalSigner
from kit.secrets import Secrets
from kit.tasks import background
from kit.web import build_app
from services.registry import api, api_changes, api_health, api_prompts, api_revisions, api_tools, api_transfer
from services.registry.embedder import Embedder
from services.registry.embedder_memory import DOCUMENTS_SECONDS, MemoryEmbedder
from services.registry.feed import Feed
from services.registry.health import Healths, LookAt
from services.registry.json_file import JsonFile
from services.registry.listing import Listings, NotListed, Offers, ReadOffers
from services.registry.prompts import Prompts
from services.registry.remote_agents import RemoteAgents
from services.registry.revisions import Revisions
from services.registry.service import Registry
from services.registry.settings import Settings, environment
from services.registry.shortlist import Shortlist
from services.registry.store import RegistryStore
from services.registry.store_json import open_json_store
from services.registry.tools import Tools
from services.registry.transfer import Transfer

if TYPE_CHECKING:
    from services.registry.embeddings import Embeddings

OpenStore = Callable[[], AbstractAsyncContextManager[RegistryStore]]


def create_app(
    settings: Settings,
    *,
    open_store: OpenStore | None = None,
    clock: Clock | None = None,
    read_offers: ReadOffers | None = None,
    look: LookAt | None = None,
    embedder: Embedder | None = None,
) -> FastAPI:
    """The last five let tests hand in fakes."""
    clock = clock or SystemClock()
    open_store = open_store or (lambda: open_json_store(JsonFile(settings.file), clock))

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        async with open_store() as store, AsyncExitStack() as stack:
            app.state.store = store
            embeddings = _embeddings(embedder or _memory_embedder(settings, stack))
            app.state.embeddings = embeddings
            shortlist = Shortlist(settings.search_threshold, embeddings)
            await asyncio.to_thread(shortlist.follow, store.document)  # seconds of work when agents are many
            app.state.registry = Registry(store, shortlist, clock, settings.revisions)
            app.state.revisions = Revisions(store, clock, settings.revisions)
            app.state.prompts = Prompts(store, clock)
            app.state.transfer = Transfer(store, clock, settings.revisions)
            app.state.feed = Feed(store, app.state.stopping)
            listings = Listings(store, read_offers or _mcp_offers(settings), clock, settings.listing_seconds)
            app.state.tools = Tools(store, listings, clock, settings.revisions)
            async with _outside() as outside:
                remote = RemoteAgents(
                    outside, Destinations(settings.remote_hosts, setting="REGISTRY_REMOTE_HOSTS"), clock
                )
                healths = app.state.healths = Healths(store, look or remote.look, clock)
                works = listings.follow(), listings.rounds.run(), healths.follow(), healths.rounds.run()
                async with background(*works, *([embeddings.run()] if embeddings else [])):
                    yield

    async def check_file() -> str:
        store: RegistryStore = app.state.store
        return await store.check()

    app = build_app(
        service="registry",
        settings=settings,
        routers=[
            api.routes,
            api_revisions.routes,
            api_changes.routes,
            api_prompts.routes,
            api_transfer.routes,
            api_tools.routes,
            api_health.routes,
        ],
        lifespan=life,
        checks={"file": Check(check_file)},
        capabilities={
            "search": _search_by(settings, embedder),
            "mcp": "installed" if find_spec("mcp") else "not installed",
        },
    )
    app.state.settings = settings
    return app


def _search_by(settings: Settings, embedder: Embedder | None) -> str:
    if embedder is None and not settings.memory_url:
        return "words"
    if not find_spec("numpy"):
        return "words: numpy is not installed (extra `vectors`)"
    if embedder is None and not settings.common.identity_private_key.get_secret_value():
        return "words: there is no private key to sign calls to the memory with"
    return "words and meaning"


def _memory_embedder(settings: Settings, stack: AsyncExitStack) -> Embedder | None:
    if _search_by(settings, None) != "words and meaning":
        return None
    signer = PrincipalSigner(settings.common.identity_private_key.get_secret_value(), "registry")
    client = service_http(settings.memory_url, audience="memory", signer=signer, timeout_seconds=DOCUMENTS_SECONDS)
    stack.push_async_callback(client.aclose)
    return MemoryEmbedder(MemoryClient(Caller(client, attempts=1)), settings.embed_timeout_seconds)


def _embeddings(embedder: Embedder | None) -> "Embeddings | None":
    if embedder is None or not find_spec("numpy"):
        return None
    from services.registry.embeddings import Embeddings  # numpy is an extra

    return Embeddings(embedder)


def _mcp_offers(settings: Settings) -> ReadOffers:
    """The client of MCP servers, loaded when the first is asked: a second of work, of a package that is an extra."""

    @cache
    def load() -> ReadOffers:
        from services.registry.mcp_client import McpClient

        secrets = Secrets(environment(), settings.secret_env_prefix, settings.secret_folder)
        path = environment().get("PATH", os.defpath)
        return McpClient(
            secrets, Destinations(settings.remote_hosts, setting="REGISTRY_REMOTE_HOSTS"), settings.mcp_commands, path
        ).offers

    async def read(record: ToolRecord) -> Offers:
        if not find_spec("mcp"):
            raise NotListed("this registry cannot ask MCP servers: the package mcp is not installed (extra `mcp`)")
        return await (await asyncio.to_thread(load))(record)

    return read


def _outside() -> httpx.AsyncClient:
    """For remote agents: carries no identity, follows nobody elsewhere, and keeps no connection to anybody."""
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=0)
    return httpx.AsyncClient(
        verify=trusted(), timeout=5, limits=limits, trust_env=False, follow_redirects=False, cookies=no_cookies()
    )
