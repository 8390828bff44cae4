"""Contracts to rows and back, the same for every SQL adapter. JSON is text; the adapter says what a time is."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from bureau_contracts.sessions import Context, Invocation, Lease, Message, Session, TurnStored
from bureau_contracts.shapes import JsonObject
from services.sessions.record import (
    LeftBranch,
    Receipt,
    Segment,
    SessionRecord,
    SharedState,
    StoredSummary,
    StoredTurn,
    SummaryPlace,
    Undo,
)
from services.sessions.scopes import merged

Values = tuple[str | int | float | bool | datetime | None, ...]


# `json.dumps` with options of one's own makes an encoder for every call.
to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


APPENDED_TIMES, MESSAGE_TIMES = (0, 1), (14,)
"""Which of `appended_values` and `message_values` are times."""


JSON_COLUMNS = ("metadata", "state", "context", "lineage", "user_state", "app_state")
"""Of a session's row: what makes it large."""


class Row(Protocol):
    """A row of either driver: values by the name of their column."""

    def __getitem__(self, column: str, /) -> Any: ...


def fixed_values(record: SessionRecord) -> Values:
    """What never changes: tenant, session_id, user_id, created_at, incarnation, forked_from."""
    session = record.session
    return (
        session.tenant,
        session.session_id,
        session.user_id,
        session.created_at,
        record.incarnation,
        session.forked_from,
    )


def changing_values(record: SessionRecord) -> Values:
    """title, status, lifecycle, autonomy_level, updated_at, last_activity, message_count, invocation_count, version,
    last_fencing_token, lease_holder, lease_expires_at, metadata, state, context, branch, lineage."""
    session, lease = record.session, record.lease
    return (
        session.title,
        session.status.value,
        session.lifecycle.value,
        session.autonomy_level.value,
        session.updated_at,
        session.last_activity,
        session.message_count,
        record.invocation_count,
        session.version,
        record.last_fencing_token,
        lease.holder if lease else None,
        lease.expires_at if lease else None,
        to_json(session.metadata),
        to_json(session.state),
        to_json(dict(record.context)),
        session.branch,
        _lineage_json(record.lineage),
    )


def is_only_appended(before: SessionRecord, after: SessionRecord) -> bool:
    """Nothing but `appended_values` differs. What is the same object is the same: nobody changes one in place."""
    one, other = before.session, after.session
    return (
        other.state is one.state
        and after.context is before.context
        and other.metadata is one.metadata
        and after.lineage is before.lineage
        and after.lease is before.lease
        and after.last_fencing_token == before.last_fencing_token
        and other.status == one.status
        and other.lifecycle == one.lifecycle
        and other.branch == one.branch
        and other.title == one.title
        and other.autonomy_level == one.autonomy_level
    )


def appended_values(record: SessionRecord) -> Values:
    """updated_at, last_activity, message_count, invocation_count, version."""
    session = record.session
    return (
        session.updated_at,
        session.last_activity,
        session.message_count,
        record.invocation_count,
        session.version,
    )


def message_values(session: Session, message: Message) -> Values:
    """tenant, session_id, branch, seq, message_id, role, agent, content, tool_calls, tool_results, input_tokens,
    output_tokens, cost, trace_id, created_at, metadata."""
    return (
        session.tenant,
        session.session_id,
        session.branch,
        message.seq,
        message.message_id,
        message.role.value,
        message.agent,
        to_json(message.content),
        to_json([dict(call) for call in message.tool_calls]) if message.tool_calls else "[]",
        to_json([dict(result) for result in message.tool_results]) if message.tool_results else "[]",
        message.input_tokens,
        message.output_tokens,
        message.cost,
        message.trace_id,
        message.timestamp,
        to_json(message.metadata) if message.metadata else "{}",
    )


def invocation_values(session: Session, number: int, invocation: Invocation) -> Values:
    """tenant, session_id, number, agent_name, query, response, success, error_message, duration_ms, input_tokens,
    output_tokens, cost, trace_id, created_at."""
    return (
        session.tenant,
        session.session_id,
        number,
        invocation.agent_name,
        invocation.query,
        invocation.response,
        invocation.success,
        invocation.error_message,
        invocation.duration_ms,
        invocation.input_tokens,
        invocation.output_tokens,
        invocation.cost,
        invocation.trace_id,
        invocation.timestamp,
    )


def turn_values(session: Session, turn: StoredTurn) -> Values:
    """tenant, session_id, turn_id, digest, answer, created_at."""
    return (
        session.tenant,
        session.session_id,
        turn.turn_id,
        turn.digest,
        turn.answer.model_dump_json(),
        turn.stored_at,
    )


def receipt_values(session: Session, receipt: Receipt) -> Values:
    """tenant, session_id, turn_id, digest, answer, created_at."""
    return (session.tenant, session.session_id, receipt.name, receipt.digest, receipt.answer, receipt.stored_at)


def shared_changes(session: Session, shared: SharedState | None) -> list[tuple[str, JsonObject]]:
    """user_id ('' for everybody's) and what changes; always in this order, so that writers never wait in a circle."""
    if shared is None:
        return []
    return [(user, changes) for user, changes in ((session.user_id, shared.user), ("", shared.app)) if changes]


def merged_json(state: str, changes: JsonObject) -> str:
    return to_json(merged(_object(state), changes))


def undo_values(session: Session, undo: Undo) -> Values:
    """tenant, session_id, branch, at_seq, state, context."""
    context = None if undo.context is None else to_json(dict(undo.context))
    return (session.tenant, session.session_id, session.branch, undo.at_seq, to_json(undo.state), context)


def first_undo_values(session: Session, undo: Undo) -> Values:
    """at_seq, state, context, tenant, session_id. The store alone knows the branch that a new session writes to."""
    tenant, session_id, _, *values = undo_values(session, undo)
    return (*values, tenant, session_id)


def left_values(session: Session, left: LeftBranch) -> Values:
    """tenant, session_id, branch, lineage, message_count, left_at, state, context."""
    return (
        session.tenant,
        session.session_id,
        left.branch,
        _lineage_json(left.lineage),
        left.message_count,
        left.left_at,
        to_json(left.state),
        to_json(dict(left.context)),
    )


def summary_values(session: Session, summary: StoredSummary) -> Values:
    """tenant, session_id, branch, last_seq, digest, built_on_seq, built_on_digest, made_by, tokens_before,
    tokens_after, created_at, text."""
    return (
        session.tenant,
        summary.place.session_id,
        summary.place.branch,
        summary.place.last_seq,
        summary.digest,
        summary.built_on_seq,
        summary.built_on_digest,
        summary.made_by,
        summary.tokens_before,
        summary.tokens_after,
        summary.created_at,
        summary.text,
    )


def shown_values(record: SessionRecord) -> list[Values]:
    """tenant, session_id, branch, last_seq, shown_by: of what a new session shows of others."""
    session = record.session
    return [
        (session.tenant, segment.session_id, segment.branch, segment.last_seq, session.session_id)
        for segment in record.lineage
    ]


def session_of(row: Row) -> Session:
    return Session(
        session_id=row["session_id"],
        tenant=row["tenant"],
        user_id=row["user_id"],
        title=row["title"],
        status=row["status"],
        lifecycle=row["lifecycle"],
        autonomy_level=row["autonomy_level"],
        metadata=_object(row["metadata"]),
        state=_object(row["state"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        last_activity=row["last_activity"],
        message_count=row["message_count"],
        version=row["version"],
        branch=row["branch"],
        forked_from=row["forked_from"],
    )


def record_of(row: Row) -> SessionRecord:
    lease = None
    if row["lease_holder"] is not None:
        lease = Lease(
            fencing_token=row["last_fencing_token"], holder=row["lease_holder"], expires_at=row["lease_expires_at"]
        )
    context = Context.model_validate_json(row["context"])
    return SessionRecord(
        session_of(row),
        context,
        row["invocation_count"],
        row["last_fencing_token"],
        lease,
        incarnation=row["incarnation"],
        lineage=_lineage(row["lineage"]),
        shared={**_object(row["user_state"] or "{}"), **_object(row["app_state"] or "{}")},
    )


def message_of(row: Row) -> Message:
    return Message(
        seq=row["seq"],
        message_id=row["message_id"],
        role=row["role"],
        content=json.loads(row["content"]),
        agent=row["agent"],
        tool_calls=json.loads(row["tool_calls"]),
        tool_results=json.loads(row["tool_results"]),
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        cost=row["cost"],
        trace_id=row["trace_id"],
        timestamp=row["created_at"],
        metadata=_object(row["metadata"]),
    )


def invocation_of(row: Row) -> Invocation:
    return Invocation(
        agent_name=row["agent_name"],
        query=row["query"],
        response=row["response"],
        success=row["success"],
        error_message=row["error_message"],
        duration_ms=row["duration_ms"],
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        cost=row["cost"],
        trace_id=row["trace_id"],
        timestamp=row["created_at"],
    )


def turn_of(row: Row) -> StoredTurn:
    return StoredTurn(
        row["turn_id"], row["digest"], TurnStored.model_validate_json(row["answer"]), _time(row["created_at"])
    )


def receipt_of(row: Row) -> Receipt:
    return Receipt(row["turn_id"], row["digest"], row["answer"], _time(row["created_at"]))


def undo_of(row: Row) -> Undo:
    context = None if row["context"] is None else Context.model_validate_json(row["context"])
    return Undo(row["at_seq"], _object(row["state"]), context)


def left_of(row: Row) -> LeftBranch:
    return LeftBranch(
        row["branch"],
        _lineage(row["lineage"]),
        row["message_count"],
        _time(row["left_at"]),
        _object(row["state"]),
        Context.model_validate_json(row["context"]),
    )


def summary_of(row: Row) -> StoredSummary:
    return StoredSummary(
        place=SummaryPlace(row["session_id"], row["branch"], row["last_seq"]),
        digest=row["digest"],
        built_on_seq=row["built_on_seq"],
        built_on_digest=row["built_on_digest"],
        text=row["text"],
        made_by=row["made_by"],
        tokens_before=row["tokens_before"],
        tokens_after=row["tokens_after"],
        created_at=_time(row["created_at"]),
    )


def _time(at: str | datetime) -> datetime:
    """Of values that no model validates on their way out."""
    return datetime.fromisoformat(at) if isinstance(at, str) else at


def _lineage_json(lineage: Sequence[Segment]) -> str:
    return to_json([[each.session_id, each.branch, each.last_seq] for each in lineage]) if lineage else "[]"


def _lineage(text: str) -> tuple[Segment, ...]:
    return tuple(Segment(*each) for each in json.loads(text)) if text != "[]" else ()


def _object(text: str) -> JsonObject:
    value: JsonObject = json.loads(text)
    return value
