"""A2A agent cards: what we say of an agent, and what we take from others."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from a2a.types import AgentCard
from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]  # it ships no types

from bureau_contracts.registry import AgentRecord
from services.registry.agent_cards import NotACard, card_of, card_url, checked

NOW = datetime(2026, 1, 1, tzinfo=UTC)
V1 = {"name": "it", "supportedInterfaces": [{"url": "http://it/a2a"}], "skills": [{"id": "s", "examples": ["hi"]}]}
V03 = {"name": "it", "url": "http://it/", "protocolVersion": "0.3.0", "preferredTransport": "JSONRPC", "new": [1]}


def agent(**fields: Any) -> AgentRecord:
    return AgentRecord(name="it", revision=3, registered_at=NOW, updated_at=NOW, **fields)


@pytest.mark.parametrize(
    "record",
    [
        agent(a2a="http://it/a2a", tags=["t"], capabilities={"skills": ["one", "two"], "example_queries": ["hi"]}),
        agent(http="http://it/turn"),
        agent(factory_module="m", factory_function="f", description="Words."),
    ],
)
def test_our_card_is_one_that_the_protocols_own_library_reads(record: AgentRecord) -> None:
    card = ParseDict(card_of(record), AgentCard())
    assert card.name == "it"
    assert card.version == "3"
    assert [each.url for each in card.supported_interfaces] == ([record.a2a] if record.a2a else [])
    assert card.skills
    assert list(card.skills[0].examples) == record.capabilities.example_queries


@pytest.mark.parametrize("card", [V1, V03])
def test_cards_of_both_versions_are_taken_as_they_are(card: dict[str, Any]) -> None:
    assert checked(json.dumps(card).encode()) == card


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"[]", b"null", b"{}", b'{"name": "it"}', b'{"name": "it", "url": "file:///etc/passwd"}',
        b'{"name": "", "url": "http://it"}', b'{"name": "it", "url": "http://it", "skills": [{"id": 1}]}',
        b'{"name": "it", "url": "http://it", "x": NaN}', b"[" * 100_000, b"\xff",
        b'{"name": "it", "url": "http://it", "name": "other"}',
    ],
)  # fmt: skip
def test_what_is_no_card_is_refused_with_a_reason(body: bytes) -> None:
    with pytest.raises(NotACard, match="its card is not"):
        checked(body)


def test_a_card_is_at_its_well_known_place_or_where_the_url_says() -> None:
    assert card_url("http://it/a2a/") == "http://it/a2a/.well-known/agent-card.json"
    assert card_url("http://it/cards/it.json") == "http://it/cards/it.json"
