"""The index follows the documents that it is shown."""

from datetime import UTC, datetime

import pytest

from bureau_contracts.registry import AgentRecord, Capabilities, ChangeType, Kind
from services.registry.document import Document, Edit
from services.registry.shortlist import UNREAD, Shortlist
from tests.registry_records import STAMP, drop, put

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def agent(name: str, *examples: str) -> AgentRecord:
    return AgentRecord(
        name=name,
        http="http://agent/turn",
        capabilities=Capabilities(example_queries=list(examples)),
        revision=1,
        registered_at=NOW,
        updated_at=NOW,
    )


def found(shortlist: Shortlist, query: str) -> list[str]:
    return [candidate.name for candidate in shortlist.search(query, 5, lambda agent: agent.enabled).candidates]


def test_agents_come_change_and_go_with_the_document() -> None:
    shortlist = Shortlist(0.5)
    assert found(shortlist, "zirconium") == []
    one = put(Document(), agent("first", "melt zirconium"))
    shortlist.follow(one)
    assert found(shortlist, "zirconium") == ["first"]
    two = put(one, agent("second", "polish quartz"))
    shortlist.follow(two)
    assert found(shortlist, "zirconium") == ["first"]
    assert found(shortlist, "quartz") == ["second"]
    changed = put(two, agent("first", "weigh plutonium"))
    shortlist.follow(changed)
    assert found(shortlist, "zirconium") == []
    assert found(shortlist, "plutonium") == ["first"]
    shortlist.follow(drop(changed, "first"))
    assert found(shortlist, "plutonium") == []
    assert found(shortlist, "quartz") == ["second"]


def test_skipping_documents_loses_nothing() -> None:
    shortlist = Shortlist(0.5)
    both = put(Document(), agent("first", "melt zirconium"), agent("second", "polish quartz"))
    shortlist.follow(both)
    shortlist.follow(put(drop(drop(both, "first"), "second"), agent("second", "weigh plutonium")))
    assert found(shortlist, "zirconium") == found(shortlist, "quartz") == []
    assert found(shortlist, "plutonium") == ["second"]


def test_more_changes_than_may_wait_are_all_found() -> None:
    shortlist, document = Shortlist(0.5), Document()
    for turn in ("melt", "polish"):
        for number in range(3 * UNREAD):
            document = put(document, agent(f"agent-{number}", f"{turn} stone{number}"))
            shortlist.follow(document)
    for number in range(UNREAD):
        document = drop(document, f"agent-{3 * number}")
        shortlist.follow(document)
    assert found(shortlist, "melt") == []
    for number in range(3 * UNREAD):
        first = found(shortlist, f"polish stone{number}")[0]
        assert (first == f"agent-{number}") is (number % 3 != 0)


def test_an_agent_that_comes_back_before_anybody_asked_is_found_as_it_is_now() -> None:
    shortlist = Shortlist(0.5)
    document = put(Document(), agent("first", "melt zirconium"))
    shortlist.follow(document)
    document = drop(document, "first")
    shortlist.follow(document)
    shortlist.follow(put(document, agent("first", "polish quartz")))
    assert found(shortlist, "zirconium") == []
    assert found(shortlist, "quartz") == ["first"]


def test_a_switch_that_changes_no_word_of_an_agent_is_seen_by_the_next_search() -> None:
    shortlist = Shortlist(0.5)
    document = put(Document(), agent("first", "melt zirconium"))
    shortlist.follow(document)
    assert found(shortlist, "zirconium") == ["first"]
    document = put(document, document.agents["first"].model_copy(update={"enabled": False}))
    shortlist.follow(document)
    assert found(shortlist, "zirconium") == []
    shortlist.follow(put(document, document.agents["first"].model_copy(update={"enabled": True})))
    assert found(shortlist, "zirconium") == ["first"]


def test_agents_that_are_not_wanted_are_no_candidates() -> None:
    shortlist = Shortlist(0.5)
    off = agent("first", "melt zirconium").model_copy(update={"enabled": False})
    shortlist.follow(put(Document(), off))
    assert found(shortlist, "melt zirconium") == []


def test_agents_that_were_deleted_and_forgotten_at_once_are_found_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.registry.document.DELETED", 1)
    shortlist, names = Shortlist(0.5), ("first", "second", "third")
    document = put(Document(), *(agent(name, "melt zirconium") for name in names))
    shortlist.follow(document)
    shortlist.follow(document.edited([Edit(Kind.AGENT, name, ChangeType.DELETED, None) for name in names], STAMP))
    assert found(shortlist, "zirconium") == []
