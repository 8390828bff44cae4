"""What a turn needs of the other services. The SDK's clients fulfil these ports; tests bring fakes.

Every call raises `bureau.errors.BureauError` and happens on the current principal's behalf.
"""

from collections.abc import AsyncIterator
from typing import Protocol

from bureau.prompt_cache import PromptSource
from bureau_contracts.evaluation import NewMetric, Recorded
from bureau_contracts.memory import MemorySearchAnswer
from bureau_contracts.registry import AgentHealth, AgentRecord, ReportHealth, SearchAnswer
from bureau_contracts.sessions import (
    Compacted,
    Deleted,
    Lease,
    NewSession,
    NewTurn,
    SessionCreated,
    SessionResumed,
    SessionView,
    TurnStored,
    Window,
)
from bureau_contracts.tools import ToolPage, ToolRecord


class Catalogue(Protocol):
    """Which agents exist: the registry."""

    async def get(self, name: str) -> AgentRecord: ...

    async def search(self, q: str, *, k: int = 5, enabled_only: bool = True) -> SearchAnswer: ...

    def all(self, *, enabled_only: bool | None = None) -> AsyncIterator[AgentRecord]: ...


class HealthReports(Protocol):
    """Where it is kept whether an agent could be built: the registry."""

    async def report_health(self, name: str, report: ReportHealth) -> AgentHealth: ...


class ToolCatalogue(Protocol):
    """Which tools are registered, with the risk for the current principal's tenant: the registry."""

    async def get(self, name: str) -> ToolRecord: ...

    async def page(self, *, limit: int | None = None, cursor: str | None = None) -> ToolPage: ...


class Registry(Catalogue, PromptSource, HealthReports, Protocol):
    """All that the runtime needs of the registry."""

    @property
    def tools(self) -> ToolCatalogue: ...


class Conversations(Protocol):
    """Every conversation, whole and in order: the sessions."""

    async def create(self, session: NewSession | None = None) -> SessionCreated: ...

    async def get(self, session_id: str, *, history_limit: int | None = None) -> SessionView: ...

    async def window(
        self, session_id: str, *, max_tokens: int | None = None, max_messages: int | None = None
    ) -> Window: ...

    async def compact(
        self, session_id: str, *, max_tokens: int | None = None, keep_last: int | None = None
    ) -> Compacted: ...

    async def turn(self, session_id: str, turn: NewTurn) -> TurnStored: ...

    async def stored_turn(self, session_id: str, turn_id: str) -> TurnStored: ...

    async def resume(self, session_id: str) -> SessionResumed: ...

    async def acquire_lease(self, session_id: str, holder: str, *, ttl_seconds: float = 30) -> Lease: ...

    async def renew_lease(self, session_id: str, fencing_token: int, *, ttl_seconds: float = 30) -> Lease: ...

    async def release_lease(self, session_id: str, fencing_token: int) -> Deleted: ...

    async def delete(self, session_id: str, *, purge: bool = False) -> Deleted: ...


class Recollections(Protocol):
    """What should still be known tomorrow: the memory."""

    async def search(self, q: str, *, k: int = 5, user_id: str | None = None) -> MemorySearchAnswer: ...


class Metrics(Protocol):
    """Where turns are counted: the evaluation."""

    async def record(self, metric: NewMetric) -> Recorded: ...
