"""What a job would do, told without doing it: calls nobody, keeps nothing, and says what it cannot know."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from bureau_contracts.jobs import DryRun, DryStep, StartJob
from bureau_contracts.plans import REFERENCE, parts, references, referring
from bureau_contracts.steps import HttpMethod, MapOver, NewStep, StepKind
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
    paths = (path for step in start.steps for value in referring(step).values() for path in references(value))
    named = sum(path[0] == "input" for path in paths)
    return named * len(_json(start.input)) > MOST_FILLED_IN


def _forecast(
    index: int, step: NewStep, known: Mapping[str, Any] | None, by_name: Mapping[str, StepKind], rules: Rules
) -> DryStep:
    filled, problems = _filled(step, known) if known is not None else (step, [])
    if filled.request is not None and (reason := _refusal(filled.request.url, rules.allowed)):
        problems.append(reason)
    paths = [path for value in referring(step).values() for path in references(value) if path[0] == "steps"]
    awaited = dict.fromkeys(".".join(path) for path in paths)
    problems += dict.fromkeys(reason for path in paths if (reason := _misses(path, by_name)))
    return DryStep(
        index=index, name=step.name, kind=step.kind, would=_would(filled), definition=filled, waits_for=list(awaited),
        effects=_has_effects(step), repeatable=repeatable(step), needs_approval=step.kind is StepKind.BREAKPOINT,
        longest_seconds=_longest(step, rules), problems=problems,
    )  # fmt: skip


def _filled(step: NewStep, known: Mapping[str, Any]) -> tuple[NewStep, list[str]]:
    """As `steps.with_references` does it, with the job's input alone. What leads nowhere stays, and is a problem."""
    problems: list[str] = []

    def filled(value: Any, *, address: bool = False) -> Any:
        if isinstance(value, dict):
            return {key: filled(child) for key, child in value.items()}
        if isinstance(value, list):
            return [filled(child) for child in value]
        if not isinstance(value, str):
            return value
        try:
            return _fill_known(value, {"input": known}, address=address)
        except BadReference as error:
            problems.append(str(error))
            return value

    changed: dict[str, Any] = {"arguments": filled(step.arguments)}
    message = filled(step.message)
    changed["message"] = message if message is None or isinstance(message, str) else _json(message)
    if step.request is not None:
        url, body = filled(step.request.url, address=True), filled(step.request.body)
        changed["request"] = step.request.model_copy(update={"url": url, "body": body})
    return step.model_copy(update=changed), problems


def _fill_known(text: str, scope: Mapping[str, Any], *, address: bool) -> Any:
    if not address and all(path[0] == "input" for path in references(text)):
        return fill(text, scope)

    def stand(match: re.Match[str]) -> str:
        if parts(match[1])[0] != "input":
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
