"""Instructions by reference: what an agent's record names (``name``, ``name@label`` or ``name@3``), from the registry.

What was read is kept until the registry's change feed says that it changed, for each tenant apart: a tenant's prompts
are read and followed in one name, which sees what that tenant may see and nothing else.
"""

import asyncio
import re

from bureau.errors import BureauError, NotFound
from bureau.prompt_cache import PromptCache, PromptSource
from bureau_contracts.prompts import LATEST, PromptVersion, filled_in
from kit.clock import Clock
from kit.identity import Principal, PrincipalKind, acting_as
from services.runtime.agents import AgentBroken

FOLLOWED_TENANTS = 32
"""Each one that is followed holds a connection to the registry, of a hundred. Those beyond read each time."""
IDLE_SECONDS = 60.0
"""A tenant that used no prompt for so long is followed no further."""
_REFERENCE = re.compile(r"([a-z0-9_-]{1,64})(?:@(?:([1-9][0-9]{0,8})|([a-z][a-z0-9_-]{0,63})))?")

GIVEN = frozenset({"user", "date"})
"""Variables that a turn can fill: who is speaking, and today's date in UTC."""


class Prompts:
    """Without `follow` running, every prompt is read each time."""

    def __init__(self, store: PromptSource, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._followed: dict[str, PromptCache] = {}
        self._arrived: asyncio.Queue[str] = asyncio.Queue()
        self._unfollowed = PromptCache(store)  # keeps nothing, so it may serve every tenant

    async def text(self, reference: str, speaker: Principal) -> str:
        """Raises AgentBroken when there is no such prompt, or it needs what a turn does not know."""
        match = _REFERENCE.fullmatch(reference)
        if match is None:
            raise AgentBroken(f"its prompt {reference!r} is no reference of the form name@label", "prompt_not_found")
        name, number, label = match.groups()
        try:
            with acting_as(_reader(speaker.tenant)):
                version = await self._of(speaker.tenant).version(name, int(number) if number else label or LATEST)
        except NotFound:
            raise AgentBroken(f"its prompt {reference!r} does not exist", "prompt_not_found") from None
        except BureauError as error:
            raise AgentBroken(f"its prompt {reference!r} cannot be read: {error}", "prompt_unavailable") from error
        given = {"user": speaker.subject, "date": self._clock.now().date().isoformat()}
        return _filled_in(reference, version, given)

    async def follow(self) -> None:
        """Runs for ever: follows the tenants whose prompts are used."""
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._follow(await self._arrived.get()))

    async def _follow(self, tenant: str) -> None:
        with acting_as(_reader(tenant)):
            await self._followed[tenant].follow(idle_seconds=IDLE_SECONDS)
        del self._followed[tenant]

    def _of(self, tenant: str) -> PromptCache:
        cache = self._followed.get(tenant)
        if cache is None:
            if len(self._followed) >= FOLLOWED_TENANTS:
                return self._unfollowed
            cache = self._followed[tenant] = PromptCache(self._store)
            self._arrived.put_nowait(tenant)
        return cache


def _reader(tenant: str) -> Principal:
    """The runtime itself within a tenant: what is kept for all of its users is not any one's view."""
    return Principal(tenant, "runtime", PrincipalKind.SERVICE)


def _filled_in(reference: str, version: PromptVersion, given: dict[str, str]) -> str:
    if unknown := sorted(set(version.variables) - GIVEN):
        raise AgentBroken(
            f"its prompt {reference!r} needs variables that a turn cannot fill: {', '.join(unknown)}",
            "prompt_not_renderable",
        )
    try:
        return filled_in(version.text, {each: given[each] for each in version.variables})
    except ValueError as error:
        raise AgentBroken(f"its prompt {reference!r}: {error}", "prompt_not_renderable") from error
