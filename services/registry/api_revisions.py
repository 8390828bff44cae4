"""Revisions of agents and tools over HTTP: the same routes for both."""

from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response

from bureau_contracts.registry import Kind, Restored, RevisionDiff, RevisionPage
from bureau_contracts.shapes import AgentName
from kit.web import PrincipalDep, router
from services.registry.etags import RevisionsDep, etag
from services.registry.revisions import Revisions

routes = router("/registry", "revisions")

Number = Annotated[int, Path(ge=1, le=10**15)]


class Things(StrEnum):
    """What has revisions, as paths name it. Prompts have versions instead."""

    AGENTS = "agents"
    TOOLS = "tools"


_KINDS = {Things.AGENTS: Kind.AGENT, Things.TOOLS: Kind.TOOL}


def _service(request: Request) -> Revisions:
    revisions: Revisions = request.app.state.revisions
    return revisions


RevisionsServiceDep = Annotated[Revisions, Depends(_service)]


@routes.get("/{things}/{name}/revisions")
async def list_revisions(
    principal: PrincipalDep, service: RevisionsServiceDep, things: Things, name: AgentName
) -> RevisionPage:
    """Newest first; also of what was deleted."""
    return service.page(principal, _KINDS[things], name)


@routes.get("/{things}/{name}/revisions/{revision}/diff")
async def diff_revisions(
    principal: PrincipalDep,
    service: RevisionsServiceDep,
    things: Things,
    name: AgentName,
    revision: Number,
    against: Annotated[int | None, Query(ge=1, le=10**15)] = None,
) -> RevisionDiff:
    """What `revision` changed since `against`; by default since the one before it."""
    return service.diff(principal, _KINDS[things], name, revision, against)


@routes.post("/{things}/{name}/revisions/{revision}/restore")
async def restore_revision(
    principal: PrincipalDep,
    service: RevisionsServiceDep,
    things: Things,
    name: AgentName,
    revision: Number,
    revisions: RevisionsDep,
    response: Response,
) -> Restored:
    """Makes a new revision that says what `revision` said; brings back what was deleted."""
    record = await service.restore(principal, _KINDS[things], name, revision, revisions)
    response.headers["etag"] = etag(record.revision)
    return Restored(name=record.name, revision=record.revision, restored_from=revision)
