"""What a change of a session's content makes of it: the next numbers, the merged state, the times. No I/O."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bureau_contracts.sessions import Context, Invocation, Message, NewInvocation, NewMessage, SessionStatus
from bureau_contracts.shapes import JsonObject
from kit.ids import new_id
from services.sessions import scopes
from services.sessions.record import SessionRecord, Undo, Write
from services.sessions.scopes import merged
from services.sessions.statuses import require_writable


@dataclass(frozen=True, slots=True)
class Edit:
    """The parts of a session that are to change. What is empty stays as it is."""

    messages: Sequence[NewMessage] = ()
    invocations: Sequence[NewInvocation] = ()
    context: Context | None = None
    state: JsonObject | None = None
    status: SessionStatus | None = None
    """Whether it may follow the present one is for the caller to check: it depends on what the edit is part of."""
    trace_id: str | None = None
    """Of messages and invocations that name none."""


def apply(record: SessionRecord, edit: Edit, now: datetime) -> Write:
    """Everything in one edit happens at one time, never before what happened last.

    Raises SessionArchived or SessionExpired.
    """
    session = record.session
    require_writable(session)
    at = max(now, session.updated_at)
    messages = [
        _message(new, session.message_count + number, edit.trace_id, at)
        for number, new in enumerate(edit.messages, start=1)
    ]
    invocations = [_invocation(new, edit.trace_id, at) for new in edit.invocations]
    changed: dict[str, Any] = {
        "version": session.version + 1,
        "updated_at": at,
        "message_count": session.message_count + len(messages),
    }
    if messages or invocations:
        changed["last_activity"] = at
    if edit.state is not None:
        changed["state"] = scopes.own(merged(session.state, edit.state))
    shared = scopes.shared(edit.state) if edit.state else None
    if edit.status is not None:
        changed["status"] = edit.status
    after = replace(
        record,
        session=session.model_copy(update=changed),
        context=record.context if edit.context is None else edit.context,
        invocation_count=record.invocation_count + len(invocations),
        shared=merged(record.shared, {**shared.user, **shared.app}) if shared else record.shared,
    )
    return Write(after, messages, invocations, undo=_undo(record, edit, after.session.message_count), shared=shared)


def _undo(record: SessionRecord, edit: Edit, message_count: int) -> Undo | None:
    if edit.state is None and edit.context is None:
        return None
    before = record.session.state
    state = {
        key: before.get(key) for key, value in scopes.own(edit.state or {}).items() if not _same(before.get(key), value)
    }
    context = None if edit.context in (None, record.context) else record.context
    return Undo(message_count, state, context) if state or context is not None else None


def _same(one: Any, other: Any) -> bool:
    """As JSON: Python takes 1, 1.0 and True for equal."""
    return bool(one == other) and json.dumps(one) == json.dumps(other)


def _message(new: NewMessage, seq: int, trace_id: str | None, at: datetime) -> Message:
    given = {**vars(new), "trace_id": new.trace_id or trace_id}
    return Message(**given, seq=seq, message_id=new_id("msg"), timestamp=at)


def _invocation(new: NewInvocation, trace_id: str | None, at: datetime) -> Invocation:
    given = {**vars(new), "trace_id": new.trace_id or trace_id}
    return Invocation(**given, timestamp=at)
