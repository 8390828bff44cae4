"""Routes of export and import."""

from typing import Annotated

from fastapi import Depends, Query, Request

from bureau_contracts.memory import ExportPage, ImportMemories, MemoriesImported, MemoryId
from bureau_contracts.shapes import Limit, SubjectId
from kit.web import PrincipalDep, router
from services.memory.transfer import Transfer

routes = router("/memory", "memory")


def _transfer(request: Request) -> Transfer:
    transfer: Transfer = request.app.state.transfer
    return transfer


TransferDep = Annotated[Transfer, Depends(_transfer)]


@routes.get("/export")
async def export_memories(
    principal: PrincipalDep,
    transfer: TransferDep,
    user_id: SubjectId | None = None,
    after: Annotated[MemoryId | None, Query()] = None,
    limit: Limit = 100,
) -> ExportPage:
    """Memories with their former versions, superseded and quarantined ones too, by ID; go on at `next_after`."""
    return await transfer.export(principal, user_id, after or "", limit)


@routes.post("/import")
async def import_memories(principal: PrincipalDep, transfer: TransferDep, body: ImportMemories) -> MemoriesImported:
    """Stores what is not there yet: same ID, times and versions, in the caller's tenant. All of it or nothing.

    Safe to repeat: a memory whose ID or text is there already is left as it is. 422 `bad_export`.
    """
    return MemoriesImported(memories=await transfer.read(principal, body.memories))
