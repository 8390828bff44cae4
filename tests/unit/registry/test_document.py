"""The document: every change is counted, kept within a bound, and leaves what was read as it is."""

from datetime import UTC, datetime

import pytest

from bureau_contracts.prompts import PromptRecord, PromptVersion
from bureau_contracts.registry import AgentRecord, ChangeType, Kind
from services.registry.document import Document, Edit, Stamp
from tests.registry_records import drop, put

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def agent(name: str, description: str = "") -> AgentRecord:
    return AgentRecord(
        name=name, description=description, http="http://x/turn", revision=7, registered_at=NOW, updated_at=NOW
    )


VERSION = PromptVersion(version=1, text="x", variables=[], created_at=NOW)
PROMPT = PromptRecord(name="tickets", labels={"latest": 1}, versions=[VERSION], revision=7)


def test_every_change_is_counted_for_its_thing_and_for_the_whole() -> None:
    document = put(Document(), agent("a"), agent("b"), agent("a", "changed"))
    assert (document.seq, document.agents["a"].revision, document.agents["b"].revision) == (3, 2, 1)
    kept = document.kept(Kind.AGENT, "a")
    assert [(each.revision, each.seq, each.by) for each in kept] == [(1, 1, "acme/ann"), (2, 3, "acme/ann")]
    assert kept[-1].record is document.agents["a"]


def test_what_changed_last_comes_first() -> None:
    document = drop(put(Document(), agent("a"), agent("b"), PROMPT, agent("a", "changed")), "b")
    found = [(kind, name, kept[-1].seq) for kind, name, kept in document.newest_first()]
    assert found == [(Kind.AGENT, "b", 5), (Kind.AGENT, "a", 4), (Kind.PROMPT, "tickets", 3)]


def test_revisions_are_kept_within_a_bound_and_of_a_prompt_the_newest_alone() -> None:
    document = Document()
    for number in range(9):
        document = document.put(agent("a", str(number)), ChangeType.UPDATED, Stamp(NOW, keep=3))
        document = document.put(PROMPT, ChangeType.UPDATED, Stamp(NOW, keep=3))
    assert [each.revision for each in document.kept(Kind.AGENT, "a")] == [7, 8, 9]
    assert [each.revision for each in document.kept(Kind.PROMPT, "tickets")] == [9]


def test_a_name_that_comes_back_goes_on_counting() -> None:
    document = put(drop(put(Document(), agent("a")), "a"), agent("a"))
    assert document.agents["a"].revision == 3
    assert [each.change for each in document.kept(Kind.AGENT, "a")] == ["updated", "deleted", "updated"]


def test_many_edits_are_one_change_and_what_was_read_stays() -> None:
    before = put(Document(), agent("b"))
    edits = [
        Edit(Kind.AGENT, "c", ChangeType.IMPORTED, agent("c")),
        Edit(Kind.AGENT, "a", ChangeType.IMPORTED, agent("a")),
        Edit(Kind.AGENT, "b", ChangeType.DELETED, None),
    ]
    after = before.edited(edits, Stamp(NOW))
    assert (list(after.agents), after.seq) == (["a", "c"], 4)
    assert (list(before.agents), before.seq, len(before.kept(Kind.AGENT, "b"))) == (["b"], 1, 1)


def test_after_a_loss_nothing_has_a_position_that_somebody_may_know() -> None:
    document = put(Document(), agent("a")).after_a_loss()
    assert document.told_from == document.seq > 1_000_000
    assert put(document, agent("b")).seq == document.seq + 1


def test_of_deleted_things_a_bounded_number_is_kept_and_the_first_deleted_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.registry.document.DELETED", 20)
    document = put(Document(), agent("stays"), PROMPT)
    for number in range(200):
        document = drop(put(document, agent(f"a-{number}")), f"a-{number}")
        assert len(document.revisions) <= 2 + 20
    assert {"stays", "tickets", "a-199", "a-190"} <= {name for _, name, _ in document.newest_first()}
    assert document.kept(Kind.AGENT, "a-170") == ()
    gone = [number for number in range(200) if not document.kept(Kind.AGENT, f"a-{number}")]
    assert gone == list(range(len(gone))), "the first deleted went first"
    assert document.told_from == 2 * len(gone) + 2, "its deletion's position: who is there has been told"


def test_what_is_alive_is_never_forgotten_however_many_go_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.registry.document.DELETED", 20)
    names = [f"a-{number}" for number in range(300)]
    before = put(Document(), *map(agent, names))
    after = before.edited([Edit(Kind.AGENT, name, ChangeType.DELETED, None) for name in names[:200]], Stamp(NOW))
    assert list(after.agents) == sorted(names[200:])
    assert len(after.revisions) == 100 + 20 - 2
    assert all(after.kept(Kind.AGENT, name) for name in names[200:])
    assert set(after.changed_since(before, Kind.AGENT)) >= set(names[:200]), "who follows must hear of all of them"
