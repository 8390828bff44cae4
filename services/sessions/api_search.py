"""The route of the full-text search."""

from typing import Annotated

from fastapi import Depends, Query, Request

from bureau_contracts.sessions import Role, SearchPage, SessionId
from bureau_contracts.shapes import Limit, SubjectId
from kit.web import PrincipalDep, router
from services.sessions.search import SearchService

routes = router("/sessions", "sessions")

Cursor = Annotated[str, Query(max_length=500)]


def _service(request: Request) -> SearchService:
    service: SearchService = request.app.state.search
    return service


SearchDep = Annotated[SearchService, Depends(_service)]


@routes.get("/search")
async def search_messages(
    principal: PrincipalDep,
    search: SearchDep,
    q: Annotated[str, Query(max_length=500)],
    user_id: SubjectId | None = None,
    session_id: Annotated[SessionId | None, Query()] = None,
    role: Role | None = None,
    limit: Limit = 20,
    cursor: Cursor | None = None,
) -> SearchPage:
    """Messages that hold all of the words of `q`, the latest stored first: text, parts, tool calls and results.

    Words have no case and no accents; "words in quotes" stand side by side. One finds one's own; a tenant-wide scope
    finds every user's, or the named one's. 422 `query_without_words` when there is nothing to look for.
    """
    return await search.search(
        principal, q, user_id=user_id, session_id=session_id, role=role, limit=limit, cursor=cursor
    )
