"""The registry's tools over HTTP."""

from typing import Annotated

from fastapi import Depends, Query, Request, Response

from bureau_contracts.registry import Changed
from bureau_contracts.shapes import Limit
from bureau_contracts.tools import (
    RegisterTool,
    TenantRisks,
    ToolName,
    ToolPage,
    ToolPatch,
    ToolRecord,
    ToolRegistered,
)
from kit.web import PrincipalDep, router
from services.registry.etags import RevisionsDep, etag
from services.registry.tools import Tools

routes = router("/registry/tools", "tools")


def _tools(request: Request) -> Tools:
    tools: Tools = request.app.state.tools
    return tools


ToolsDep = Annotated[Tools, Depends(_tools)]


@routes.get("")
async def list_tools(
    principal: PrincipalDep,
    tools: ToolsDep,
    q: Annotated[str, Query(max_length=1000)] = "",
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(max_length=1000)] = None,
) -> ToolPage:
    """Tool sources by name, each with what it offers and how risky that is for the caller's tenant. `q` is part of the
    name or the description. The parameters of what is offered are left out here."""
    return tools.page(principal, q, limit, cursor)


@routes.post("", status_code=201)
async def register_tool(
    principal: PrincipalDep, tools: ToolsDep, tool: RegisterTool, response: Response
) -> ToolRegistered:
    """409 when the name is taken, by whomever. What it offers is asked for soon after; see `refresh`."""
    record = await tools.register(principal, tool)
    response.headers["etag"] = etag(record.revision)
    return ToolRegistered(tool_name=record.name, revision=record.revision)


@routes.get("/{name}")
async def get_tool(principal: PrincipalDep, tools: ToolsDep, name: ToolName, response: Response) -> ToolRecord:
    """The record, with what it offers. Its ETag is its revision; what it offers changes without one."""
    record = tools.get(principal, name)
    response.headers["etag"] = etag(record.revision)
    return record


@routes.patch("/{name}")
async def update_tool(
    principal: PrincipalDep,
    tools: ToolsDep,
    name: ToolName,
    patch: ToolPatch,
    revisions: RevisionsDep,
    response: Response,
) -> ToolRecord:
    """Changes the fields that are sent; null clears one. 412 when If-Match names another revision."""
    record = await tools.update(principal, name, patch, revisions)
    response.headers["etag"] = etag(record.revision)
    return record


@routes.delete("/{name}")
async def delete_tool(principal: PrincipalDep, tools: ToolsDep, name: ToolName, revisions: RevisionsDep) -> Changed:
    await tools.delete(principal, name, revisions)
    return Changed(status="deleted")


@routes.put("/{name}/risks")
async def set_tool_risks(
    principal: PrincipalDep,
    tools: ToolsDep,
    name: ToolName,
    risks: TenantRisks,
    revisions: RevisionsDep,
    response: Response,
) -> ToolRecord:
    """What the caller's own tenant says of the risks, in place of what it said before; nobody else's changes."""
    record = await tools.set_risks(principal, name, risks, revisions)
    response.headers["etag"] = etag(record.revision)
    return record


@routes.post("/{name}/refresh")
async def refresh_tool(principal: PrincipalDep, tools: ToolsDep, name: ToolName) -> ToolRecord:
    """Asks the source now what it offers. When it does not say, `listing.error` has the reason, and what it said last
    stays."""
    return await tools.refresh(principal, name)
