"""`Bureau`: the client of the whole back office, through its gateway."""

import ssl
from functools import cache
from types import TracebackType
from typing import Self

import httpx

from bureau.evaluation import EvaluationClient
from bureau.http import Caller
from bureau.jobs import JobsClient
from bureau.memory import MemoryClient
from bureau.registry import RegistryClient
from bureau.runtime import RuntimeClient
from bureau.sessions import SessionsClient
from bureau_contracts.health import SystemHealth

TIMEOUT_SECONDS = 30.0


class Bureau:
    """An async context manager. One instance serves many calls at once.

    ``agents``, ``tools``, ``prompts``, ``sessions``, ``memory``, ``jobs`` and ``evaluation`` are the services' clients;
    `chat` and `route` are the runtime's main calls. Every failure is a `bureau.errors.BureauError`.
    """

    def __init__(self, url: str, api_key: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {api_key}"},
            timeout=httpx.Timeout(TIMEOUT_SECONDS, connect=5),
            verify=_certificates(),
            transport=transport,
        )
        self._caller = Caller(self._client)
        self.agents = RegistryClient(self._caller)
        self.tools = self.agents.tools
        self.prompts = self.agents.prompts
        self.sessions = SessionsClient(self._caller)
        self.memory = MemoryClient(self._caller)
        self.jobs = JobsClient(self._caller)
        self.runtime = RuntimeClient(self._caller)
        self.evaluation = EvaluationClient(self._caller)
        self.chat = self.runtime.chat
        self.route = self.runtime.route

    async def health(self) -> SystemHealth:
        """Every service at a glance."""
        return await self._caller.call(SystemHealth, "GET", "/health")

    async def close(self) -> None:
        """For whoever cannot say `async with`."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


@cache
def _certificates() -> ssl.SSLContext:
    """Whose are believed: read once, as that takes 30 ms, however many clients there are."""
    return httpx.create_ssl_context()
