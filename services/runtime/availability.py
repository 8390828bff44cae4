"""Tells the registry whether agents could be built, beside the turns: nothing waits for it, and what cannot be sent is
dropped."""

import asyncio

from bureau.errors import BureauError
from bureau_contracts.registry import AgentRecord, Availability, ReportHealth
from kit.identity import Principal, PrincipalKind, acting_as, current_principal
from kit.logs import get_logger
from services.runtime.ports import HealthReports

log = get_logger(__name__)

WAITING_REPORTS = 1000
REPORT_SCOPE = "registry:report"
REASON_CHARS = 2000


class AvailabilityReports:
    """`agent` puts a report on a short list; `send`, run in the background, empties it."""

    def __init__(self, registry: HealthReports) -> None:
        self._registry = registry
        self._waiting: asyncio.Queue[tuple[Principal, str, ReportHealth]] = asyncio.Queue(WAITING_REPORTS)
        self._away = False

    def agent(self, record: AgentRecord, broken: str | None) -> None:
        """`broken` says why it could not be built; None when it could."""
        report = ReportHealth(
            revision=record.revision, reason=(broken or "")[:REASON_CHARS],
            availability=Availability.AVAILABLE if broken is None else Availability.UNAVAILABLE,
        )  # fmt: skip
        # As the runtime itself: whoever spoke may not say how an agent is, and need not be known for it.
        tenant = record.owner or current_principal().tenant
        reporter = Principal(tenant, "runtime", PrincipalKind.SERVICE, frozenset({REPORT_SCOPE}))
        if not self._waiting.full():
            self._waiting.put_nowait((reporter, record.name, report))

    async def send(self) -> None:
        """Runs for ever."""
        while True:
            reporter, name, report = await self._waiting.get()
            try:
                with acting_as(reporter):
                    await self._registry.report_health(name, report)
                self._away = False
            except BureauError as error:
                if not self._away:
                    log.warning("availability_not_reported", agent=name, code=error.code)
                self._away = True
