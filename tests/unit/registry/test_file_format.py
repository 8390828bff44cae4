"""The form of the file: older ones are read, and what does not fit together is damage."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from bureau_contracts.registry import Kind
from services.registry.file_format import Damaged, parse

MOMENT = "2026-01-01T00:00:00Z"


def record(name: str, revision: int = 1, **fields: Any) -> dict[str, Any]:
    times = {"registered_at": MOMENT, "updated_at": MOMENT, "updated_by": "acme/ann"}
    return {"name": name, "http": "http://x/turn", "revision": revision} | times | fields


def file(**fields: Any) -> bytes:
    return json.dumps({"version": "1.1.0", "last_updated": MOMENT, "agents": {}} | fields).encode()


def kept(**fields: Any) -> dict[str, Any]:
    return {"revision": 1, "seq": 1, "change": "registered", "at": MOMENT, "by": "acme/ann"} | fields


def test_a_file_of_form_1_0_gets_a_first_revision_of_each_agent() -> None:
    agents = {"b": record("b", 4), "a": record("a")}
    document = parse(file(version="1.0.0", agents=agents, tools={}, prompts={}))
    assert (list(document.agents), document.seq) == (["a", "b"], 2)
    (first,), (fourth,) = document.kept(Kind.AGENT, "a"), document.kept(Kind.AGENT, "b")
    assert (first.revision, first.change, first.by, first.seq) == (1, "registered", "acme/ann", 1)
    assert (fourth.revision, fourth.change, fourth.at) == (4, "updated", datetime(2026, 1, 1, tzinfo=UTC))
    assert fourth.record is document.agents["b"]


def test_an_agent_that_was_written_into_the_file_by_hand_is_a_change() -> None:
    agents = {"a": record("a"), "new": record("new")}
    document = parse(file(seq=5, agents=agents, revisions={"agent/a": [kept(seq=5)]}))
    assert document.seq == 6
    assert [name for _, name, _ in document.newest_first()] == ["new", "a"]


@pytest.mark.parametrize(
    "revisions",
    [
        {"agent/a": []},
        {"robot/a": [kept()]},
        {"agent/b": [kept()]},
        {"agent/a": [kept(change="deleted", record=record("a"))]},
        {"agent/a": [kept(), kept(revision=2, seq=2)]},
        {"agent/a": [kept(seq=0)]},
        {"agent/a": [kept(record={"name": "a"}), kept(revision=2)]},
    ],
)
def test_revisions_that_do_not_fit_are_damage(revisions: Any) -> None:
    with pytest.raises(Damaged):
        parse(file(agents={"a": record("a")}, revisions=revisions))
