"""Routes of usage: why an agent knew something, and whether it helped."""

from typing import Annotated

from fastapi import Depends, Query, Request
from pydantic import Field

from bureau_contracts.memory import MemoryId
from bureau_contracts.memory_usage import HarmfulMemories, MemoryUses, ReportUse, UnusedMemories, UseReported
from bureau_contracts.shapes import Limit, SubjectId, TraceId
from kit.web import PrincipalDep, router
from services.memory.use_log import UseLog

routes = router("/memory", "memory")


def _uses(request: Request) -> UseLog:
    uses: UseLog = request.app.state.uses
    return uses


UsesDep = Annotated[UseLog, Depends(_uses)]


@routes.get("/usage")
async def usage(
    principal: PrincipalDep,
    uses: UsesDep,
    trace_id: Annotated[TraceId | None, Query()] = None,
    memory_id: Annotated[MemoryId | None, Query()] = None,
    user_id: SubjectId | None = None,
    limit: Limit = 50,
) -> MemoryUses:
    """What a turn (`trace_id`) was given, or who was given a memory (`memory_id`). Newest first."""
    return MemoryUses(uses=await uses.uses(principal, user_id, trace_id, memory_id, limit))


@routes.post("/usage")
async def report(principal: PrincipalDep, uses: UsesDep, body: ReportUse) -> UseReported:
    """Whether what a turn was given helped it. Within one's reach; `reported` says how many memories were marked."""
    return UseReported(reported=await uses.report(principal, body))


@routes.get("/unused")
async def unused(
    principal: PrincipalDep,
    uses: UsesDep,
    days: Annotated[float, Field(gt=0, le=36_500)] = 30,
    user_id: SubjectId | None = None,
    limit: Limit = 50,
) -> UnusedMemories:
    """Memories that were found by nobody for so many days; the longest unused first."""
    return UnusedMemories(memories=await uses.unused(principal, user_id, days, limit))


@routes.get("/harmful")
async def harmful(
    principal: PrincipalDep, uses: UsesDep, user_id: SubjectId | None = None, limit: Limit = 50
) -> HarmfulMemories:
    """Memories that were reported more often as a harm than as a help; the worst first."""
    return HarmfulMemories(memories=await uses.harmful(principal, user_id, limit))
