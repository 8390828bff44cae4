"""What tool sources offer: the risk of each tool, and what is remembered when a source fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from bureau_contracts.registry import Kind
from bureau_contracts.risk import Risk
from bureau_contracts.tools import ToolRecord, ToolSource
from kit.tasks import background
from services.registry.document import Document
from services.registry.listing import Listings, NotListed, Offer, Offers, is_idempotent, risk_of
from services.registry.store_memory import MemoryStore
from tests.fakes import FixedClock
from tests.registry_records import drop, put
from tests.waiting import eventually

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def source(name: str = "files", **fields: Any) -> ToolRecord:
    said = {"source": "mcp_http", "url": f"http://{name}/mcp", **fields}
    return ToolRecord(name=name, revision=1, registered_at=NOW, updated_at=NOW, **said)


class Server:
    """`ReadOffers` that answers what it is told."""

    def __init__(self) -> None:
        self.tools: tuple[Offer, ...] = (Offer("read", risk=Risk.READ),)
        self.failure = ""
        self.asked: list[str] = []

    async def offers(self, record: ToolRecord) -> Offers:
        self.asked.append(record.name)
        await asyncio.sleep(0)
        if self.failure:
            raise NotListed(self.failure)
        return Offers(self.tools)


class Room:
    def __init__(self, document: Document, seconds: float) -> None:
        self.store, self.server = MemoryStore(document), Server()
        self.listings = Listings(self.store, self.server.offers, FixedClock(), seconds)

    def names(self, name: str = "files") -> list[str]:
        return [tool.name for tool in self.listings.of(self.store.document.tools[name], "acme").tools]

    async def put(self, record: ToolRecord) -> None:
        await self.store.commit(lambda document: put(document, record))


@asynccontextmanager
async def room(*records: ToolRecord, seconds: float = 300) -> AsyncIterator[Room]:
    made = Room(put(Document(), *records), seconds)
    async with background(made.listings.follow(), made.listings.rounds.run()):
        await asyncio.sleep(0)
        yield made


async def test_a_source_is_asked_when_it_comes_and_forgotten_when_it_goes() -> None:
    async with room() as here:
        await here.put(source())
        await eventually(lambda: here.names() == ["files.read"])
        await here.store.commit(lambda document: drop(document, "files", Kind.TOOL))
        await eventually(lambda: not here.listings._listed)
        await here.put(source(enabled=False))
        assert here.names() == []
    assert here.server.asked == ["files"]


async def test_sources_that_were_there_before_are_asked_after_the_start() -> None:
    async with room(source("a"), source("b")) as here:
        await eventually(lambda: sorted(here.server.asked) == ["a", "b"])


async def test_a_source_that_fails_keeps_what_it_offered_and_says_why() -> None:
    async with room(source()) as here:
        await here.listings.refresh("files")
        here.server.failure = "it cannot be reached"
        await here.listings.refresh("files")
        listing = here.listings.of(here.store.document.tools["files"], "acme")
        assert [tool.name for tool in listing.tools] == ["files.read"]
        assert listing.error == "it cannot be reached"
        assert listing.listed_at is not None
        here.server.failure = ""
        await here.listings.refresh("files")
        assert here.listings.of(here.store.document.tools["files"], "acme").error == ""


async def test_what_another_address_offered_does_not_count() -> None:
    async with room(source()) as here:
        await here.listings.refresh("files")
        here.server.failure = "it cannot be reached"
        await here.put(source(url="http://elsewhere/mcp"))
        assert here.names() == []
        await eventually(lambda: len(here.server.asked) == 2)


async def test_a_changed_risk_asks_nobody() -> None:
    async with room(source()) as here:
        await here.listings.refresh("files")
        await here.put(source(risk="critical"))
        tool = here.listings.of(here.store.document.tools["files"], "acme").tools[0]
        assert (tool.risk, tool.risk_from) == (Risk.CRITICAL, "source")
    assert here.server.asked == ["files"]


async def test_sources_are_asked_again_and_again() -> None:
    async with room(source(), seconds=0.01) as here:
        await eventually(lambda: len(here.server.asked) >= 3)


async def test_a_disabled_source_is_asked_by_hand_alone() -> None:
    async with room(source(enabled=False), seconds=0.01) as here:
        assert here.server.asked == []
        await here.listings.refresh("files")
        assert here.names() == ["files.read"]
        await here.put(source("other"))
        await eventually(lambda: here.server.asked.count("other") >= 2)
    assert here.server.asked.count("files") == 1


async def test_an_http_tool_lists_itself_and_nobody_is_asked() -> None:
    tool = source(source="http", parameters={"type": "object"}, description="Says the weather.")
    async with room(tool) as here:
        await here.listings.refresh("files")
        (offered,) = here.listings.of(tool, "acme").tools
        assert (offered.name, offered.parameters, offered.risk_from) == ("files", {"type": "object"}, "default")
        assert here.listings.of(tool, "acme", schemas=False).tools[0].parameters == {}
    assert here.server.asked == []


@pytest.mark.parametrize(
    ("fields", "annotated", "risk", "origin"),
    [
        ({}, None, Risk.WRITE, "default"),
        ({}, Risk.READ, Risk.READ, "annotation"),
        ({"risk": "critical"}, Risk.READ, Risk.CRITICAL, "source"),
        ({"risk": "critical", "risks": {"read": "write"}}, Risk.READ, Risk.WRITE, "override"),
        ({"risks": {"files.read": "critical"}}, Risk.READ, Risk.CRITICAL, "override"),
        ({"risks": {"read": "critical"}, "tenant_risks": {"acme": {"read": "read"}}}, None, Risk.READ, "tenant"),
        ({"tenant_risks": {"globex": {"read": "critical"}}}, Risk.READ, Risk.READ, "annotation"),
        ({"tenant_risks": {"acme": {"other": "critical"}}}, None, Risk.WRITE, "default"),
    ],
)
def test_the_nearest_word_on_a_tools_risk_wins(
    fields: dict[str, Any], annotated: Risk | None, risk: Risk, origin: str
) -> None:
    offer = Offer("read", risk=annotated)
    assert risk_of(source(**fields), "acme", offer, "files.read") == (risk, origin)


@pytest.mark.parametrize(
    ("fields", "annotated", "idempotent"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"idempotent": False}, True, False),
        ({"idempotent": True}, False, True),
    ],
)
def test_the_records_word_on_repeating_wins(fields: dict[str, Any], annotated: bool, idempotent: bool) -> None:
    assert is_idempotent(source(**fields), Offer("read", idempotent=annotated)) is idempotent


@pytest.mark.parametrize(
    ("method", "idempotent"), [("GET", True), ("PUT", True), ("DELETE", True), ("POST", False), ("PATCH", False)]
)
def test_an_http_tools_method_says_whether_it_may_be_repeated(method: str, idempotent: bool) -> None:
    record = source().model_copy(update={"source": ToolSource.HTTP, "method": method})
    assert is_idempotent(record, Offer("read")) is idempotent
