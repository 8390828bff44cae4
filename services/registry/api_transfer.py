"""Export and import of the registry over HTTP."""

import asyncio
from typing import Annotated

from fastapi import Depends, Request

from bureau_contracts.registry import ImportMode, ImportReport, RegistryDocument
from kit.web import PrincipalDep, router
from services.registry.transfer import Transfer

routes = router("/registry", "transfer")


def _transfer(request: Request) -> Transfer:
    transfer: Transfer = request.app.state.transfer
    return transfer


TransferDep = Annotated[Transfer, Depends(_transfer)]


@routes.get("/export")
async def export_registry(principal: PrincipalDep, transfer: TransferDep) -> RegistryDocument:
    """Everything that the caller sees, as a document that can be imported."""
    return await asyncio.to_thread(transfer.export, principal)


@routes.post("/import")
async def import_registry(
    principal: PrincipalDep,
    transfer: TransferDep,
    document: RegistryDocument,
    mode: ImportMode = ImportMode.MERGE,
    dry_run: bool = False,
) -> ImportReport:
    """All of it, or nothing. `merge` leaves alone what is not named; `replace` deletes what the caller may delete."""
    return await transfer.read(principal, document, mode, dry_run)
