"""Prompts, kept until the change feed says that they changed. For one caller: what is kept is what that one may see."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from pydantic import ValidationError

from bureau.changes import FROM_NOW, pages
from bureau.errors import Invalid, NotFound, Refused, Unavailable
from bureau_contracts.problems import Problem
from bureau_contracts.prompts import LATEST, PromptRecord, PromptVersion, RenderedPrompt, RenderPrompt, filled_in
from bureau_contracts.registry import ChangePage, Kind

TRUSTED_SECONDS = 10.0
"""How long what is kept is believed after the last question that the feed answered: the most that an answer can be
behind while the feed is cut, also when the cut is silent."""
WAIT_SECONDS = 4.0
"""Of one question to the feed: two of them fit into TRUSTED_SECONDS."""
REFUSED_SECONDS = 2.0
"""Until a feed that was refused is asked again."""
KEPT_CHARACTERS = 4_000_000
"""Of all texts together; the one that was not used for longest goes first."""

_OVERHEAD = 1000
"""What an entry counts beside its text."""
_PAGE = 1000
"""Changes at a time. A full page may not be all of them."""


class PromptSource(Protocol):
    """The registry's client, as one caller. Both calls must be made in the name of the same one."""

    async def prompt(self, name: str) -> PromptRecord: ...

    async def change_page(self, after: int, *, wait_seconds: float = 0, limit: int | None = None) -> ChangePage: ...


class PromptCache:
    """Give `follow` to a task: while it runs, what was read once is not read again before it changed.

    Whenever the feed cannot be relied on (not started, refused, cut for TRUSTED_SECONDS) every call reads: an answer is
    never older than that, and at worst this is as good as no cache. The feed goes on after a cut without a gap, so what
    was kept before it is good again.
    """

    def __init__(self, registry: PromptSource, now: Callable[[], float] = time.monotonic) -> None:
        self._registry, self._now = registry, now
        self._kept: OrderedDict[tuple[str, int | str], PromptVersion] = OrderedDict()
        self._characters = 0
        self._following = False
        self._trusted_until = float("-inf")
        self._epoch = 0
        """Counts what the feed told of prompts: what was read meanwhile may be older than that."""
        self._asked = self._used = now()

    async def version(self, name: str, wanted: int | str = LATEST) -> PromptVersion:
        """What a version's number or a label means now. Raises NotFound, and whatever reading raises."""
        self._used = self._now()
        key = (name, wanted)
        if self._used < self._trusted_until and (kept := self._kept.get(key)):
            self._kept.move_to_end(key)
            return kept
        epoch = self._epoch
        found = _find(await self._registry.prompt(name), wanted)
        if self._following and epoch == self._epoch:
            self._keep(key, found)
        return found

    async def render(self, name: str, request: RenderPrompt) -> RenderedPrompt:
        """As `PromptsClient.render`, and filled in here."""
        if request.label is not None and request.version is not None:
            raise _invalid("invalid", "name a label or a version, not both")
        version = await self.version(name, request.version or request.label or LATEST)
        if odd := sorted(set(version.variables) ^ request.variables.keys()):
            raise _invalid("prompt_variables", f"missing or undeclared: {', '.join(odd)}")
        try:
            text = filled_in(version.text, request.variables)
        except ValueError as error:
            raise _invalid("prompt_too_long", str(error)) from error
        return RenderedPrompt(name=name, version=version.version, text=text)

    async def follow(self, *, idle_seconds: float | None = None) -> None:
        """Runs for ever, or until nobody has asked for a prompt for `idle_seconds`. Forgets everything at its end."""
        try:
            while True:
                try:
                    async for page in pages(self._ask, FROM_NOW):
                        self._learn(page)
                        if idle_seconds is not None and self._now() - self._used > idle_seconds:
                            return
                except (Refused, ValidationError):  # not ours to see any more, or no registry answers there
                    self._forget_all(following=False)
                    await asyncio.sleep(REFUSED_SECONDS)
        finally:
            self._forget_all(following=False)

    async def _ask(self, after: int) -> ChangePage:
        asked = self._now()
        try:
            async with asyncio.timeout(TRUSTED_SECONDS):
                page = await self._registry.change_page(after, wait_seconds=WAIT_SECONDS, limit=_PAGE)
        except TimeoutError as error:
            raise Unavailable(Problem(title="No answer", status=0, code="no_answer")) from error
        self._asked = asked
        return page

    def _learn(self, page: ChangePage) -> None:
        if page.reset:
            self._forget_all(following=True)
        changed = {change.name for change in page.changes if change.kind is Kind.PROMPT}
        if changed:
            self._epoch += 1
            for key in [key for key in self._kept if key[0] in changed]:
                self._drop(key)
        if len(page.changes) < _PAGE:
            # Since it was asked, not since it answered: who knows how long the answer was under way.
            self._trusted_until = self._asked + TRUSTED_SECONDS

    def _keep(self, key: tuple[str, int | str], version: PromptVersion) -> None:
        if key in self._kept:
            self._drop(key)
        self._kept[key] = version
        self._characters += len(version.text) + _OVERHEAD
        while self._characters > KEPT_CHARACTERS:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: tuple[str, int | str]) -> None:
        self._characters -= len(self._kept.pop(key).text) + _OVERHEAD

    def _forget_all(self, *, following: bool) -> None:
        self._kept.clear()
        self._characters, self._following, self._trusted_until = 0, following, float("-inf")
        self._epoch += 1


def _find(prompt: PromptRecord, wanted: int | str) -> PromptVersion:
    number = wanted if isinstance(wanted, int) else prompt.labels.get(wanted)
    for version in prompt.versions:
        if version.version == number:
            return version
    detail = f"the prompt {prompt.name!r} has no version {str(wanted)!r}"
    raise NotFound(Problem(title="Not Found", status=404, code="prompt_version_not_found", detail=detail))


def _invalid(code: str, detail: str) -> Invalid:
    return Invalid(Problem(title="Unprocessable Entity", status=422, code=code, detail=detail))
