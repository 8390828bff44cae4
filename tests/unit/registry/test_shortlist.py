"""The index follows the documents that it is shown."""

from datetime import UTC, datetime

from bureau_contracts.registry import AgentRecord, Capabilities
from services.registry.document import Document
from services.registry.shortlist import Shortlist

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
    one = Document().with_agent(agent("first", "melt zirconium"))
    shortlist.follow(one)
    assert found(shortlist, "zirconium") == ["first"]
    two = one.with_agent(agent("second", "polish quartz"))
    shortlist.follow(two)
    assert found(shortlist, "zirconium") == ["first"]
    assert found(shortlist, "quartz") == ["second"]
    changed = two.with_agent(agent("first", "weigh plutonium"))
    shortlist.follow(changed)
    assert found(shortlist, "zirconium") == []
    assert found(shortlist, "plutonium") == ["first"]
    shortlist.follow(changed.without_agent("first"))
    assert found(shortlist, "plutonium") == []
    assert found(shortlist, "quartz") == ["second"]


def test_skipping_documents_loses_nothing() -> None:
    shortlist = Shortlist(0.5)
    both = Document().with_agent(agent("first", "melt zirconium")).with_agent(agent("second", "polish quartz"))
    shortlist.follow(both)
    shortlist.follow(both.without_agent("first").without_agent("second").with_agent(agent("second", "weigh plutonium")))
    assert found(shortlist, "zirconium") == found(shortlist, "quartz") == []
    assert found(shortlist, "plutonium") == ["second"]


def test_agents_that_are_not_wanted_are_no_candidates() -> None:
    shortlist = Shortlist(0.5)
    off = agent("first", "melt zirconium").model_copy(update={"enabled": False})
    shortlist.follow(Document().with_agent(off))
    assert found(shortlist, "melt zirconium") == []
