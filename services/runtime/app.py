"""The runtime's composition root: the one place that chooses clients and models."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import httpx
from fastapi import FastAPI

from bureau.errors import BureauError
from bureau.evaluation import EvaluationClient
from bureau.http import Caller
from bureau.memory import MemoryClient
from bureau.registry import RegistryClient
from bureau.sessions import SessionsClient
from bureau_contracts.shapes import JsonObject
from bureau_contracts.tools import ToolSource
from kit.certificates import trusted
from kit.clock import Clock, SystemClock
from kit.destinations import Destinations
from kit.factories import FactoryResolver
from kit.health import Check
from kit.http_client import CONNECT_SECONDS, no_cookies, outside_http, service_http
from kit.identity import PrincipalSigner
from kit.secrets import Secrets
from kit.tasks import background
from kit.web import build_app
from services.runtime import api
from services.runtime.agents import Agents, AgentSettings
from services.runtime.availability import AvailabilityReports
from services.runtime.errors import passed_on
from services.runtime.leases import Leases
from services.runtime.looking_back import LookingBack
from services.runtime.loop import LoopLimits
from services.runtime.models.catalogue import MakeModel, Models
from services.runtime.models.model import Model
from services.runtime.models.offline.model import OfflineModel
from services.runtime.ports import Conversations, Metrics, Recollections, Registry
from services.runtime.prompts import Prompts
from services.runtime.recall import Recall
from services.runtime.registered import CallTarget, Registered, Target
from services.runtime.routing import Router
from services.runtime.service import Runtime
from services.runtime.settings import Settings, environment
from services.runtime.tally import Tally
from services.runtime.tool_failures import ToolFailed
from services.runtime.tool_http import HttpTool
from services.runtime.toolbox import Limits
from services.runtime.tools import Tools
from services.runtime.turn import Turns

OPTIONAL_SECONDS = 1.5
"""Of one call to a service that a turn can do without; it is not repeated either."""


@dataclass(frozen=True)
class Neighbours:
    """The services that the runtime calls, and what `/health` asks of them."""

    catalogue: Registry
    conversations: Conversations
    recollections: Recollections
    metrics: Metrics
    checks: Mapping[str, Check]


def create_app(settings: Settings, neighbours: Neighbours | None = None, *, clock: Clock | None = None) -> FastAPI:
    """`neighbours` and `clock` let tests hand in fakes."""
    stack = AsyncExitStack()
    neighbours = neighbours or _real_neighbours(settings, stack)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        async with stack:
            outside = await stack.enter_async_context(_outside(settings))
            time_of_day = clock or SystemClock()
            models = Models(_models(settings, outside, time_of_day), settings.model)
            models.get(None)  # a default model that nobody provides is noticed at start
            tally = Tally(neighbours.metrics)
            reports = AvailabilityReports(neighbours.catalogue)
            prompts = Prompts(neighbours.catalogue, time_of_day)
            agents = _agents(settings, models, outside, reports)
            app.state.runtime = _runtime(settings, neighbours, agents, tally, prompts)
            targets = await stack.enter_async_context(target_client())
            registered = Registered(neighbours.catalogue.tools, _adapters(settings, targets))
            limits = Limits(settings.tool_timeout_seconds, settings.call_result_chars)
            app.state.tools = Tools(neighbours.catalogue, agents, registered, limits)
            async with background(tally.send(), reports.send(), prompts.follow()):
                yield

    return build_app(
        service="runtime",
        settings=settings,
        routers=[api.routes],
        lifespan=life,
        checks=neighbours.checks,
        capabilities={
            "models": "offline, openai",
            "model": settings.model,
            "agents": _agent_kinds(),
            "mcp": "installed" if find_spec("mcp") else "not installed",
        },
        errors={BureauError: passed_on},
    )


def _agents(settings: Settings, models: Models, outside: httpx.AsyncClient, reports: AvailabilityReports) -> Agents:
    tools = Limits(settings.tool_timeout_seconds, settings.tool_result_chars)
    loop = LoopLimits(settings.max_iterations, settings.agent_timeout_seconds, tools)
    factories = FactoryResolver(settings.factory_prefixes.split(","))
    return Agents(factories, models, outside, AgentSettings(settings.agent_timeout_seconds, loop), report=reports.agent)


def _runtime(settings: Settings, neighbours: Neighbours, agents: Agents, tally: Tally, prompts: Prompts) -> Runtime:
    leases = Leases(
        neighbours.conversations, ttl_seconds=settings.lease_seconds,
        wait_seconds=settings.busy_wait_seconds, waiting=settings.busy_waiting,
    )  # fmt: skip
    router = Router(neighbours.catalogue)
    turns = Turns(
        neighbours.conversations, Recall(neighbours.recollections, settings.memories),
        prompts, router, agents, leases, tally,
        looking_back=LookingBack(neighbours.conversations, settings.history_messages, settings.history_tokens),
    )  # fmt: skip
    return Runtime(neighbours.conversations, router, turns)


def _adapters(settings: Settings, client: httpx.AsyncClient) -> dict[ToolSource, CallTarget]:
    secrets = Secrets(environment(), settings.secret_env_prefix, settings.secret_folder)
    destinations = Destinations(settings.remote_hosts, setting="RUNTIME_REMOTE_HOSTS")
    mcp = _mcp(settings, secrets, destinations)
    http = HttpTool(client, secrets, destinations, settings.tool_timeout_seconds)
    return {ToolSource.HTTP: http, ToolSource.MCP_HTTP: mcp, ToolSource.MCP_STDIO: mcp}


def _mcp(settings: Settings, secrets: Secrets, destinations: Destinations) -> CallTarget:
    """The client of MCP servers, loaded when the first is called: a second of work, of a package that is an extra."""

    @cache
    def load() -> CallTarget:
        from kit.mcp_connection import McpConnections
        from services.runtime.tool_mcp import McpTool

        path = environment().get("PATH", os.defpath)
        connections = McpConnections(destinations, settings.mcp_commands, path, commands_setting="RUNTIME_MCP_COMMANDS")
        return McpTool(connections, secrets, settings.tool_timeout_seconds)

    async def call(target: Target, arguments: JsonObject, idempotency_key: str) -> Any:
        if not find_spec("mcp"):
            raise ToolFailed("this runtime cannot call MCP servers: the package mcp is not installed (extra `mcp`)")
        return await (await asyncio.to_thread(load))(target, arguments, idempotency_key)

    return call


def target_client() -> httpx.AsyncClient:
    """For registered tools: carries no identity, follows nobody elsewhere, and keeps no connection, since one that the
    target has just closed would leave a call's outcome unknown."""
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=0)
    timeout = httpx.Timeout(None, connect=CONNECT_SECONDS * 5)  # the adapter bounds the whole
    return httpx.AsyncClient(
        verify=trusted(), timeout=timeout, limits=limits, trust_env=False, follow_redirects=False, cookies=no_cookies()
    )


def _agent_kinds() -> str:
    adk = ", google-adk" if find_spec("google") and find_spec("google.adk") else ""
    return f"factory, http, a2a{adk}"


def _models(settings: Settings, client: httpx.AsyncClient, clock: Clock) -> dict[str, MakeModel]:
    def openai(name: str) -> Model:
        from services.runtime.models.openai_compatible import OpenAiCompatible  # reads its price list: half a second

        return OpenAiCompatible(
            name, client, base_url=settings.openai_base_url, api_key=settings.openai_api_key,
            timeout_seconds=settings.model_timeout_seconds,
        )  # fmt: skip

    return {"offline": lambda _: OfflineModel(clock), "openai": openai}


def _outside(settings: Settings) -> httpx.AsyncClient:
    """For models and agents that are not ours: carries no identity."""
    return outside_http(timeout_seconds=settings.agent_timeout_seconds, connect_seconds=CONNECT_SECONDS * 5)


def _real_neighbours(settings: Settings, stack: AsyncExitStack) -> Neighbours:
    signer = PrincipalSigner(settings.common.identity_private_key.get_secret_value(), "runtime")
    checks: dict[str, Check] = {}

    def caller(url: str, audience: str, *, required: bool) -> Caller:
        seconds = settings.service_timeout_seconds if required else OPTIONAL_SECONDS
        client = service_http(url, audience=audience, signer=signer, timeout_seconds=seconds)
        stack.push_async_callback(client.aclose)

        async def ask() -> str:
            answer = await client.get("/health", auth=None)
            if answer.status_code >= 500:
                raise ConnectionError(f"/health answers {answer.status_code}")
            return ""

        checks[audience] = Check(ask, required=required)
        return Caller(client) if required else Caller(client, attempts=1)

    return Neighbours(
        RegistryClient(caller(settings.registry_url, "registry", required=True)),
        SessionsClient(caller(settings.sessions_url, "sessions", required=True)),
        MemoryClient(caller(settings.memory_url, "memory", required=False)),
        EvaluationClient(caller(settings.evaluation_url, "evaluation", required=False)),
        checks,
    )
