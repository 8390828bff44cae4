"""Builds that fail: remembered for a while, tried again when somebody asks, and told to the registry."""

from datetime import UTC, datetime

import httpx
import pytest

from bureau.errors import no_answer
from bureau_contracts.registry import AgentHealth, AgentRecord, Availability, ReportHealth
from kit.factories import FactoryError, FactoryResolver
from kit.identity import Principal, PrincipalKind, acting_as, current_principal
from kit.tasks import background
from services.runtime.agents import BACK_OFF_SECONDS, AgentBroken, Agents, AgentSettings
from services.runtime.availability import AvailabilityReports
from services.runtime.loop import LoopLimits
from services.runtime.models.catalogue import Models
from services.runtime.toolbox import Limits
from tests.unit.runtime.agents_for_tests import PARCELS
from tests.waiting import eventually

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Factories(FactoryResolver):
    def __init__(self) -> None:
        super().__init__(["tests.unit.runtime."])
        self.broken, self.builds = True, 0

    def build(self, *reference: object) -> object:
        self.builds += 1
        if self.broken:
            raise FactoryError("no database")
        return super().build(*reference)  # type: ignore[arg-type]  # handed on as it came


class Bench:
    def __init__(self) -> None:
        self.factories, self.now = Factories(), 0.0
        self.reports: list[tuple[str, str | None]] = []
        settings = AgentSettings(1, LoopLimits(5, 5, Limits(5, 1000)))
        self.agents = Agents(
            self.factories, Models({}, "offline"), httpx.AsyncClient(), settings,
            report=lambda record, broken: self.reports.append((record.name, broken)), now=lambda: self.now,
        )  # fmt: skip

    async def ask(self, record: AgentRecord) -> bool:
        """Whether it was there."""
        try:
            await self.agents.runner(record)
        except AgentBroken:
            return False
        return True


def known(availability: Availability = Availability.UNKNOWN, revision: int = 1) -> AgentRecord:
    health = AgentHealth(availability=availability, revision=revision)
    return AgentRecord(
        **PARCELS.model_dump(exclude_unset=True), revision=revision, registered_at=NOW, updated_at=NOW, health=health
    )


async def test_a_build_that_failed_is_not_tried_again_for_a_while() -> None:
    bench = Bench()
    assert not await bench.ask(known())
    bench.factories.broken = False
    bench.now = BACK_OFF_SECONDS - 1
    assert not await bench.ask(known())
    assert bench.factories.builds == 1
    bench.now = BACK_OFF_SECONDS
    assert await bench.ask(known())
    assert await bench.ask(known())
    assert bench.factories.builds == 2
    assert bench.reports == [("parcels", "no database"), ("parcels", None)], "each build is told once"


async def test_a_new_revision_is_tried_at_once() -> None:
    bench = Bench()
    assert not await bench.ask(known())
    bench.factories.broken = False
    assert await bench.ask(known(revision=2))


async def test_it_is_tried_again_when_somebody_asks_the_registry_for_it() -> None:
    bench = Bench()
    assert not await bench.ask(known())
    assert not await bench.ask(known(Availability.UNAVAILABLE))
    assert bench.factories.builds == 1
    bench.factories.broken = False
    assert await bench.ask(known(Availability.UNKNOWN)), "the registry has forgotten it: a retry"


class Registry:
    def __init__(self) -> None:
        self.away = True
        self.asked = 0
        self.heard: list[tuple[Principal, str, ReportHealth]] = []

    async def report_health(self, name: str, report: ReportHealth) -> AgentHealth:
        self.asked += 1
        if self.away:
            raise no_answer(httpx.ConnectError("refused"))
        self.heard.append((current_principal(), name, report))
        return AgentHealth()


@pytest.mark.parametrize(("owner", "tenant"), [(None, "acme"), ("globex", "globex")])
async def test_a_report_is_sent_as_the_runtime_itself_and_lost_without_harm(owner: str | None, tenant: str) -> None:
    registry = Registry()
    reports = AvailabilityReports(registry)
    record = known().model_copy(update={"owner": owner})
    async with background(reports.send()):
        with acting_as(Principal("acme", "ada")):
            reports.agent(record, "no database")
            await eventually(lambda: registry.asked == 1)
            registry.away = False
            reports.agent(record, "x" * 5000)
            reports.agent(record, None)
        await eventually(lambda: len(registry.heard) == 2)
    principal, name, report = registry.heard[0]
    assert principal == Principal(tenant, "runtime", PrincipalKind.SERVICE, frozenset({"registry:report"}))
    assert (name, report.revision, report.availability, len(report.reason)) == ("parcels", 1, "unavailable", 2000)
    assert registry.heard[1][2].availability is Availability.AVAILABLE
