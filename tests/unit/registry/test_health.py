"""Whether agents can be asked: what is looked at, what is reported, and what that means after a change."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from bureau_contracts.registry import AgentRecord, Availability, ReportHealth
from kit.errors import Forbidden, NotFound
from kit.identity import Principal
from kit.tasks import background
from services.registry.document import Document
from services.registry.health import REPORT, Card, Healths, Looked
from services.registry.store_memory import MemoryStore
from tests.fakes import FixedClock
from tests.registry_records import drop, put
from tests.waiting import eventually

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUNTIME = Principal("acme", "runtime", scopes=frozenset({REPORT}))
WRITER = Principal("acme", "ann", scopes=frozenset({"registry:write"}))


def agent(name: str = "it", **fields: Any) -> AgentRecord:
    said = fields or {"http": f"http://{name}/turn"}
    return AgentRecord(name=name, revision=1, registered_at=NOW, updated_at=NOW, **said)


def factory(**fields: Any) -> AgentRecord:
    return agent(factory_module="m", factory_function="f", **fields)


class World:
    """`LookAt` over agents that are there or not."""

    def __init__(self) -> None:
        self.away = ""
        self.looked: list[tuple[str, Card | None]] = []

    async def look(self, agent: AgentRecord, known: Card | None) -> Looked:
        self.looked.append((agent.name, known))
        await asyncio.sleep(0)
        if self.away:
            return Looked(Availability.UNAVAILABLE, self.away, known)
        return Looked(Availability.AVAILABLE, "", Card({"name": agent.name}, '"1"', NOW) if agent.a2a else None)


class Room:
    def __init__(self, document: Document, seconds: float) -> None:
        self.store, self.world = MemoryStore(document), World()
        self.healths = Healths(self.store, self.world.look, FixedClock(), seconds)

    def is_(self, availability: Availability) -> bool:
        return self.healths.of(self.store.document.agents["it"]).availability is availability

    async def put(self, record: AgentRecord) -> None:
        await self.store.commit(lambda document: put(document, record))

    def report(self, availability: Availability, revision: int, who: Principal = RUNTIME) -> Availability:
        said = ReportHealth(revision=revision, availability=availability, reason="no such module")
        return self.healths.report(who, "it", said).availability


@asynccontextmanager
async def room(*records: AgentRecord, seconds: float = 1000) -> AsyncIterator[Room]:
    made = Room(put(Document(), *records), seconds)
    async with background(made.healths.follow(), made.healths.rounds.run()):
        await asyncio.sleep(0)
        yield made


async def test_a_remote_agent_is_looked_at_when_it_comes_and_again_and_again() -> None:
    async with room(seconds=0.01) as here:
        await here.put(agent())
        await eventually(lambda: here.is_(Availability.AVAILABLE))
        here.world.away = "it cannot be reached"
        await eventually(lambda: here.is_(Availability.UNAVAILABLE))
        assert here.healths.of(here.store.document.agents["it"]).reason == "it cannot be reached"


async def test_each_failure_makes_the_pause_longer_up_to_ten_minutes() -> None:
    here = Room(put(Document(), agent()), 30)
    here.world.away = "away"
    pauses = [await here.healths._ask("it") for _ in range(12)]
    assert pauses == [30, 60, 120, 240, 480, 600, 600, 600, 600, 600, 600, 600]
    here.world.away = ""
    assert await here.healths._ask("it") == 30


async def test_an_edit_keeps_what_is_known_and_another_address_does_not() -> None:
    async with room(agent()) as here:
        await eventually(lambda: here.is_(Availability.AVAILABLE))
        await here.put(agent(http="http://it/turn", description="new words"))
        assert here.is_(Availability.AVAILABLE)
        await here.put(agent(http="http://elsewhere/turn"))
        assert here.is_(Availability.UNKNOWN)
        await eventually(lambda: here.is_(Availability.AVAILABLE))


async def test_disabled_agents_and_factories_are_left_alone_and_the_gone_forgotten() -> None:
    async with room(factory()) as here:
        await here.put(agent(http="http://it/turn", enabled=False))
        await here.put(agent("other"))
        await eventually(lambda: bool(here.world.looked))
        await here.store.commit(lambda document: drop(document, "other"))
        await eventually(lambda: "other" not in here.healths._seen)
    assert {name for name, _ in here.world.looked} == {"other"}


async def test_a_runtimes_report_counts_for_the_revision_that_it_built() -> None:
    async with room(factory()) as here:
        assert here.report(Availability.UNAVAILABLE, 1) is Availability.UNAVAILABLE
        assert here.report(Availability.AVAILABLE, 7) is Availability.UNAVAILABLE
        await here.put(factory(factory_params={"x": 1}))
        assert here.is_(Availability.UNKNOWN)
        assert here.report(Availability.UNAVAILABLE, 1) is Availability.UNKNOWN
        assert here.report(Availability.AVAILABLE, 2) is Availability.AVAILABLE


async def test_a_report_on_a_remote_agent_makes_the_registry_look() -> None:
    async with room(agent()) as here:
        await eventually(lambda: here.is_(Availability.AVAILABLE))
        here.world.away = "away"
        assert here.report(Availability.UNAVAILABLE, 1) is Availability.AVAILABLE
        await eventually(lambda: here.is_(Availability.UNAVAILABLE))


async def test_only_a_runtime_reports_and_only_on_what_it_sees() -> None:
    async with room(factory(owner="globex")) as here:
        with pytest.raises(Forbidden):
            here.report(Availability.AVAILABLE, 1, WRITER)
        with pytest.raises(NotFound):
            here.report(Availability.AVAILABLE, 1)


async def test_a_retry_forgets_a_factorys_health_and_looks_at_a_remote_agent() -> None:
    async with room(factory()) as here:
        here.report(Availability.UNAVAILABLE, 1)
        assert (await here.healths.retry(WRITER, "it")).availability is Availability.UNKNOWN
        here.world.away = "away"
        await here.put(agent())
        await eventually(lambda: here.is_(Availability.UNAVAILABLE))
        here.world.away = ""
        assert (await here.healths.retry(WRITER, "it")).availability is Availability.AVAILABLE
        with pytest.raises(Forbidden):
            await here.healths.retry(RUNTIME, "it")


async def test_the_card_that_is_known_is_handed_to_whoever_looks_and_survives_an_absence() -> None:
    async with room(agent(a2a="http://it/a2a")) as here:
        assert here.healths.card(WRITER, "it")[1] is None
        await here.healths.rounds.now("it")
        assert here.healths.card(WRITER, "it") == ({"name": "it"}, NOW)
        here.world.away = "away"
        await here.healths.retry(WRITER, "it")
        assert here.healths.card(WRITER, "it") == ({"name": "it"}, NOW)
    assert here.world.looked[-1][1] == Card({"name": "it"}, '"1"', NOW)
