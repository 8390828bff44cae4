"""The parameters of a runbook: what may be asked for, and which values fit."""

import json
import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import StringConstraints

from bureau_contracts.shapes import Request, Text


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

    @property
    def about(self) -> str:
        """Its description as an afterthought."""
        return f" ({self.description})" if self.description else ""


def fits(value: Any, kind: ParameterType) -> bool:
    if isinstance(value, bool):
        return kind is ParameterType.BOOLEAN
    return isinstance(value, _TYPES[kind]) and not (isinstance(value, float) and not math.isfinite(value))


def parsed(text: str, kind: ParameterType) -> Any:
    """The value that a command line means. Raises ValueError."""
    if kind is ParameterType.STRING:
        return text
    if kind is ParameterType.INTEGER:
        return int(text)
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not fits(value, kind):
        raise ValueError(text)
    return value
