"""A tool's parameters as the offline model reads them: names and JSON schemas, with references resolved."""

import re
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator

from bureau_contracts.shapes import JsonObject
from services.runtime.models.model import ToolSpec

_ID_NAME = re.compile(r"(^|_)(id|ids|key|number|ref|reference|code)$")
_TIME_NAME = re.compile(
    r"(^|_)(date|day|week|month|quarter|year|period|since|until|from|to|start|end|before|after|due|when)($|_)"
)


@dataclass(frozen=True)
class Parameter:
    name: str
    schema: JsonObject
    """With references resolved, and without the "or null" of an optional one."""
    required: bool

    @property
    def kind(self) -> str:
        return str(self.schema.get("type", ""))

    @property
    def is_identifier(self) -> bool:
        return _ID_NAME.search(self.name) is not None and self.kind in ("string", "integer", "")

    @property
    def is_time(self) -> bool:
        return self.schema.get("format") in ("date", "date-time") or _TIME_NAME.search(self.name) is not None

    @property
    def choices(self) -> list[Any]:
        schema = self.schema.get("items", self.schema) if self.kind == "array" else self.schema
        return list(schema.get("enum", [])) if isinstance(schema, dict) else []

    def fits(self, value: Any) -> bool:
        return bool(Draft202012Validator(self.schema).is_valid(value))


def parameters(tool: ToolSpec) -> list[Parameter]:
    schema = tool.parameters
    required = schema.get("required", [])
    return [
        Parameter(name, _resolved(each, schema), name in required)
        for name, each in schema.get("properties", {}).items()
        if isinstance(each, dict)
    ]


def _resolved(schema: JsonObject, root: JsonObject) -> JsonObject:
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        named = root.get("$defs", {}).get(reference.removeprefix("#/$defs/"), {})
        return {**_resolved(named, root), **{key: value for key, value in schema.items() if key != "$ref"}}
    options = [each for each in schema.get("anyOf", []) if isinstance(each, dict) and each.get("type") != "null"]
    if len(options) == 1:
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        return {**rest, **_resolved(options[0], root)}
    if schema.get("type") == "array" and isinstance(schema.get("items"), dict):
        return {**schema, "items": _resolved(schema["items"], root)}
    if "const" in schema:
        return {**schema, "enum": [schema["const"]]}
    return schema
