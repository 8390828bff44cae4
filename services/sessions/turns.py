"""A turn: everything that one message set off, stored once. Pure rules, no I/O."""

import hashlib
import json
from dataclasses import replace
from datetime import datetime

from bureau_contracts.sessions import NewTurn, TurnStored
from services.sessions.edits import Edit, apply
from services.sessions.errors import TurnDiffers, VersionConflict
from services.sessions.leases import admit_writer
from services.sessions.record import Current, SessionRecord, StoredTurn, Write
from services.sessions.statuses import require_writable


def digest_of(turn: NewTurn) -> str:
    """The same for the same content. What guards the write is none of it: a repeated turn may carry a newer token."""
    guards = {"fencing_token", "expected_version"}
    content = turn.model_dump(mode="json", exclude={"turn_id", *guards}, exclude_defaults=True)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def store_turn(
    current: Current, turn: NewTurn, digest: str, trace_id: str | None, now: datetime
) -> tuple[TurnStored, Write | None]:
    """What to answer and what to write. A turn that is stored already is answered as it was the first time.

    Raises TurnDiffers, SessionArchived, StaleWriter or VersionConflict.
    """
    if current.turn is not None:
        if current.turn.digest != digest:
            raise TurnDiffers(turn.turn_id)
        return current.turn.answer, None
    require_writable(current.record.session)
    record = admit_writer(current.record, turn.fencing_token, now)
    if turn.expected_version not in (None, record.session.version):
        raise VersionConflict(turn.expected_version, record.session.version)
    edit = Edit(turn.messages, turn.invocations, turn.context, turn.state, turn.status, trace_id)
    write = apply(record, edit, now)
    answer = _answer(record, write, turn)
    stored = StoredTurn(turn.turn_id, digest, answer, write.record.session.updated_at)
    return answer, replace(write, turn=stored)


def _answer(before: SessionRecord, write: Write, turn: NewTurn) -> TurnStored:
    after = write.record.session
    return TurnStored(
        first_seq=before.session.message_count + 1 if write.messages else None,
        last_seq=after.message_count if write.messages else None,
        version=after.version,
        answer=turn.answer,
    )
