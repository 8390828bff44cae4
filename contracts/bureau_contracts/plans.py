"""What makes a list of steps a plan that can run. The service refuses by it, and a client may ask before it sends.

A reference, ``{{ steps.fetch.reply }}`` or ``{{ input.month }}``, is a path through JSON; nothing here follows one.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from bureau_contracts.jobs import NewStep, StepKind
from bureau_contracts.problems import InvalidField

REFERENCE = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
ROOTS = ("steps", "input")
NEEDS = {
    StepKind.AGENT: "message",
    StepKind.WAIT: "seconds",
    StepKind.FUNCTION: "function",
    StepKind.HTTP: "request",
}
"""The field that a step of this kind cannot be without."""


class BadReference(Exception):
    """A reference leads nowhere. The message names it."""


def parts(path: str) -> list[str]:
    """The path of a reference, root first. Raises BadReference when it is none."""
    found = path.split(".")
    if found[0] not in ROOTS or (found[0] == "steps" and len(found) < 2) or not all(found):
        raise BadReference(f"{{{{ {path} }}}} is not a reference: write steps.<name>.<path> or input.<path>")
    return found


def references(value: Any) -> Iterator[list[str]]:
    """Every reference in a JSON value, as its parts. Raises BadReference when one is no path at all."""
    if isinstance(value, str):
        for match in REFERENCE.finditer(value):
            yield parts(match[1])
    elif isinstance(value, dict | list):
        for child in value.values() if isinstance(value, dict) else value:
            yield from references(child)


def referring(step: NewStep) -> dict[str, Any]:
    """The fields of a step in which references are filled in, by their place within the step."""
    fields: dict[str, Any] = {"message": step.message, "arguments": step.arguments}
    if step.request is not None:
        fields |= {"request.url": step.request.url, "request.body": step.request.body}
    return fields


def faults(steps: Sequence[NewStep]) -> list[InvalidField]:
    """All that is wrong with a plan, each with its place (``steps.2.request.url``), in the order of the steps."""
    wrong: list[InvalidField] = []
    before: set[str] = set()
    for index, step in enumerate(steps):
        place = f"steps.{index}"
        needed = NEEDS.get(step.kind)
        if needed and getattr(step, needed) in (None, ""):
            wrong.append(InvalidField(location=f"{place}.{needed}", message=f"a step of kind {step.kind} needs it"))
        if step.name in before:
            wrong.append(InvalidField(location=f"{place}.name", message="an earlier step has the same name"))
        for field, value in referring(step).items():
            wrong += [InvalidField(location=f"{place}.{field}", message=each) for each in _astray(value, before)]
        before.add(step.name)
    return wrong


def _astray(value: Any, before: set[str]) -> list[str]:
    try:
        named = {path[1] for path in references(value) if path[0] == "steps"}
    except BadReference as error:
        return [str(error)]
    return [f"no earlier step is called {name!r}" for name in sorted(named - before)]
