"""What MCP servers' annotations say of risk, and which of their tools are left out."""

from typing import Any

import pytest
from mcp_types import Tool, ToolAnnotations

from bureau_contracts.risk import Risk
from services.registry.mcp_client import MOST_SCHEMA_BYTES, _usable, is_idempotent, risk_of


@pytest.mark.parametrize(
    ("hints", "risk"),
    [
        ({"title": "Only a title"}, None),
        ({"readOnlyHint": True}, Risk.READ),
        ({"readOnlyHint": True, "destructiveHint": True}, Risk.READ),
        ({"readOnlyHint": False}, Risk.CRITICAL),
        ({"readOnlyHint": False, "destructiveHint": False}, Risk.WRITE),
        ({"destructiveHint": False}, Risk.WRITE),
        ({"destructiveHint": True}, Risk.CRITICAL),
    ],
)
def test_annotations_mean_what_the_protocol_says_of_them(hints: dict[str, Any], risk: Risk | None) -> None:
    assert risk_of(ToolAnnotations.model_validate(hints)) is risk


def test_without_annotations_nothing_is_known() -> None:
    assert risk_of(None) is None
    assert not is_idempotent(None)


@pytest.mark.parametrize(
    ("hints", "idempotent"),
    [
        ({"title": "Only a title"}, False),
        ({"readOnlyHint": True}, True),
        ({"readOnlyHint": True, "idempotentHint": False}, True),
        ({"idempotentHint": True}, True),
        ({"destructiveHint": True, "idempotentHint": True}, True),
        ({"idempotentHint": False}, False),
    ],
)
def test_annotations_say_what_may_be_repeated(hints: dict[str, Any], idempotent: bool) -> None:
    assert is_idempotent(ToolAnnotations.model_validate(hints)) is idempotent


def tool(name: str, **fields: Any) -> Tool:
    return Tool.model_validate({"name": name, "inputSchema": {"type": "object"}, **fields})


def test_tools_that_cannot_be_named_or_kept_are_left_out_and_counted() -> None:
    large = {"type": "object", "x": "x" * MOST_SCHEMA_BYTES}
    tools = [tool("a"), tool("a"), tool("b\nc"), tool(""), tool("d" * 129), tool("large", inputSchema=large)]
    offers = _usable(tools)
    assert [offer.name for offer in offers.tools] == ["a"]
    assert offers.remark == "tools left out: 4 with unusable or double names, 1 with too large parameters"


def test_descriptions_are_text_of_a_bounded_length() -> None:
    (offer,) = _usable([tool("a", description="one\x1b[31m\ntwo" + "x" * 9000)]).tools
    assert offer.description.startswith("one[31m\ntwo")
    assert len(offer.description) == 4000
