"""What makes a list of steps a plan that can run. The service refuses by it, and a client may ask before it sends.

A reference, ``{{ steps.fetch.reply }}`` or ``{{ input.month }}``, is a path through JSON; nothing here follows one.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from bureau_contracts.problems import InvalidField
from bureau_contracts.steps import MOST_ITEMS, OWN_HEADERS, MapOver, NewStep, StepKind

REFERENCE = re.compile(r"\{\{([^{}]*+)\}\}")
"""Spaces around the path are cut off by `parts`: an expression that does it itself takes the cube of their number."""
ROOTS = ("steps", "input")
NEEDS = {
    StepKind.AGENT: "message",
    StepKind.WAIT: "seconds",
    StepKind.FUNCTION: "function",
    StepKind.HTTP: "request",
    StepKind.TOOL: "tool",
    StepKind.MAP: "map",
}
"""The field that a step of this kind cannot be without."""
MOST_APPROVERS = 200
"""Of all breakpoints of a plan: whatever happens to a job, the store reads them."""


class BadReference(Exception):
    """A reference leads nowhere. The message names it."""


def parts(path: str) -> list[str]:
    """The path of a reference, root first. Raises BadReference when it is none."""
    path = path.strip()
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
    if step.map is not None:
        fields["map.items"] = step.map.items
    return fields


def faults(steps: Sequence[NewStep], above: str = "", *, child: bool = False) -> list[InvalidField]:
    """All that is wrong with a plan, each with its place (``steps.2.request.url``), in the order of the steps. `above`
    is the place of the plan itself; a `child` may not map again."""
    wrong: list[InvalidField] = []
    before: set[str] = set()
    for index, step in enumerate(steps):
        place = f"{above}steps.{index}"
        needed = NEEDS.get(step.kind)
        if needed and getattr(step, needed) in (None, ""):
            wrong.append(InvalidField(location=f"{place}.{needed}", message=f"a step of kind {step.kind} needs it"))
        if step.name in before:
            wrong.append(InvalidField(location=f"{place}.name", message="an earlier step has the same name"))
        for field, value in referring(step).items():
            wrong += [InvalidField(location=f"{place}.{field}", message=each) for each in _astray(value, before)]
        for name in step.request.headers if step.request is not None else ():
            if name.lower() in OWN_HEADERS:
                message = f"{name} is not the step's to say"
                wrong.append(InvalidField(location=f"{place}.request.headers", message=message))
        if step.map is not None:
            wrong += _map_faults(step.map, place, child=child)
        before.add(step.name)
    if sum(len(step.approval.approvers) for step in steps) > MOST_APPROVERS:
        message = f"have more than {MOST_APPROVERS} approvers together"
        wrong.append(InvalidField(location=f"{above}steps", message=message))
    return wrong


def _map_faults(over: MapOver, place: str, *, child: bool) -> list[InvalidField]:
    if child:
        return [InvalidField(location=f"{place}.map", message="the steps of a map cannot map again")]
    found = faults(over.steps, f"{place}.map.", child=True)
    whole = isinstance(over.items, str) and REFERENCE.fullmatch(over.items.strip())
    if not whole and not isinstance(over.items, list):
        found.append(InvalidField(location=f"{place}.map.items", message="is a list, or one reference to a list"))
    elif isinstance(over.items, list) and len(over.items) > MOST_ITEMS:
        found.append(InvalidField(location=f"{place}.map.items", message=f"has more than {MOST_ITEMS} items"))
    return found


def _astray(value: Any, before: set[str]) -> list[str]:
    try:
        named = {path[1] for path in references(value) if path[0] == "steps"}
    except BadReference as error:
        return [str(error)]
    return [f"no earlier step is called {name!r}" for name in sorted(named - before)]
