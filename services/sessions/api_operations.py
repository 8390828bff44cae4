"""Routes for operators of the sessions' store."""

from typing import Annotated

from fastapi import Depends, Request

from bureau_contracts.sessions import BackupMade
from kit.web import PrincipalDep, router
from services.sessions.operations import Operations

routes = router("/sessions", "operations")


def _operations(request: Request) -> Operations:
    operations: Operations = request.app.state.operations
    return operations


OperationsDep = Annotated[Operations, Depends(_operations)]


@routes.post("/backup", status_code=201)
async def back_up(principal: PrincipalDep, operations: OperationsDep) -> BackupMade:
    """Copies the SQLite file into `backups/` beside it while it is in use; the newest seven copies are kept.

    Needs the scope `admin`. 409 `backup_elsewhere` when sessions are kept in Postgres, 503 `backup_running`.
    """
    return await operations.back_up(principal)
