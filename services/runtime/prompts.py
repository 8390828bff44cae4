"""Instructions by reference: what an agent's record names (``name``, ``name@label`` or ``name@3``), from the registry.

What was read is believed for a few seconds, so that a label that moves takes effect without anybody's restart.
"""

import re
import time
from collections import OrderedDict
from collections.abc import Callable

from bureau.errors import BureauError, NotFound
from bureau_contracts.prompts import LATEST, PromptRecord, PromptVersion, RenderPrompt
from kit.clock import Clock
from kit.identity import Principal
from services.runtime.agents import AgentBroken
from services.runtime.ports import PromptStore

KEPT_SECONDS = 2.0
KEPT_PROMPTS = 1000
_REFERENCE = re.compile(r"([a-z0-9_-]{1,64})(?:@(?:([1-9][0-9]{0,8})|([a-z][a-z0-9_-]{0,63})))?")

GIVEN = frozenset({"user", "date"})
"""Variables that a turn can fill: who is speaking, and today's date in UTC."""


class Prompts:
    def __init__(self, store: PromptStore, clock: Clock, now: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock, self._now = store, clock, now
        self._kept: OrderedDict[tuple[str, ...], tuple[str, float]] = OrderedDict()

    async def text(self, reference: str, speaker: Principal) -> str:
        """Raises AgentBroken when there is no such prompt, or it needs what a turn does not know."""
        date = self._clock.now().date().isoformat()
        key = (speaker.tenant, speaker.subject, date, reference)
        text, until = self._kept.get(key, ("", 0.0))
        if self._now() >= until:
            text = await self._render(reference, {"user": speaker.subject, "date": date})
            self._kept[key] = (text, self._now() + KEPT_SECONDS)
            self._kept.move_to_end(key)
            if len(self._kept) > KEPT_PROMPTS:
                self._kept.popitem(last=False)
        return text

    async def _render(self, reference: str, given: dict[str, str]) -> str:
        match = _REFERENCE.fullmatch(reference)
        if match is None:
            raise AgentBroken(f"its prompt {reference!r} is no reference of the form name@label", "prompt_not_found")
        name, number, label = match.groups()
        try:
            version = _version(await self._store.prompt(name), number, label)
            if version is None:
                raise AgentBroken(f"its prompt {reference!r} does not exist", "prompt_not_found")
            if unknown := sorted(set(version.variables) - GIVEN):
                raise AgentBroken(
                    f"its prompt {reference!r} needs variables that a turn cannot fill: {', '.join(unknown)}",
                    "prompt_not_renderable",
                )
            variables = {each: given[each] for each in version.variables}
            # The version that was just looked at: its label may point elsewhere by now.
            asked = RenderPrompt(version=version.version, variables=variables)
            return (await self._store.render_prompt(name, asked)).text
        except NotFound:
            raise AgentBroken(f"its prompt {reference!r} does not exist", "prompt_not_found") from None
        except BureauError as error:
            raise AgentBroken(f"its prompt {reference!r} cannot be read: {error}", "prompt_unavailable") from error


def _version(prompt: PromptRecord, number: str | None, label: str | None) -> PromptVersion | None:
    label = label or LATEST
    wanted = int(number) if number else prompt.labels.get(label)
    if wanted is None and label == LATEST and prompt.versions:
        wanted = prompt.versions[-1].version
    return next((each for each in prompt.versions if each.version == wanted), None)
