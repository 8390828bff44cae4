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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from bureau.documents import BadDocument, Document, Fault, Place, read_document
from bureau.runbook_names import misnamed
from bureau.runbook_parameters import Parameter, ParameterType, fits, parsed
from bureau_contracts.jobs import StartJob
from bureau_contracts.plans import faults
from bureau_contracts.shapes import Text
from bureau_contracts.steps import NewStep

M = TypeVar("M", bound=BaseModel)


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
                wrong += [f"{name}: is required{parameter.about}"] if parameter.needed else []
            elif not fits(value, parameter.type):
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
                    values[name] = parsed(text, types.get(name, ParameterType.STRING))
                except ValueError:
                    wrong.append(f"{name}: {text!r} is no {types[name]}")
        if wrong:
            raise BadRunbook([f"{self.path}: {each}" for each in wrong])
        return values


def read_runbook(path: Path) -> RunbookFile:
    """Reads and checks. Raises BadRunbook with everything that is wrong, in the order of the lines."""
    document = _document(path)
    runbook, found = _shaped(document, Runbook)
    found += [_fault(document, place, message) for place, message in misnamed(document.value)]
    if runbook is not None:
        wrong = [*_default_faults(runbook), *((_place(each.location), each.message) for each in faults(runbook.steps))]
        found += [_fault(document, place, message) for place, message in wrong]
    if runbook is None or found:
        raise _refusal(path, found)
    return RunbookFile(path, runbook)


def read_step(path: Path) -> NewStep:
    """One step from a file of its own; what it may refer to is not known here. Raises BadRunbook."""
    document = _document(path)
    step, found = _shaped(document, NewStep)
    if step is None:
        raise _refusal(path, found)
    return step


def _document(path: Path) -> Document:
    try:
        return read_document(path)
    except OSError as error:
        raise BadRunbook([f"{path}: {error.strerror}"]) from error
    except BadDocument as error:
        raise _refusal(path, error.faults) from error


def _shaped(document: Document, model: type[M]) -> tuple[M | None, list[Fault]]:
    try:
        return model.model_validate(document.value), []
    except ValidationError as error:
        return None, [_fault(document, each["loc"], each["msg"]) for each in error.errors(include_url=False)]


def _refusal(path: Path, found: Sequence[Fault]) -> BadRunbook:
    return BadRunbook([f"{path}:{fault.line}: {fault.message}" for fault in sorted(set(found))])


def _fault(document: Document, place: Place, message: str) -> Fault:
    where = ".".join(str(part) for part in place)
    said = {"Extra inputs are not permitted": "there is no such field", "Field required": "is missing"}
    return Fault(document.line(place), f"{where}: {said.get(message, message)}" if where else message)


def _default_faults(runbook: Runbook) -> Iterator[tuple[Place, str]]:
    for index, parameter in enumerate(runbook.parameters):
        if parameter.default is not None:
            place: Place = ("parameters", index, "default")
            if parameter.required:
                yield place, "a parameter with a default is not required"
            if not fits(parameter.default, parameter.type):
                yield place, f"is no {parameter.type}"


def _place(location: str) -> Place:
    return tuple(int(part) if part.isdigit() else part for part in location.split("."))
