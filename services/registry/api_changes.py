"""The change feed over HTTP: long-polled as JSON, or as server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Header, Query, Request
from fastapi.responses import Response, StreamingResponse

from bureau_contracts.registry import ChangePage
from kit.identity import Principal
from kit.tasks import Ended, until
from kit.web import PrincipalDep, router
from services.registry.feed import Feed

routes = router("/registry", "changes")

EVENT_STREAM = "text/event-stream"


def _feed(request: Request) -> Feed:
    feed: Feed = request.app.state.feed
    return feed


FeedDep = Annotated[Feed, Depends(_feed)]


@routes.get("/changes", response_model=ChangePage, responses={200: {"content": {EVENT_STREAM: {}}}})
async def follow_changes(
    request: Request,
    principal: PrincipalDep,
    feed: FeedDep,
    after: Annotated[int, Query(ge=0, le=10**15)] = 0,
    wait_seconds: Annotated[float, Query(ge=0, le=30, allow_inf_nan=False)] = 25,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    accept: Annotated[str, Header()] = "",
    last_event_id: Annotated[str, Header()] = "",
) -> ChangePage | Response:
    """What changed after `after`, in order: of each agent, tool and prompt the newest change. An `after` beyond the end
    answers `reset` at once, with where the feed stands.

    Answers at once when there is something, else waits. With `Accept: text/event-stream` it is a stream: one event per
    change, whose ID is its `seq`, so that `Last-Event-ID` resumes; the event `reset` means as `reset` does in a page.
    """
    if EVENT_STREAM in accept.lower():
        if last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) <= 15:
            after = int(last_event_id)
        events = _events(feed, principal, after, limit)
        return StreamingResponse(events, media_type=EVENT_STREAM, headers={"cache-control": "no-store"})
    try:
        async with until(_left(request)):
            return await feed.page(principal, after, wait_seconds, limit)
    except Ended:
        return Response(status_code=204)  # to nobody


async def _events(feed: Feed, principal: Principal, after: int, limit: int) -> AsyncIterator[str]:
    yield ": the change feed\n\n"  # at once, so that the reader knows that it is connected
    async for page in feed.pages(principal, after, limit):
        if page.reset:
            yield f'id: {page.seq}\nevent: reset\ndata: {{"seq":{page.seq}}}\n\n'
        elif page.changes:
            yield "".join(f"id: {each.seq}\ndata: {each.model_dump_json()}\n\n" for each in page.changes)
        else:
            yield f": ping\nid: {page.seq}\n\n"  # without data it is no event, yet the reader remembers the ID


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
