"""The sessions' client: every conversation, whole and in order."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from bureau.http import Caller, segment
from bureau_contracts.sessions import (
    AcquireLease,
    BackupMade,
    BranchList,
    CleanUpSessions,
    Compacted,
    CompactSession,
    Context,
    Deleted,
    ForkSession,
    HistoryPage,
    Lease,
    Lifecycle,
    MessageAdded,
    NewInvocation,
    NewMessage,
    NewSession,
    NewTurn,
    RenewLease,
    RewindSession,
    Role,
    SearchPage,
    Session,
    SessionCreated,
    SessionExport,
    SessionForked,
    SessionImported,
    SessionPage,
    SessionResumed,
    SessionRewound,
    SessionsCleanedUp,
    SessionsErased,
    SessionStatus,
    SessionView,
    StateAnswer,
    StatePatch,
    StatusChange,
    Summary,
    Swept,
    Tracked,
    TurnStored,
    Updated,
    Window,
)
from bureau_contracts.shapes import JsonObject


class SessionsClient:
    """A call that writes takes an `idempotency_key`: then it may be repeated, and is done once. The same key with
    another call is a Conflict."""

    def __init__(self, caller: Caller) -> None:
        self._call = caller.call

    async def create(self, session: NewSession | None = None, *, idempotency_key: str | None = None) -> SessionCreated:
        """Conflict when an id was chosen that exists."""
        return await self._call(
            SessionCreated, "POST", "/sessions", body=session or NewSession(), **_once(idempotency_key)
        )

    async def get(self, session_id: str, *, history_limit: int | None = None) -> SessionView:
        params = {"history_limit": history_limit}
        return await self._call(SessionView, "GET", _path(session_id), params=params)

    async def page(
        self, *, user_id: str | None = None, status: SessionStatus | None = None, agent: str | None = None,
        since: datetime | None = None, until: datetime | None = None, lifecycle: Lifecycle | None = None,
        limit: int | None = None, cursor: str | None = None,
    ) -> SessionPage:  # fmt: skip
        """The latest activity first. `agent` took part; `since` and `until` (with a time zone) are of the activity."""
        params = {
            "user_id": user_id, "status": status, "agent": agent, "lifecycle": lifecycle, "limit": limit,
            "since": since and since.isoformat(), "until": until and until.isoformat(), "cursor": cursor,
        }  # fmt: skip
        return await self._call(SessionPage, "GET", "/sessions", params=params)

    async def all(self, *, user_id: str | None = None, lifecycle: Lifecycle | None = None) -> AsyncIterator[Session]:
        """Every session, newest first, page by page; the active ones unless said otherwise."""
        cursor = None
        while True:
            page = await self.page(user_id=user_id, lifecycle=lifecycle, limit=200, cursor=cursor)
            for session in page.sessions:
                yield session
            if (cursor := page.next_cursor) is None:
                return

    async def history(
        self, session_id: str, *, before: int | None = None, after: int | None = None, limit: int | None = None,
        branch: int | None = None,
    ) -> HistoryPage:  # fmt: skip
        """Messages in order: the last ones, or those before or after a `seq`; of a branch that a rewind left, too."""
        params = {"before": before, "after": after, "limit": limit, "branch": branch}
        return await self._call(HistoryPage, "GET", f"{_path(session_id)}/history", params=params)

    async def fork(
        self, session_id: str, fork: ForkSession | None = None, *, idempotency_key: str | None = None
    ) -> SessionForked:
        """A new session that shows this one's messages, up to `at_seq`."""
        body = fork or ForkSession()
        return await self._call(SessionForked, "POST", f"{_path(session_id)}/fork", body=body, **_once(idempotency_key))

    async def rewind(
        self, session_id: str, to_seq: int, *, fencing_token: int | None = None, idempotency_key: str | None = None
    ) -> SessionRewound:
        """Back to the message `to_seq`; what came after it stays on a branch of its own."""
        body = RewindSession(to_seq=to_seq, fencing_token=fencing_token)
        return await self._call(
            SessionRewound, "POST", f"{_path(session_id)}/rewind", body=body, **_once(idempotency_key)
        )

    async def branches(self, session_id: str) -> BranchList:
        return await self._call(BranchList, "GET", f"{_path(session_id)}/branches")

    async def compact(
        self, session_id: str, *, max_tokens: int | None = None, keep_last: int | None = None
    ) -> Compacted:
        """A summary stands for older messages when all are more than `max_tokens` (1500). May be sent again."""
        body = CompactSession(keep_last=keep_last)
        if max_tokens is not None:
            body = CompactSession(max_tokens=max_tokens, keep_last=keep_last)
        return await self._call(Compacted, "POST", f"{_path(session_id)}/compact", body=body, repeatable=True)

    async def summary(self, session_id: str) -> Summary:
        """The last one that applies. NotFound when nothing was summarised."""
        return await self._call(Summary, "GET", f"{_path(session_id)}/summary")

    async def window(
        self, session_id: str, *, max_tokens: int | None = None, max_messages: int | None = None
    ) -> Window:
        """What a model is shown: the summary, and the newest whole messages that fit beside it."""
        params = {"max_tokens": max_tokens, "max_messages": max_messages}
        return await self._call(Window, "GET", f"{_path(session_id)}/window", params=params)

    async def sweep(self) -> Swept:
        """Does now, for one's tenant, what the service does by itself now and then (a tenant-wide scope)."""
        return await self._call(Swept, "POST", "/sessions/sweep", repeatable=True)

    async def add_message(
        self, session_id: str, message: NewMessage, *, idempotency_key: str | None = None
    ) -> MessageAdded:
        return await self._call(
            MessageAdded, "POST", f"{_path(session_id)}/history", body=message, **_once(idempotency_key)
        )

    async def track(self, session_id: str, invocation: NewInvocation, *, idempotency_key: str | None = None) -> Tracked:
        return await self._call(
            Tracked, "POST", f"{_path(session_id)}/invocations", body=invocation, **_once(idempotency_key)
        )

    async def turn(self, session_id: str, turn: NewTurn) -> TurnStored:
        """Stores a whole turn or nothing. May be sent again: the same turn_id is stored once."""
        return await self._call(TurnStored, "POST", f"{_path(session_id)}/turns", body=turn, repeatable=True)

    async def stored_turn(self, session_id: str, turn_id: str) -> TurnStored:
        """NotFound when the session has no such turn."""
        return await self._call(TurnStored, "GET", f"{_path(session_id)}/turns/{segment(turn_id)}")

    async def context(self, session_id: str) -> Context:
        return await self._call(Context, "GET", f"{_path(session_id)}/context")

    async def set_context(self, session_id: str, context: Context, *, idempotency_key: str | None = None) -> Updated:
        return await self._call(Updated, "PUT", f"{_path(session_id)}/context", body=context, **_once(idempotency_key))

    async def state(self, session_id: str) -> StateAnswer:
        return await self._call(StateAnswer, "GET", f"{_path(session_id)}/state")

    async def set_state(
        self, session_id: str, changes: JsonObject, *, idempotency_key: str | None = None
    ) -> StateAnswer:
        body = StatePatch(state=changes)
        return await self._call(StateAnswer, "PATCH", f"{_path(session_id)}/state", body=body, **_once(idempotency_key))

    async def set_status(
        self, session_id: str, status: SessionStatus, *, idempotency_key: str | None = None
    ) -> Updated:
        body = StatusChange(status=status)
        return await self._call(Updated, "PATCH", f"{_path(session_id)}/status", body=body, **_once(idempotency_key))

    async def resume(self, session_id: str) -> SessionResumed:
        """Makes an expired session active again; an active one stays as it is."""
        return await self._call(SessionResumed, "POST", f"{_path(session_id)}/resume", repeatable=True)

    async def acquire_lease(
        self, session_id: str, holder: str, *, ttl_seconds: float = 30, idempotency_key: str | None = None
    ) -> Lease:
        """Conflict while somebody else holds it."""
        body = AcquireLease(holder=holder, ttl_seconds=ttl_seconds)
        return await self._call(Lease, "POST", f"{_path(session_id)}/lease", body=body, **_once(idempotency_key))

    async def renew_lease(
        self, session_id: str, fencing_token: int, *, ttl_seconds: float = 30, idempotency_key: str | None = None
    ) -> Lease:
        """Conflict when it was lost."""
        body = RenewLease(fencing_token=fencing_token, ttl_seconds=ttl_seconds)
        return await self._call(Lease, "PUT", f"{_path(session_id)}/lease/renew", body=body, **_once(idempotency_key))

    async def release_lease(
        self, session_id: str, fencing_token: int, *, idempotency_key: str | None = None
    ) -> Deleted:
        params = {"fencing_token": fencing_token}
        return await self._call(
            Deleted, "DELETE", f"{_path(session_id)}/lease", params=params, **_once(idempotency_key)
        )

    async def search(
        self, text: str, *, user_id: str | None = None, session_id: str | None = None, role: Role | None = None,
        limit: int | None = None, cursor: str | None = None,
    ) -> SearchPage:  # fmt: skip
        """Messages that hold all of the words, the latest first; "words in quotes" stand side by side."""
        params = {
            "q": text, "user_id": user_id, "session_id": session_id, "role": role, "limit": limit, "cursor": cursor,
        }  # fmt: skip
        return await self._call(SearchPage, "GET", "/sessions/search", params=params)

    async def export(self, session_id: str) -> SessionExport:
        """A session with everything in it, as of one moment."""
        return await self._call(SessionExport, "GET", f"{_path(session_id)}/export", timeout_seconds=300)

    async def import_(self, session: SessionExport, *, idempotency_key: str | None = None) -> SessionImported:
        """Makes a session of an export, in one's own tenant. Conflict when its id exists."""
        return await self._call(
            SessionImported, "POST", "/sessions/import", body=session, timeout_seconds=300, **_once(idempotency_key)
        )

    async def back_up(self) -> BackupMade:
        """Copies the service's SQLite file beside it (scope `admin`). Conflict when sessions are in Postgres."""
        return await self._call(BackupMade, "POST", "/sessions/backup")

    async def clean_up(
        self, *, older_than_days: int = 7, user_id: str | None = None, purge: bool = False, dry_run: bool = False
    ) -> SessionsCleanedUp:
        """Archives (or purges) completed sessions that lie idle for so long; may be repeated."""
        body = CleanUpSessions(older_than_days=older_than_days, user_id=user_id, purge=purge, dry_run=dry_run)
        return await self._call(SessionsCleanedUp, "POST", "/sessions/cleanup", body=body, repeatable=True)

    async def erase(self, user_id: str) -> SessionsErased:
        """Everything of one person: all sessions, and the state under `user:`."""
        params = {"user_id": user_id}
        return await self._call(SessionsErased, "DELETE", "/sessions", params=params, timeout_seconds=300)

    async def delete(self, session_id: str, *, purge: bool = False) -> Deleted:
        """Archives the session; with `purge` it is erased."""
        params = {"purge": True if purge else None}
        return await self._call(Deleted, "DELETE", _path(session_id), params=params)


def _path(session_id: str) -> str:
    return f"/sessions/{segment(session_id)}"


def _once(idempotency_key: str | None) -> dict[str, Any]:
    """What a call needs that is done once, however often it is sent."""
    return {} if idempotency_key is None else {"headers": {"Idempotency-Key": idempotency_key}, "repeatable": True}
