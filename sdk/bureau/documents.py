"""A YAML or JSON file as a JSON value, with the line of everything in it. Knows no meaning of what it reads."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

MOST_NODES = 50_000
DEEPEST = 60
"""Values within values; deeper, or more than `MOST_NODES` of them, is no file that a person wrote."""
_JSON_TAGS = frozenset(f"tag:yaml.org,2002:{each}" for each in ("map", "seq", "str", "int", "float", "bool", "null"))

Place = tuple[str | int, ...]
"""Where in the value: ``("steps", 2, "name")``."""


@dataclass(frozen=True, order=True)
class Fault:
    line: int
    """1-based."""
    message: str


class BadDocument(Exception):
    """The file is not one JSON value. `faults` has everything that was found."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"line {fault.line}: {fault.message}" for fault in faults))
        self.faults = sorted(faults)


@dataclass(frozen=True)
class Document:
    value: Any
    lines: dict[Place, int] = field(default_factory=dict)

    def line(self, place: Place) -> int:
        """Of what stands there, or of the nearest thing around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


class JsonLoader(yaml.SafeLoader):
    """YAML as JSON has it: a date stays the text that it is."""


JsonLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_document(path: Path) -> Document:
    """One value. Raises BadDocument; OSError when the file cannot be read."""
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise BadDocument([Fault(1, f"is not UTF-8: {error}")]) from error
    return parse_json(text) if path.suffix == ".json" else parse_yaml(text)


def parse_json(text: str) -> Document:
    """Raises BadDocument."""
    try:
        value = json.loads(text)
        json.dumps(value, allow_nan=False)
    except json.JSONDecodeError as error:
        raise BadDocument([Fault(error.lineno, error.msg)]) from error
    except RecursionError as error:
        raise BadDocument([Fault(1, f"is nested more than {DEEPEST} deep")]) from error
    except ValueError as error:
        raise BadDocument([Fault(1, f"NaN and Infinity are no numbers in JSON: {error}")]) from error
    # JSON is YAML but for its tabs; only the lines are taken from it.
    return Document(value, parse_yaml(text.replace("\t", " ")).lines)


def parse_yaml(text: str) -> Document:
    """Raises BadDocument."""
    try:
        loader = JsonLoader(text)
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(each for each in (error.context, error.problem) if each)
        raise BadDocument([Fault(mark.line + 1 if mark else 1, said)]) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise BadDocument([Fault(1, str(error))]) from error
    if root is None:
        raise BadDocument([Fault(1, "is empty")])
    survey = _Survey()
    survey.walk(root, ())
    if survey.faults:
        raise BadDocument(survey.faults)
    try:
        return Document(loader.construct_document(root), survey.lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise BadDocument([Fault(mark.line + 1 if mark else 1, error.problem or str(error))]) from error
    except ValueError as error:
        raise BadDocument([Fault(1, str(error))]) from error


@dataclass
class _Survey:
    lines: dict[Place, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    count: int = 0

    def walk(self, node: yaml.Node, place: Place, line: int | None = None) -> None:
        self.count += 1
        line = line or node.start_mark.line + 1
        self.lines[place] = line
        if self.count > MOST_NODES or len(place) > DEEPEST:
            # An alias within itself has no end, and ten of ten of ten of them have none in practice.
            reason = f"is nested more than {DEEPEST} deep" if len(place) > DEEPEST else f"has over {MOST_NODES} values"
            raise BadDocument([Fault(line, reason)])
        if node.tag not in _JSON_TAGS:
            self.faults.append(Fault(line, f"{node.tag} is nothing that JSON has"))
        elif isinstance(node, yaml.MappingNode):
            for key, key_line, value in self._members(node):
                self.walk(value, (*place, key), key_line)
        elif isinstance(node, yaml.SequenceNode):
            for index, child in enumerate(node.value):
                self.walk(child, (*place, index))
        elif node.tag.endswith(":float") and not math.isfinite(_number(node.value)):
            self.faults.append(Fault(line, f"{node.value} is no number in JSON"))

    def _members(self, node: yaml.MappingNode) -> Iterator[tuple[str, int, yaml.Node]]:
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag.endswith(":merge"):
                yield "<<", line, value
            elif not key.tag.endswith(":str"):
                self.faults.append(Fault(line, f"the name of a field is a text, not {_shown(key)}"))
            elif key.value in seen:
                self.faults.append(Fault(line, f"{key.value!r} is here twice; first in line {seen[key.value]}"))
            else:
                seen[key.value] = line
                yield key.value, line, value


def _shown(node: yaml.Node) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else "a list or an object"


def _number(text: str) -> float:
    try:
        return float(text.replace("_", ""))
    except ValueError:
        # .inf and .nan are YAML's own; 1:30.5 is base 60, and finite.
        return math.inf if "." in text and ":" not in text else 0.0
