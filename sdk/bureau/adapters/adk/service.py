"""`BureauSessionService`: ADK's sessions, kept in Bureau. How names, state and events are said there: docs/adr/0022."""

import asyncio
import re
import uuid
from types import TracebackType
from typing import Any, Self
from weakref import WeakValueDictionary

from google.adk.errors import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events import Event
from google.adk.sessions import BaseSessionService, Session
from google.adk.sessions.base_session_service import GetSessionConfig, ListSessionsResponse

from bureau.adapters.adk import names
from bureau.adapters.adk.events import to_event, to_message
from bureau.adapters.adk.reading import events_of, first_look
from bureau.adapters.adk.scopes import folded, unfolded, user_keys
from bureau.client import Bureau
from bureau.errors import Conflict, NotFound
from bureau_contracts.sessions import Lifecycle, NewSession, NewTurn, TurnStored
from bureau_contracts.sessions import Session as StoredSession

LAST_LOOK = 50
"""Messages among which the last event is looked for."""
_STALE = frozenset({"version_conflict", "stale_writer"})


class BureauSessionService(BaseSessionService):
    """Promises what ADK's own services do, and beyond it:

    - What `append_event` returned from is durable. The same event again is stored once, so a call may be repeated.
    - A session object that the stored session has moved on from is StaleSessionError and changes nothing.
    - Events come back exactly, partial ones are not stored.

    A state value of None deletes its key. One instance belongs to one event loop, and serves many calls at once.
    Whoever serves several users needs a key with the scope `tenant`; without it, a key's own user has sessions here.
    """

    def __init__(self, bureau: Bureau) -> None:
        self._bureau = bureau
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def create_session(
        self, *, app_name: str, user_id: str, state: dict[str, Any] | None = None, session_id: str | None = None
    ) -> Session:
        """Raises AlreadyExistsError when an id was chosen that the user has in this app; ValueError for a user_id that
        Bureau cannot have."""
        names.require_user(user_id)
        chosen = _trimmed(session_id or "") or str(uuid.uuid4())
        key = names.bureau_id(app_name, user_id, chosen)
        new = NewSession(
            user_id=user_id,
            session_id=key,
            title=names.title_of(chosen),
            metadata=names.metadata_of(app_name, chosen),
            state=folded(app_name, state or {}),
        )
        try:
            await self._bureau.sessions.create(new)
        except Conflict as refused:
            if refused.code == "session_exists":
                raise AlreadyExistsError(f"Session with id {chosen} already exists.") from refused
            raise
        created = (await self._bureau.sessions.get(key, history_limit=0)).session
        return _session(created, app_name, chosen, [])

    async def get_session(
        self, *, app_name: str, user_id: str, session_id: str, config: GetSessionConfig | None = None
    ) -> Session | None:
        names.require_user(user_id)
        wanted, chosen = config or GetSessionConfig(), _trimmed(session_id)
        key = names.bureau_id(app_name, user_id, chosen)
        try:
            view = await self._bureau.sessions.get(key, history_limit=first_look(wanted))
            if names.adk_names(view.session) != (app_name, chosen):
                return None
            events = await events_of(self._bureau.sessions, view, wanted)
        except NotFound:
            return None
        return _session(view.session, app_name, chosen, events)

    async def list_sessions(self, *, app_name: str, user_id: str | None = None) -> ListSessionsResponse:
        """Without events, and with the state of the session alone. Archived sessions are not listed."""
        if user_id is not None:
            names.require_user(user_id)
        found: dict[str, Session] = {}
        # Expired ones first: who becomes active between the two is seen twice and not missed.
        for lifecycle in (Lifecycle.EXPIRED, Lifecycle.ACTIVE):
            async for stored in self._bureau.sessions.all(user_id=user_id, lifecycle=lifecycle):
                match names.adk_names(stored):
                    case (app, chosen) if app == app_name:
                        found[stored.session_id] = _session(stored, app_name, chosen, [])
        by_update = sorted(found.values(), key=lambda each: (each.last_update_time, each.user_id, each.id))
        return ListSessionsResponse(sessions=by_update)

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Erases it, as ADK's own services do. One that does not exist is none of it afterwards either."""
        names.require_user(user_id)
        try:
            await self._bureau.sessions.delete(names.bureau_id(app_name, user_id, _trimmed(session_id)), purge=True)
        except NotFound:
            return

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """As a session of the user shows it; a user without any session has none to show it."""
        names.require_user(user_id)
        for lifecycle in Lifecycle:
            page = await self._bureau.sessions.page(user_id=user_id, lifecycle=lifecycle, limit=1)
            for newest in page.sessions:
                state = (await self._bureau.sessions.state(newest.session_id)).state
                return user_keys(app_name, state)
        return {}

    async def append_event(self, session: Session, event: Event) -> Event:
        """Raises StaleSessionError when the stored session went on since this object was read, SessionNotFoundError,
        and AlreadyExistsError when another event of this id is stored."""
        if event.partial:
            return event
        key = names.bureau_id(session.app_name, session.user_id, session.id)
        # Branches of one invocation share a session object: the second must see the version that the first made.
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            self._apply_temp_state(session, event)
            event = self._trim_temp_delta_state(event)
            stored = await self._store(key, session, event)
            _mark(session, max(stored.version, _version(session) or 0))
            session.last_update_time = event.timestamp
            if any(known.id == event.id for known in reversed(session.events)):
                return event
            return self._commit_event_to_session(session, event)

    async def close(self) -> None:
        await self._bureau.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _store(self, key: str, session: Session, event: Event) -> TurnStored:
        try:
            turn = NewTurn(
                turn_id=names.turn_id(event.id),
                messages=[to_message(event)],
                expected_version=_version(session) or await self._unmarked(key, session),
            )
            if delta := event.actions.state_delta:
                turn.state = folded(session.app_name, delta)
            return await self._written(key, turn)
        except NotFound as missing:
            raise SessionNotFoundError(f"Session {session.id} not found.") from missing
        except Conflict as refused:
            if refused.code in _STALE:
                raise StaleSessionError(f"Session {session.id} went on since it was read: read it again.") from refused
            if refused.code == "turn_differs":
                raise AlreadyExistsError(f"Event {event.id} is stored with another content.") from refused
            raise

    async def _written(self, key: str, turn: NewTurn) -> TurnStored:
        """ADK knows no expiry: a session that lay idle for long is resumed by whoever writes to it."""
        try:
            return await self._bureau.sessions.turn(key, turn)
        except Conflict as refused:
            if refused.code != "session_expired" or turn.expected_version is None:
                raise
        await self._bureau.sessions.resume(key)
        # One version later it is the same conversation; with any other number somebody else wrote, and this is refused.
        turn.expected_version += 1
        return await self._bureau.sessions.turn(key, turn)

    async def _unmarked(self, key: str, session: Session) -> int:
        """The present version for a session object that we did not read, if its last event is the stored last one."""
        view = await self._bureau.sessions.get(key, history_limit=LAST_LOOK)
        stored = [event for message in view.conversation_history if (event := to_event(message)) is not None]
        if [event.id for event in stored[-1:]] != [event.id for event in session.events[-1:]]:
            raise StaleSessionError(f"Session {session.id} is not what is stored: read it again.")
        return view.session.version


def _session(stored: StoredSession, app_name: str, session_id: str, events: list[Event]) -> Session:
    session = Session(
        id=session_id,
        app_name=app_name,
        user_id=stored.user_id,
        state=unfolded(app_name, stored.state),
        events=events,
        last_update_time=stored.last_activity.timestamp(),
    )
    _mark(session, stored.version)
    return session


def _mark(session: Session, version: int) -> None:
    session._storage_update_marker = f"bureau:{version}"


def _version(session: Session) -> int | None:
    """From which version the object was read; None when another service, or somebody by hand, made it."""
    marked = re.fullmatch(r"bureau:(\d+)", session._storage_update_marker or "")
    return int(marked[1]) if marked else None


def _trimmed(session_id: str) -> str:
    """As ADK's services in memory and on SQLite take it: a blank at either end is none of the id."""
    return session_id.strip()
