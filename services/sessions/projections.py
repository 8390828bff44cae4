"""`fields=`: a page of which only the named fields are sent. What is between stores and service stays whole."""

from typing import Annotated, Any

from fastapi import Query, Response
from pydantic import BaseModel

from kit.errors import Invalid

Fields = Annotated[str | None, Query(max_length=500, description="Names, separated by commas; all fields without it.")]


def projected(page: BaseModel, items: str, model: type[BaseModel], fields: str | None) -> Response:
    """The page as JSON, each of its `items` (a `model`) cut down to the fields. Raises Invalid for an unknown one."""
    wanted = None if fields is None else _names(fields, model)
    include: dict[str, Any] | None = None
    if wanted is not None:
        include = {**dict.fromkeys(type(page).model_fields, True), items: {"__all__": wanted}}
    return Response(page.model_dump_json(include=include), media_type="application/json")


def _names(fields: str, model: type[BaseModel]) -> set[str]:
    names = {name.strip() for name in fields.split(",")}
    if unknown := sorted(names - set(model.model_fields)):
        known = ", ".join(model.model_fields)
        raise Invalid(f"fields: {unknown[0]!r} is none of {known}", code="unknown_field")
    return names
