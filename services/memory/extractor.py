"""The port of extractors: what people say, turned into what is worth knowing tomorrow."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bureau_contracts.memory import Memory, MemoryKind, Origin
from bureau_contracts.memory_extraction import ExtractionAction

# Enough to keep a tool from giving orders through tomorrow's prompt; a fact that looks like one is no loss.
_INSTRUCTIVE = re.compile(
    r"\b(ignore|disregard|remember|forget|from now on|always|never|must|should|shall|you are|you're|your|system prompt|"
    r"instructions?|obey|pretend|act as|do not|don[’']t|please|the user (wants|prefers|says|asked|likes))\b",
    re.IGNORECASE,
)


class ExtractorFailed(Exception):
    """A model did not answer, or not with what it was asked for. The message holds no secret and no text."""


@dataclass(frozen=True, slots=True)
class Said:
    """One message's text. `origin` is who said it: only what a user said is a user's wish."""

    seq: int
    origin: Origin
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Finding:
    """Something worth keeping."""

    text: str
    seqs: tuple[int, ...]
    kind: MemoryKind = MemoryKind.FACT
    importance: float = 0.5
    about: str = ""
    """What it is about (``name``, ``brother's name``): something else that is said about the same takes its place."""
    action: ExtractionAction = ExtractionAction.ADDED
    """What a model wants done with `target`; without a target, `about` decides."""
    target: str | None = None


class Extractor(Protocol):
    """Finds what is worth keeping.

    - A finding names the messages it comes from, and only some that were given.
    - A target is one of the memories that were given as known.
    - Raises ExtractorFailed, within its own time limit, when it cannot answer.
    """

    @property
    def name(self) -> str: ...

    async def extract(self, said: Sequence[Said], known: Sequence[Memory]) -> list[Finding]: ...


def is_instructive(text: str) -> bool:
    """Whether a text tells somebody what to do."""
    return _INSTRUCTIVE.search(text) is not None
