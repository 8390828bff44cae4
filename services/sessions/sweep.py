"""What the sessions service does by itself now and then. When, this says; what, the duties do."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from kit.errors import Unavailable
from kit.identity import TENANT_WIDE, Principal
from kit.logs import get_logger

log = get_logger(__name__)

Duty = Callable[[str | None], Awaitable[Mapping[str, int]]]
"""Works through one tenant's sessions, or all tenants' (None), and counts what it did, by names of its own.

May run in many replicas at once and be cut off anywhere: what it did so far stands, and the next time goes on."""


class Sweep:
    def __init__(self, duties: Sequence[Duty]) -> None:
        self._duties = duties

    async def run(self) -> dict[str, int]:
        """All tenants'. A duty that finds the store away does not keep the others from trying."""
        return await self._sweep(None)

    async def run_for(self, principal: Principal) -> dict[str, int]:
        """Those of the caller's tenant. Raises Forbidden."""
        principal.require(TENANT_WIDE)
        return await self._sweep(principal.tenant)

    async def _sweep(self, tenant: str | None) -> dict[str, int]:
        counts = dict[str, int]()
        for duty in self._duties:
            try:
                counts.update(await duty(tenant))
            except Unavailable as away:
                log.warning("sweep_interrupted", code=away.code)
        if any(counts.values()):
            log.info("swept", **counts)
        return counts
