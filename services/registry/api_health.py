"""Agents' health and cards over HTTP."""

from email.utils import format_datetime
from typing import Annotated

from fastapi import Depends, Request, Response

from bureau_contracts.registry import AgentHealth, ReportHealth
from bureau_contracts.shapes import AgentName, JsonObject
from kit.web import PrincipalDep, router
from services.registry.health import Healths

routes = router("/registry/agents", "registry")


def _healths(request: Request) -> Healths:
    healths: Healths = request.app.state.healths
    return healths


HealthsDep = Annotated[Healths, Depends(_healths)]


@routes.put("/{name}/health")
async def report_health(
    principal: PrincipalDep, healths: HealthsDep, name: AgentName, report: ReportHealth
) -> AgentHealth:
    """Runtimes (scope `registry:report`) say whether this revision could be built. Answers what counts from now on: a
    report of another revision changes nothing, and remote agents are looked at by the registry itself."""
    return healths.report(principal, name, report)


@routes.post("/{name}/retry")
async def retry_agent(principal: PrincipalDep, healths: HealthsDep, name: AgentName) -> AgentHealth:
    """Forgets the agent's health. A remote agent is looked at before this answers."""
    return await healths.retry(principal, name)


@routes.get("/{name}/card")
async def get_card(principal: PrincipalDep, healths: HealthsDep, name: AgentName, response: Response) -> JsonObject:
    """The agent's A2A card (1.0). An A2A agent's own, as it was fetched at the time that `Last-Modified` says; any
    other is made from the record, and has no such header."""
    content, fetched_at = healths.card(principal, name)
    if fetched_at is not None:
        response.headers["last-modified"] = format_datetime(fetched_at, usegmt=True)
    return content
