"""A turn is stored once, by the writer alone."""

from dataclasses import replace

import pytest

from bureau_contracts.sessions import Lifecycle, NewMessage, NewTurn, Role, SessionStatus
from services.sessions.errors import SessionArchived, StaleWriter, TurnDiffers, VersionConflict
from services.sessions.leases import acquire
from services.sessions.record import Current, SessionRecord
from services.sessions.turns import digest_of, store_turn
from tests.unit.sessions.records import NOW, a_record

MESSAGES = [NewMessage(role=Role.USER, content="hello"), NewMessage(role=Role.ASSISTANT, content="hi")]
TURN = NewTurn(turn_id="turn-1", messages=MESSAGES, answer={"reply": "hi"})


def stored(record: SessionRecord, turn: NewTurn = TURN) -> Current:
    """The session as it is once the turn is stored."""
    _, write = store_turn(Current(record), turn, digest_of(turn), None, NOW)
    assert write is not None
    return Current(write.record, write.turn)


def test_a_turn_answers_where_its_messages_stand() -> None:
    answer, _ = store_turn(Current(a_record(message_count=3)), TURN, digest_of(TURN), None, NOW)
    assert (answer.first_seq, answer.last_seq, answer.version, answer.answer) == (4, 5, 2, {"reply": "hi"})


def test_a_turn_without_messages_answers_no_place() -> None:
    turn = NewTurn(turn_id="turn-1")
    answer, write = store_turn(Current(a_record()), turn, digest_of(turn), None, NOW)
    assert (answer.first_seq, answer.last_seq, answer.version) == (None, None, 2)
    assert write is not None


def test_the_same_turn_again_is_answered_as_before_and_writes_nothing() -> None:
    now = stored(a_record())
    assert now.turn is not None
    assert store_turn(now, TURN, digest_of(TURN), None, NOW) == (now.turn.answer, None)


def test_a_repeated_turn_is_answered_whoever_writes_by_now_and_when_the_session_is_archived() -> None:
    now = stored(a_record())
    taken = replace(now, record=acquire(now.record, "another", 30, NOW))
    assert store_turn(taken, TURN, digest_of(TURN), None, NOW)[1] is None
    session = now.record.session.model_copy(update={"lifecycle": Lifecycle.ARCHIVED})
    archived = replace(now, record=replace(now.record, session=session))
    assert store_turn(archived, TURN, digest_of(TURN), None, NOW)[1] is None


def test_another_content_under_the_same_id_is_refused() -> None:
    other = TURN.model_copy(update={"messages": MESSAGES[:1]})
    with pytest.raises(TurnDiffers):
        store_turn(stored(a_record()), other, digest_of(other), None, NOW)


def test_the_digest_is_of_the_content_alone() -> None:
    same = TURN.model_copy(update={"turn_id": "turn-2", "fencing_token": 7, "expected_version": 9})
    reordered = NewTurn.model_validate({**TURN.model_dump(), "answer": {"b": 1, "a": 2}})
    assert digest_of(same) == digest_of(TURN)
    assert digest_of(reordered) == digest_of(reordered.model_copy(update={"answer": {"a": 2, "b": 1}}))
    assert digest_of(reordered) != digest_of(TURN)


def test_a_stale_writer_is_refused() -> None:
    held = acquire(a_record(), "one", 30, NOW)
    for token in (None, 0, 2):
        turn = TURN.model_copy(update={"fencing_token": token})
        with pytest.raises(StaleWriter):
            store_turn(Current(held), turn, digest_of(turn), None, NOW)
    assert stored(held, TURN.model_copy(update={"fencing_token": 1})).record.lease == held.lease


def test_a_turn_made_from_another_version_is_refused() -> None:
    record = a_record()
    for version in (record.session.version + 1, 7):
        turn = TURN.model_copy(update={"expected_version": version})
        with pytest.raises(VersionConflict):
            store_turn(Current(record), turn, digest_of(turn), None, NOW)
    turn = TURN.model_copy(update={"expected_version": record.session.version})
    assert stored(record, turn).record.session.version == record.session.version + 1


def test_a_repeated_turn_is_answered_although_the_session_went_on_since() -> None:
    turn = TURN.model_copy(update={"expected_version": 1})
    assert store_turn(stored(a_record(), turn), turn, digest_of(turn), None, NOW)[1] is None


def test_a_turn_ends_in_a_status_that_may_follow() -> None:
    turn = TURN.model_copy(update={"status": SessionStatus.COMPLETED})
    assert stored(a_record(), turn).record.session.status is SessionStatus.COMPLETED
    again = stored(a_record(status=SessionStatus.ERROR), turn)
    assert again.record.session.status is SessionStatus.COMPLETED


def test_a_new_turn_of_an_archived_session_is_refused() -> None:
    with pytest.raises(SessionArchived):
        store_turn(Current(a_record(lifecycle=Lifecycle.ARCHIVED)), TURN, digest_of(TURN), None, NOW)
