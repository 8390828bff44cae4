"""What a job would do, told without doing it: calls nobody, keeps nothing, and says what it cannot know."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from bureau_contracts.jobs import DryRun, DryStep, StartJob
from bureau_contracts.plans import REFERENCE, parts, references, referring
from bureau_contracts.steps import MOST_ITEMS, HttpMethod, MapOver, NewStep, StepKind
from services.jobs.allowed import Allowed
from services.jobs.records import repeatable
from services.jobs.references import BadReference, fill, fill_url
from services.jobs.rules import Rules

READING = frozenset({HttpMethod.GET, HttpMethod.HEAD})
SOME_RESULT = "x"
"""Stands in an address for a result that is not known yet: percent-encoded, it can only be one part of it."""
UNCHECKED = {
    StepKind.AGENT: "whether an agent is there and enabled, and what it would answer",
    StepKind.FUNCTION: "whether a worker offers a function, and what it does",
    StepKind.HTTP: "whether an address answers",
    StepKind.TOOL: "whether a tool is there and may be called, and what it does",
    StepKind.MAP: "what a child's items are, and so what its steps do",
}
RESULTS: Mapping[StepKind, frozenset[str]] = {
    StepKind.AGENT: frozenset({"reply", "status", "agents", "session_id", "turn_id", "usage", "cost", "trace_id"}),
    StepKind.HTTP: frozenset({"status", "headers", "body"}),
    StepKind.WAIT: frozenset(),
    StepKind.BREAKPOINT: frozenset(),
}
"""What a result of this kind of step holds, where that is the same for all."""
LONGEST_SHOWN = 120
"""Characters of a message, address or arguments within a sentence."""
MOST_FILLED_IN = 4_000_000
"""Characters that the input may grow to by being filled in; beyond that, references stay as they are written."""


def dry_run(start: StartJob, owner: str, rules: Rules) -> DryRun:
    """`start` must be a plan without `faults`."""
    by_name = {step.name: step.kind for step in start.steps}
    known = None if _too_long(start) else start.input
    steps = [_forecast(index, step, known, by_name, rules) for index, step in enumerate(start.steps)]
    kinds = {step.kind for step in steps}
    unchecked = [text for kind, text in UNCHECKED.items() if kind in kinds]
    return DryRun(
        title=start.title,
        owner=owner,
        steps=steps,
        longest_seconds=sum(step.longest_seconds or 0 for step in steps),
        approvals=sum(step.needs_approval for step in steps),
        unchecked=unchecked + ([] if known is not None else ["where the input is filled in: it is too long to show"]),
        ok=not any(step.problems for step in steps),
    )


def _too_long(start: StartJob) -> bool:
    """A short job can ask for gigabytes: a long input, named often."""
    steps = [each for step in start.steps for each in (step, *(step.map.steps if step.map else ()))]
    paths = (path for step in steps for value in referring(step).values() for path in references(value))
    named = sum(path[0] == "input" for path in paths)
    return named * len(_json(start.input)) > MOST_FILLED_IN


def _forecast(
    index: int, step: NewStep, known: Mapping[str, Any] | None, by_name: Mapping[str, StepKind], rules: Rules
) -> DryStep:
    filled, problems = _examined(step, known, by_name, rules)
    awaited = dict.fromkeys(".".join(path) for path in _results(step))
    if filled.map is not None:
        problems += _unmappable(filled.map.items)
        filled, inside = _with_children(filled, filled.map, known, rules)
        problems += inside
    return DryStep(
        index=index, name=step.name, kind=step.kind, would=_would(filled), definition=filled, waits_for=list(awaited),
        effects=_has_effects(step), repeatable=repeatable(step), needs_approval=step.kind is StepKind.BREAKPOINT,
        longest_seconds=_longest(filled, rules), problems=problems,
    )  # fmt: skip


def _examined(
    step: NewStep, known: Mapping[str, Any] | None, by_name: Mapping[str, StepKind], rules: Rules,
    later: frozenset[str] = frozenset(),
) -> tuple[NewStep, list[str]]:  # fmt: skip
    """With its references filled in, and what is wrong with them and its address."""
    filled, problems = _filled(step, known, later) if known is not None else (step, [])
    if filled.request is not None and (reason := _refusal(filled.request.url, rules.allowed)):
        problems.append(reason)
    return filled, problems + list(
        dict.fromkeys(reason for path in _results(step) if (reason := _misses(path, by_name)))
    )


def _results(step: NewStep) -> list[list[str]]:
    """The paths into earlier results that it needs."""
    return [path for value in referring(step).values() for path in references(value) if path[0] == "steps"]


def _with_children(
    step: NewStep, over: MapOver, known: Mapping[str, Any] | None, rules: Rules
) -> tuple[NewStep, list[str]]:
    """What a child is told, as far as that is known of all of them, and what is wrong with it."""
    later = frozenset({"item", "item_index", *step.arguments})
    by_name = {child.name: child.kind for child in over.steps}
    children, problems = [], []
    for child in over.steps:
        filled, wrong = _examined(child, known, by_name, rules, later)
        children.append(filled)
        problems += [f"{child.name}: {reason}" for reason in wrong]
    return step.model_copy(update={"map": over.model_copy(update={"steps": children})}), problems


def _unmappable(items: Any) -> list[str]:
    """What only the run will know may be a list."""
    if isinstance(items, str) and REFERENCE.search(items):
        return []
    if not isinstance(items, list):
        return [f"a map needs a list; its items are of type {type(items).__name__}"]
    return [f"there are {len(items)} items; at most {MOST_ITEMS} are mapped"] if len(items) > MOST_ITEMS else []


def _filled(step: NewStep, known: Mapping[str, Any], later: frozenset[str]) -> tuple[NewStep, list[str]]:
    """As `steps.with_references` does it, with the job's input alone. What leads nowhere stays, and is a problem; so
    stays what only the run will put into the input (`later`)."""
    problems: list[str] = []

    def filled(value: Any, *, address: bool = False) -> Any:
        if isinstance(value, dict):
            return {key: filled(child) for key, child in value.items()}
        if isinstance(value, list):
            return [filled(child) for child in value]
        if not isinstance(value, str):
            return value
        try:
            return _fill_known(value, {"input": known}, later, address=address)
        except BadReference as error:
            problems.append(str(error))
            return value

    changed: dict[str, Any] = {"arguments": filled(step.arguments)}
    message = filled(step.message)
    changed["message"] = message if message is None or isinstance(message, str) else _json(message)
    if step.request is not None:
        url, body = filled(step.request.url, address=True), filled(step.request.body)
        changed["request"] = step.request.model_copy(update={"url": url, "body": body})
    if step.map is not None:
        changed["map"] = step.map.model_copy(update={"items": filled(step.map.items)})
    return step.model_copy(update=changed), problems


def _fill_known(text: str, scope: Mapping[str, Any], later: frozenset[str], *, address: bool) -> Any:
    def is_known(path: list[str]) -> bool:
        return path[0] == "input" and not (later if len(path) == 1 else path[1] in later)

    if not address and all(map(is_known, references(text))):
        return fill(text, scope)

    def stand(match: re.Match[str]) -> str:
        if not is_known(parts(match[1])):
            return match[0]
        if address:
            return fill_url(match[0], scope)
        found = fill(match[0], scope)
        return found if isinstance(found, str) else _json(found)

    return REFERENCE.sub(stand, text)


def _refusal(url: str, allowed: Allowed) -> str:
    """Why a request to this address would be refused; "" when it would not."""
    if REFERENCE.sub(SOME_RESULT, url) in allowed:
        return ""
    return f"{url} is not under JOBS_HTTP_ALLOWED"


def _misses(path: list[str], by_name: Mapping[str, StepKind]) -> str:
    """Why a path into an earlier result leads nowhere; "" when it may lead somewhere."""
    kind = by_name[path[1]]
    held = RESULTS.get(kind)
    if held is None or len(path) == 2 or path[2] in held:
        return ""
    return f"{{{{ {'.'.join(path)} }}}} leads nowhere: the result of a step of kind {kind} has no {path[2]!r}"


def _longest(step: NewStep, rules: Rules) -> float | None:
    if step.kind is StepKind.BREAKPOINT:
        return step.approval.expires_seconds
    if step.kind is StepKind.WAIT:
        return step.seconds or 0
    if step.map is not None:
        each = [_longest(child, rules) for child in step.map.steps]
        known = isinstance(step.map.items, list) and None not in each
        return _rounds(step.map) * sum(seconds or 0 for seconds in each) if known else None
    first = step.backoff_seconds or rules.retry_first_seconds
    pauses = (first * 2.0**attempt for attempt in range(step.max_attempts - 1))
    longest = max(first, rules.retry_longest_seconds)
    return step.max_attempts * step.timeout_seconds + sum(min(longest, each) for each in pauses)


def _rounds(over: MapOver) -> int:
    return math.ceil(len(over.items) / over.parallel)


def _has_effects(step: NewStep) -> bool:
    if step.request is not None:
        return step.request.method not in READING
    if step.map is not None:
        return any(_has_effects(each) for each in step.map.steps)
    return step.kind in (StepKind.AGENT, StepKind.FUNCTION, StepKind.TOOL)


def _would(step: NewStep) -> str:
    match step.kind:
        case StepKind.AGENT:
            return f"asks {step.agent or 'whichever agent fits'}: {_short(step.message or '')}"
        case StepKind.WAIT:
            return f"waits for {step.seconds or 0:g} s"
        case StepKind.BREAKPOINT:
            return "waits until a human approves, rejects or skips it"
        case StepKind.FUNCTION:
            return f"calls the function {step.function} with {_short(_json(step.arguments))}"
        case StepKind.HTTP:
            assert step.request is not None  # a plan without faults
            return f"sends {step.request.method} {_short(step.request.url)}"
        case StepKind.TOOL:
            assert step.tool is not None
            return f"calls the tool {step.tool.name} with {_short(_json(step.arguments))}"
        case StepKind.MAP:
            assert step.map is not None
            items = step.map.items
            over = f"each of {len(items)} items" if isinstance(items, list) else f"each of {_short(items)}"
            return f"starts a child of {len(step.map.steps)} steps for {over}, {step.map.parallel} at once"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_SHOWN else line[: LONGEST_SHOWN - 1] + "…"
