"""A session's events, read backwards in pages until there are enough of them."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from google.adk.errors import StaleSessionError
from google.adk.events import Event
from google.adk.sessions.base_session_service import GetSessionConfig

from bureau.adapters.adk.events import to_event
from bureau.sessions import SessionsClient
from bureau_contracts.sessions import HistoryPage, Message, Session, SessionView

VIEW = 1000
"""As many messages come with the session itself."""
PAGE = 200
TOGETHER = 4
"""Pages that are asked for at once."""


def first_look(config: GetSessionConfig) -> int:
    """How many messages to ask for together with the session."""
    return VIEW if config.num_recent_events is None else min(config.num_recent_events, VIEW)


async def events_of(sessions: SessionsClient, view: SessionView, config: GetSessionConfig) -> list[Event]:
    """The events that are asked for, oldest first, of the branch that `view` shows. Raises StaleSessionError when the
    session is replaced meanwhile."""
    messages = list(view.conversation_history)
    events = _events(messages)
    first = messages[0].seq if messages else view.session.message_count + 1
    while first > 1 and not _enough(events, config):
        older = await _pages_before(sessions, view.session, first)
        if [message.seq for message in older] != list(range(max(1, first - PAGE * TOGETHER), first)):
            raise StaleSessionError("the session was replaced while it was read: read it again")
        events, first = _events(older) + events, older[0].seq
    return _wanted(events, config)


async def _pages_before(sessions: SessionsClient, session: Session, first: int) -> list[Message]:
    def page(before: int) -> Coroutine[Any, Any, HistoryPage]:
        return sessions.history(session.session_id, before=before, limit=PAGE, branch=session.branch)

    starts = range(first, 1, -PAGE)[:TOGETHER]
    try:
        async with asyncio.TaskGroup() as group:
            pages = [group.create_task(page(start)) for start in starts]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None  # the first failure ends all; it is what a single call would have raised
    return [message for page in reversed(pages) for message in page.result().messages]


def _events(messages: list[Message]) -> list[Event]:
    return [event for message in messages if (event := to_event(message)) is not None]


def _enough(events: list[Event], config: GetSessionConfig) -> bool:
    recent, since = config.num_recent_events, config.after_timestamp
    if recent is not None and len(events) >= recent:
        return True
    return since is not None and any(event.timestamp < since for event in events)


def _wanted(events: list[Event], config: GetSessionConfig) -> list[Event]:
    if config.num_recent_events is not None:
        events = events[len(events) - min(config.num_recent_events, len(events)) :]
    if config.after_timestamp is not None:
        older = [place for place, event in enumerate(events) if event.timestamp < config.after_timestamp]
        events = events[older[-1] + 1 :] if older else events
    return events
