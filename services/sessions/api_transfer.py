"""Routes of export and import."""

from typing import Annotated

from fastapi import Depends, Path, Request
from fastapi.responses import StreamingResponse

from bureau_contracts.sessions import SessionExport, SessionId, SessionImported
from kit.web import PrincipalDep, router
from services.sessions.api_once import OnceDep
from services.sessions.transferring import Transferring

routes = router("/sessions", "sessions")


def _transferring(request: Request) -> Transferring:
    transferring: Transferring = request.app.state.transferring
    return transferring


TransferringDep = Annotated[Transferring, Depends(_transferring)]


@routes.get("/{session_id}/export", response_model=SessionExport)
async def export_session(
    principal: PrincipalDep, transferring: TransferringDep, session_id: Annotated[SessionId, Path()]
) -> StreamingResponse:
    """A session with everything in it, as one JSON document that `import` takes. Streamed, as of one moment.

    Left out are the lease, receipts of idempotency keys, and state that is not the session's own (`user:`, `app:`).
    """
    pieces = await transferring.export(principal, session_id)
    disposition = {"content-disposition": f'attachment; filename="{session_id}.json"'}
    return StreamingResponse(pieces, media_type="application/json", headers=disposition)


@routes.post("/import", status_code=201)
async def import_session(
    principal: PrincipalDep, transferring: TransferringDep, body: SessionExport, once: OnceDep
) -> SessionImported:
    """Makes a session of an export: same id, numbers, times and receipts, in the caller's tenant. All of it or nothing.

    A user imports only what is its own; a tenant-wide scope imports any user's of the tenant. 409 `session_exists`,
    422 `bad_export`. The document is read whole, so `BUREAU_MAX_BODY_BYTES` bounds it: 413 beyond.
    """
    return await transferring.restore(principal, body, once)
