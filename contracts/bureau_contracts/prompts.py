"""Contracts of the registry's prompts: versions that never change, and labels that point at one."""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, StringConstraints

from bureau_contracts.shapes import Answer, NoNul, Request, SubjectId, Timestamp

PromptName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,64}$")]
PromptLabel = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Variable = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,63}$")]
PromptText = Annotated[str, StringConstraints(min_length=1, max_length=200_000), NoNul]
"""Variables stand as ``{{ name }}``; every one must be declared, and every declared one used."""

LATEST = "latest"
"""The label that always points at the newest version; nobody sets it."""


MAX_RENDERED = 1_000_000
"""Characters of a rendered prompt: a variable may stand in a text many times."""
IN_BRACES = re.compile(r"\{\{([^{}\n]*)\}\}")
"""What may be a variable in a text; its name is the group, without the blanks around it."""


def filled_in(text: str, given: Mapping[str, str]) -> str:
    """A prompt's text with variables in place, the same wherever it is rendered; inserted text is not looked at again.

    Raises ValueError when it would be longer than MAX_RENDERED.
    """
    found = [match[1].strip() for match in IN_BRACES.finditer(text)]
    if len(text) + sum(len(given[name]) for name in found if name in given) > MAX_RENDERED:
        raise ValueError(f"rendered it would have more than {MAX_RENDERED} characters")
    return IN_BRACES.sub(lambda match: given.get(match[1].strip(), match[0]), text)


class NewPromptVersion(Request):
    """POST /registry/prompts/{name}/versions. The first makes the prompt; the same text as the newest makes none."""

    text: PromptText
    variables: list[Variable] = Field(default_factory=list, max_length=100)
    description: Annotated[str, StringConstraints(max_length=4000)] = ""
    owner: SubjectId | None = None
    """Of the first version only: the tenant it belongs to; None means shared by all."""


class PromptVersion(Answer):
    version: int
    """1, 2, 3 …"""
    text: str
    variables: list[str]
    description: str = ""
    created_at: Timestamp
    created_by: str = ""


class PromptRecord(Answer):
    name: str
    owner: str | None = None
    labels: dict[str, int]
    """What each label points at; ``latest`` included."""
    versions: list[PromptVersion]
    """Oldest first."""
    revision: int
    """Counts every change from 1, of labels too; also its ETag."""


class PromptSummary(Answer):
    name: str
    owner: str | None = None
    labels: dict[str, int]
    version_count: int


class PromptPage(Answer):
    prompts: list[PromptSummary]
    total: int
    next_cursor: str | None = None


class VersionAdded(Answer):
    status: str = "added"
    """``added``, or ``unchanged`` when the newest version says the same."""
    prompt_name: str
    version: int


class SetLabel(Request):
    """PUT /registry/prompts/{name}/labels/{label}."""

    version: Annotated[int, Field(ge=1, le=10**9)]


class RenderPrompt(Request):
    """POST /registry/prompts/{name}/render. Exactly one of label and version; neither means ``latest``."""

    label: PromptLabel | None = None
    version: Annotated[int, Field(ge=1, le=10**9)] | None = None
    variables: dict[Variable, Annotated[str, StringConstraints(max_length=200_000)]] = Field(
        default_factory=dict, max_length=100
    )


class RenderedPrompt(Answer):
    name: str
    version: int
    text: str
