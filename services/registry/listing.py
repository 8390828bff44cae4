"""What tool sources offer: asked in the background, remembered, and answered with the risk for one tenant."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from bureau_contracts.registry import Kind
from bureau_contracts.risk import Risk
from bureau_contracts.shapes import JsonObject
from bureau_contracts.tools import OfferedTool, ToolListing, ToolRecord, ToolSource
from kit.clock import Clock
from kit.logs import get_logger
from services.registry.document import Document
from services.registry.rounds import Rounds
from services.registry.store import RegistryStore

log = get_logger(__name__)

AT_ONCE = 4
"""Sources asked together; a started server may cost a process each."""
PER_SECOND = 5.0
SPREAD_SECONDS = 2.0
"""After a start, over how long the first questions are spread, at least."""


@dataclass(frozen=True)
class Offer:
    """One tool as its source tells of it."""

    name: str
    description: str = ""
    parameters: JsonObject | None = None
    risk: Risk | None = None
    """What the source annotates; None when it says nothing."""
    idempotent: bool = False
    """Whether the source says that a call may be repeated."""


@dataclass(frozen=True)
class Offers:
    tools: tuple[Offer, ...]
    remark: str = ""
    """What was left out, and why."""


class NotListed(Exception):
    """The source did not tell what it offers. The message says why, and holds no secret."""


ReadOffers = Callable[[ToolRecord], Awaitable[Offers]]
"""Asks an MCP server. Bounded in time and size, leaves no process behind; raises NotListed."""


@dataclass(frozen=True)
class _Listed:
    place: object
    """Whom this is from; see `_place`."""
    tools: tuple[Offer, ...] = ()
    at: datetime | None = None
    error: str = ""


class Listings:
    """In memory only: after a restart every source is asked anew."""

    def __init__(self, store: RegistryStore, read: ReadOffers, clock: Clock, seconds: float) -> None:
        """`seconds` go by between two questions to one source."""
        self._store, self._read, self._clock, self._seconds = store, read, clock, seconds
        self._listed: dict[str, _Listed] = {}
        self.rounds = Rounds("tool_listing", self._ask, at_once=AT_ONCE, per_second=PER_SECOND)
        """Somebody has to run them."""

    async def follow(self) -> None:
        """Keeps up with the store, for ever: what is new or changed is asked soon, what is gone forgotten."""
        document = self._store.document
        self._spread(document)
        while True:
            newer = await self._store.newer_than(document.seq)
            for name in newer.changed_since(document, Kind.TOOL):
                self._changed(newer.tools.get(name), name)
            document = newer

    async def refresh(self, name: str) -> None:
        """Asks this source now, and returns when it was asked, however that went."""
        await self.rounds.now(name)

    def of(self, record: ToolRecord, tenant: str, *, schemas: bool = True) -> ToolListing:
        """What this source offers, as far as is known, with the risk of each tool for this tenant."""
        if record.source is ToolSource.HTTP:
            offer = Offer(record.name, record.description, record.parameters)
            return ToolListing(tools=[_offered(record, tenant, offer, schemas)])
        listed = self._listed.get(record.name)
        if listed is None or listed.place != _place(record):
            return ToolListing()
        tools = [_offered(record, tenant, offer, schemas) for offer in listed.tools]
        return ToolListing(tools=tools, listed_at=listed.at, error=listed.error)

    def _spread(self, document: Document) -> None:
        names = [name for name, record in document.tools.items() if _is_asked(record)]
        spread = max(SPREAD_SECONDS, len(names) / PER_SECOND)
        for name in names:
            self.rounds.put(name, random.random() * spread)  # noqa: S311 - no secret

    def _changed(self, record: ToolRecord | None, name: str) -> None:
        if record is None or not _is_asked(record):
            self.rounds.drop(name)
            if record is None:
                self._listed.pop(name, None)
            return
        listed = self._listed.get(name)
        if listed is None or listed.place != _place(record) or listed.error:
            self.rounds.put(name)
        else:
            self.rounds.put(name, self._seconds)

    async def _ask(self, name: str) -> float | None:
        record = self._store.document.tools.get(name)
        if record is None or record.source is ToolSource.HTTP:
            return None
        place, now = _place(record), self._clock.now()
        try:
            offers = await self._read(record)
            listed = _Listed(place, offers.tools, now, offers.remark)
        except NotListed as reason:
            last = self._listed.get(name)
            known = last if last is not None and last.place == place else _Listed(place)
            listed = _Listed(place, known.tools, known.at, str(reason))
            log.warning("tools_not_listed", source=name, reason=str(reason))
        current = self._store.document.tools.get(name)
        if current is not None and _place(current) == place:
            self._listed[name] = listed
        return self._seconds if current is not None and _is_asked(current) else None


def _is_asked(record: ToolRecord) -> bool:
    """An http tool is its own listing, and nobody bothers what is switched off."""
    return record.enabled and record.source is not ToolSource.HTTP


def _place(record: ToolRecord) -> object:
    """Who is asked and as whom: what another source told does not count."""
    command, headers, environment = record.command or [], record.headers, record.environment
    return record.source, record.url, tuple(command), tuple(headers.items()), tuple(environment.items())


def _offered(record: ToolRecord, tenant: str, offer: Offer, schemas: bool) -> OfferedTool:
    name = offer.name if record.source is ToolSource.HTTP else f"{record.name}.{offer.name}"
    risk, risk_from = risk_of(record, tenant, offer, name)
    return OfferedTool(
        name=name, description=offer.description, parameters=(offer.parameters or {}) if schemas else {},
        risk=risk, risk_from=risk_from, idempotent=is_idempotent(record, offer),
    )  # fmt: skip


def is_idempotent(record: ToolRecord, offer: Offer) -> bool:
    """The record's word first; else the source's annotation, or what its method means in HTTP."""
    if record.idempotent is not None:
        return record.idempotent
    return offer.idempotent or (record.source is ToolSource.HTTP and record.method in ("GET", "PUT", "DELETE"))


def risk_of(record: ToolRecord, tenant: str, offer: Offer, full_name: str) -> tuple[Risk, str]:
    """How risky a call is, and who says so. Overrides name a tool as its source does, or as agents do."""
    for origin, risks in (("tenant", record.tenant_risks.get(tenant, {})), ("override", record.risks)):
        for name in (offer.name, full_name):
            if name in risks:
                return risks[name], origin
    if record.risk is not None:
        return record.risk, "source"
    if offer.risk is not None:
        return offer.risk, "annotation"
    return Risk.WRITE, "default"
