"""What a change makes of a session."""

from datetime import timedelta

import pytest

from bureau_contracts.sessions import Context, Lifecycle, NewInvocation, NewMessage, Role, SessionStatus
from services.sessions.edits import Edit, apply
from services.sessions.errors import SessionArchived
from services.sessions.scopes import merged
from tests.unit.sessions.records import NOW, a_record

LATER = NOW + timedelta(minutes=1)
HELLO = NewMessage(role=Role.USER, content="hello")
ASKED = NewInvocation(agent_name="tickets", query="?")


def test_messages_go_on_where_the_session_ends() -> None:
    write = apply(a_record(message_count=7), Edit(messages=[HELLO, HELLO]), LATER)
    assert [message.seq for message in write.messages] == [8, 9]
    assert len({message.message_id for message in write.messages}) == 2
    assert write.record.session.message_count == 9


def test_a_change_counts_once_whatever_is_in_it() -> None:
    edit = Edit([HELLO], [ASKED], Context(last_query="?"), {"a": 1}, SessionStatus.EXECUTING)
    after = apply(a_record(), edit, LATER).record
    assert (after.session.version, after.invocation_count, after.context.last_query) == (2, 1, "?")
    assert (after.session.state, after.session.status) == ({"a": 1}, SessionStatus.EXECUTING)


def test_only_what_was_said_or_done_is_activity() -> None:
    assert apply(a_record(), Edit(messages=[HELLO]), LATER).record.session.last_activity == LATER
    assert apply(a_record(), Edit(invocations=[ASKED]), LATER).record.session.last_activity == LATER
    quiet = apply(a_record(), Edit(state={"a": 1}), LATER).record.session
    assert (quiet.last_activity, quiet.updated_at) == (NOW, LATER)


def test_time_never_goes_back_when_a_clock_does() -> None:
    write = apply(a_record(updated_at=LATER), Edit(messages=[HELLO]), NOW)
    assert write.messages[0].timestamp == write.record.session.updated_at == LATER


def test_what_names_no_trace_gets_that_of_the_request() -> None:
    given = NewMessage(role=Role.USER, trace_id="ab" * 16)
    write = apply(a_record(), Edit([HELLO, given], [ASKED], trace_id="cd" * 16), LATER)
    assert [message.trace_id for message in write.messages] == ["cd" * 16, "ab" * 16]
    assert write.invocations[0].trace_id == "cd" * 16


def test_state_keys_are_set_deleted_and_temporary_ones_dropped() -> None:
    assert merged({"a": 1, "b": 2}, {"a": None, "c": {"d": None}, "temp:x": 1}) == {"b": 2, "c": {"d": None}}


def test_an_archived_session_is_not_edited() -> None:
    with pytest.raises(SessionArchived):
        apply(a_record(lifecycle=Lifecycle.ARCHIVED), Edit(messages=[HELLO]), LATER)
