"""The registry over HTTP."""

import asyncio
from typing import Annotated

from fastapi import Depends, Query, Request, Response

from bureau_contracts.registry import (
    AgentPage,
    AgentPatch,
    AgentRecord,
    AgentRegistered,
    AgentStatus,
    Capabilities,
    Changed,
    FactoryList,
    RegisterAgent,
    SearchAnswer,
)
from bureau_contracts.shapes import AgentName, Limit, Text
from kit.web import PrincipalDep, router
from services.registry.api_health import HealthsDep
from services.registry.etags import KnownDep, RevisionsDep, etag, not_modified
from services.registry.factories import list_factories
from services.registry.service import AgentFilter, Registry
from services.registry.settings import Settings

routes = router("/registry", "registry")


def _registry(request: Request) -> Registry:
    registry: Registry = request.app.state.registry
    return registry


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _tags(
    tags: Annotated[str, Query(max_length=2000, description="Comma-separated; an agent has all")] = "",
) -> frozenset[str]:
    return frozenset(tag.strip() for tag in tags.split(",") if tag.strip())


RegistryDep = Annotated[Registry, Depends(_registry)]
SettingsDep = Annotated[Settings, Depends(_settings)]
TagsDep = Annotated[frozenset[str], Depends(_tags)]


@routes.get("/agents")
async def list_agents(
    principal: PrincipalDep,
    registry: RegistryDep,
    healths: HealthsDep,
    tags: TagsDep,
    enabled_only: bool = False,
    q: Annotated[str, Query(max_length=1000)] = "",
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(max_length=1000)] = None,
) -> AgentPage:
    """Agents by name. `q` is part of the name, the description or a tag."""
    page = registry.page(principal, AgentFilter(enabled_only, tags, q), limit, cursor)
    return page.model_copy(update={"agents": [healths.on(agent) for agent in page.agents]})


@routes.post("/agents", status_code=201)
async def register_agent(
    principal: PrincipalDep, registry: RegistryDep, agent: RegisterAgent, response: Response
) -> AgentRegistered:
    """409 when the name is taken, by whomever."""
    record = await registry.register(principal, agent)
    response.headers["etag"] = etag(record.revision)
    return AgentRegistered(agent_name=record.name, revision=record.revision)


@routes.get("/agents/{name}", response_model=AgentRecord)
async def get_agent(
    principal: PrincipalDep,
    registry: RegistryDep,
    healths: HealthsDep,
    name: AgentName,
    known: KnownDep,
    response: Response,
) -> AgentRecord | Response:
    """The record, with its health; its ETag is its revision. 304 when If-None-Match names that, however its health
    may have changed."""
    record = registry.get(principal, name)
    if record.revision in known:
        return not_modified(record.revision)
    response.headers["etag"] = etag(record.revision)
    return healths.on(record)


@routes.patch("/agents/{name}")
async def update_agent(
    principal: PrincipalDep,
    registry: RegistryDep,
    healths: HealthsDep,
    name: AgentName,
    patch: AgentPatch,
    revisions: RevisionsDep,
    response: Response,
) -> AgentRecord:
    """Changes the fields that are sent; null clears one. 412 when If-Match names another revision."""
    record = await registry.update(principal, name, patch, revisions)
    response.headers["etag"] = etag(record.revision)
    return healths.on(record)


@routes.put("/agents/{name}/capabilities")
async def set_capabilities(
    principal: PrincipalDep, registry: RegistryDep, name: AgentName, capabilities: Capabilities, revisions: RevisionsDep
) -> Changed:
    record = await registry.update(principal, name, AgentPatch(capabilities=capabilities), revisions)
    return Changed(status="updated", revision=record.revision)


@routes.patch("/agents/{name}/status")
async def set_status(
    principal: PrincipalDep, registry: RegistryDep, name: AgentName, status: AgentStatus, revisions: RevisionsDep
) -> Changed:
    """A disabled agent is never chosen."""
    record = await registry.update(principal, name, AgentPatch(enabled=status.enabled), revisions)
    return Changed(status="enabled" if status.enabled else "disabled", revision=record.revision)


@routes.delete("/agents/{name}")
async def delete_agent(
    principal: PrincipalDep, registry: RegistryDep, name: AgentName, revisions: RevisionsDep
) -> Changed:
    await registry.delete(principal, name, revisions)
    return Changed(status="deleted")


@routes.get("/search")
async def search_agents(
    principal: PrincipalDep,
    registry: RegistryDep,
    tags: TagsDep,
    q: Text,
    k: Annotated[int, Query(ge=1, le=100)] = 5,
    enabled_only: bool = True,
) -> SearchAnswer:
    """Stage one of routing: which agents could answer `q`, with calibrated scores, best first."""
    return await registry.search(principal, q, k, AgentFilter(enabled_only, tags))


@routes.get("/factories")
async def get_factories(principal: PrincipalDep, settings: SettingsDep) -> FactoryList:
    """What can be built here."""
    found = await asyncio.to_thread(list_factories, settings.factory_prefixes)
    return FactoryList(prefixes=list(settings.factory_prefixes), factories=found)
