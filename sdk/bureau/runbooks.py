"""Runbooks: jobs in files, with parameters. Reads and checks them, and makes the job; starts nothing.

    title: Costs of a month
    parameters:
      - name: month
        description: such as 2026-09
    steps:
      - name: costs
        kind: agent
        agent: finops
        message: what did we pay in {{ input.month }}?

A parameter's value is the job's input of the same name. Every error says file and line.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints, ValidationError

from bureau.documents import BadDocument, Document, Fault, Place, read_document
from bureau_contracts.jobs import StartJob
from bureau_contracts.plans import REFERENCE, BadReference, faults, references, referring
from bureau_contracts.shapes import Request, Text
from bureau_contracts.steps import NewStep


class ParameterType(StrEnum):
    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    LIST = "list"
    OBJECT = "object"


_TYPES: Mapping[ParameterType, tuple[type, ...]] = {
    ParameterType.STRING: (str,),
    ParameterType.INTEGER: (int,),
    ParameterType.NUMBER: (int, float),
    ParameterType.BOOLEAN: (bool,),
    ParameterType.LIST: (list,),
    ParameterType.OBJECT: (dict,),
}


class Parameter(Request):
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]
    type: ParameterType = ParameterType.STRING
    required: bool | None = None
    """None: when it has no default, and null is one. What is neither required nor given is null."""
    default: Any = None
    description: Text = ""

    @property
    def needed(self) -> bool:
        return "default" not in self.model_fields_set if self.required is None else self.required


class Runbook(StartJob):
    """A job with parameters. `input` holds what is the same for every run."""

    description: Text = ""
    parameters: list[Parameter] = Field(default_factory=list, max_length=100)


class BadRunbook(Exception):
    """A runbook, or what was given for its parameters, cannot be used. One line per fault: ``file:line: what``."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = list(lines)


@dataclass(frozen=True)
class RunbookFile:
    path: Path
    runbook: Runbook

    def job(self, values: Mapping[str, Any]) -> StartJob:
        """The job for these values. Raises BadRunbook with all that is wrong with them."""
        declared = {parameter.name: parameter for parameter in self.runbook.parameters}
        wrong = [f"{name}: there is no such parameter" for name in values if name not in declared]
        given = dict(self.runbook.input)
        for name, parameter in declared.items():
            value = values.get(name, parameter.default)
            if value is None:
                wrong += [f"{name}: is required{_about(parameter)}"] if parameter.needed else []
            elif not _fits(value, parameter.type):
                wrong.append(f"{name}: is a {parameter.type}, not {json.dumps(value, ensure_ascii=False, default=str)}")
            given[name] = value
        if wrong:
            raise BadRunbook([f"{self.path}: {each}" for each in wrong])
        fields = {name: getattr(self.runbook, name) for name in StartJob.model_fields}
        return StartJob(**{**fields, "input": given})

    def parse(self, assignments: Sequence[str]) -> dict[str, Any]:
        """``name=value`` as a command line has them, each as its parameter's type. Raises BadRunbook."""
        types = {parameter.name: parameter.type for parameter in self.runbook.parameters}
        values: dict[str, Any] = {}
        wrong: list[str] = []
        for assignment in assignments:
            name, equals, text = assignment.partition("=")
            if not equals:
                wrong.append(f"{assignment}: write name=value")
            elif name in values:
                wrong.append(f"{name}: is given twice")
            else:
                try:
                    values[name] = _parsed(text, types.get(name, ParameterType.STRING))
                except ValueError:
                    wrong.append(f"{name}: {text!r} is no {types[name]}")
        if wrong:
            raise BadRunbook([f"{self.path}: {each}" for each in wrong])
        return values


def read_runbook(path: Path) -> RunbookFile:
    """Reads and checks. Raises BadRunbook with everything that is wrong, in the order of the lines."""
    try:
        document = read_document(path)
    except OSError as error:
        raise BadRunbook([f"{path}: {error.strerror}"]) from error
    except BadDocument as error:
        raise BadRunbook([f"{path}:{fault.line}: {fault.message}" for fault in error.faults]) from error
    found, runbook = _check(document)
    if runbook is None or found:
        raise BadRunbook([f"{path}:{fault.line}: {fault.message}" for fault in sorted(set(found))])
    return RunbookFile(path, runbook)


def _check(document: Document) -> tuple[list[Fault], Runbook | None]:
    try:
        runbook = Runbook.model_validate(document.value)
    except ValidationError as error:
        found = [_fault(document, each["loc"], each["msg"]) for each in error.errors(include_url=False)]
        return found + list(_salvaged(document)), None
    wrong = [*_parameter_faults(runbook), *_reference_faults(runbook)]
    wrong += [(tuple(_place(each.location)), each.message) for each in faults(runbook.steps)]
    return [_fault(document, place, message) for place, message in wrong], runbook


def _fault(document: Document, place: Place, message: str) -> Fault:
    where = ".".join(str(part) for part in place)
    said = {"Extra inputs are not permitted": "there is no such field", "Field required": "is missing"}
    return Fault(document.line(place), f"{where}: {said.get(message, message)}" if where else message)


def _salvaged(document: Document) -> Iterator[Fault]:
    """Of a file that is no runbook: names that come twice and references that lead nowhere, so far as they can be
    read, so that nobody has to mend a file twice."""
    value = document.value if isinstance(document.value, dict) else {}
    known: set[Any] = set(value["input"]) if isinstance(value.get("input"), dict) else set()
    for index, each in enumerate(_objects(value.get("parameters"))):
        if (name := _name(each)) in known:
            yield _fault(document, ("parameters", index, "name"), "an earlier one has the same name")
        known |= {name} - {""}
    before = set[str]()
    for index, each in enumerate(_objects(value.get("steps"))):
        request = each.get("request") if isinstance(each.get("request"), dict) else {}
        for part in ("message", "arguments", "url", "body"):
            place: Place = ("request", part) if part in ("url", "body") else (part,)
            for message in _astray((request if len(place) == 2 else each).get(part), known, before):
                yield _fault(document, ("steps", index, *place), message)
        if (name := _name(each)) in before:
            yield _fault(document, ("steps", index, "name"), "an earlier step has the same name")
        before |= {name} - {""}


def _name(record: Mapping[str, Any]) -> str:
    name = record.get("name")
    return name if isinstance(name, str) else ""


def _objects(value: Any) -> list[Any]:
    """What can be read of a list of objects; the rest are empty ones, so that the others keep their numbers."""
    return [each if isinstance(each, dict) else {} for each in value] if isinstance(value, list) else []


def _astray(value: Any, known: set[Any], before: set[str]) -> list[str]:
    try:
        paths = list(references(value))
    except BadReference as error:
        return [str(error)]
    steps = sorted({path[1] for path in paths if path[0] == "steps"} - before)
    names = sorted({path[1] for path in paths if path[0] == "input" and len(path) > 1} - known)
    return [f"no earlier step is called {each!r}" for each in steps] + [
        f"no parameter is called {each!r}" for each in names
    ]


def _parameter_faults(runbook: Runbook) -> Iterator[tuple[Place, str]]:
    seen = set[str]()
    for index, parameter in enumerate(runbook.parameters):
        place: Place = ("parameters", index)
        if parameter.name in seen:
            yield (*place, "name"), "an earlier parameter has the same name"
        seen.add(parameter.name)
        if parameter.name in runbook.input:
            yield (*place, "name"), "is in `input` already"
        if parameter.default is not None:
            if parameter.required:
                yield (*place, "default"), "a parameter with a default is not required"
            if not _fits(parameter.default, parameter.type):
                yield (*place, "default"), f"is no {parameter.type}"


def _reference_faults(runbook: Runbook) -> Iterator[tuple[Place, str]]:
    known: set[Any] = {parameter.name for parameter in runbook.parameters} | set(runbook.input)
    before = set[str]()
    if REFERENCE.search(runbook.title):
        yield ("title",), "references are not filled in here"
    for index, step in enumerate(runbook.steps):
        for field, value in referring(step).items():
            for message in _astray(value, known, before):
                yield ("steps", index, *field.split(".")), message
        for place, text in _plain_texts(step):
            if REFERENCE.search(text):
                yield ("steps", index, *place), "references are not filled in here"
        before.add(step.name)


def _plain_texts(step: NewStep) -> Iterator[tuple[Place, str]]:
    yield ("name",), step.name
    yield ("function",), step.function or ""
    for name, text in (step.request.headers if step.request else {}).items():
        yield ("request", "headers", name), text


def _place(location: str) -> Iterator[str | int]:
    for part in location.split("."):
        yield int(part) if part.isdigit() else part


def _fits(value: Any, kind: ParameterType) -> bool:
    if isinstance(value, bool):
        return kind is ParameterType.BOOLEAN
    return isinstance(value, _TYPES[kind]) and not (isinstance(value, float) and not math.isfinite(value))


def _parsed(text: str, kind: ParameterType) -> Any:
    """Raises ValueError."""
    if kind is ParameterType.STRING:
        return text
    if kind is ParameterType.INTEGER:
        return int(text)
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not _fits(value, kind):
        raise ValueError(text)
    return value


def _about(parameter: Parameter) -> str:
    return f" ({parameter.description})" if parameter.description else ""
