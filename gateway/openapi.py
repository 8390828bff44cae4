"""One OpenAPI document out of every service's own. Pure; who fetches them is `pages`'s matter.

A schema that two services define alike is kept once. Where they differ, the later one is renamed `<Service><Name>`,
and so is whatever refers to it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Document = Mapping[str, Any]

_SCHEMA = "#/components/schemas/"
_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
SECURITY: Document = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key: `Authorization: Bearer bk_…`"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key, as a header"},
}


def merge(documents: Mapping[str, Document], prefixes: Mapping[str, tuple[str, ...]], info: Document) -> dict[str, Any]:
    """`documents` by service, in the order in which they are shown; only paths below a service's prefixes are kept."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    tags = []
    for service, document in documents.items():
        tags.append({"name": service, "description": document.get("info", {}).get("title", service)})
        own = document.get("components", {}).get("schemas", {})
        names = _names(service, own, schemas)
        schemas |= {names[name]: _renamed(schema, names) for name, schema in own.items()}
        for path, item in document.get("paths", {}).items():
            if path.split("/", 2)[1] in prefixes[service]:
                paths[path] = _tagged(_renamed(item, names), service)
    return {
        "openapi": "3.1.0",
        "info": dict(info),
        "tags": tags,
        "security": [{name: []} for name in SECURITY],
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.items())), "securitySchemes": dict(SECURITY)},
    }


def _names(service: str, own: Document, taken: Document) -> dict[str, str]:
    """What each of a service's schemas is called in the merged document."""
    differing = {name for name, schema in own.items() if name in taken and taken[name] != schema}
    # A schema that refers to a renamed one is another schema too, even when it reads the same.
    while more := {n for n, s in own.items() if n in taken and n not in differing and differing & set(_references(s))}:
        differing |= more
    return {name: _free(f"{service.title()}{name}", taken) if name in differing else name for name in own}


def _free(name: str, taken: Document) -> str:
    while name in taken:
        name += "_"
    return name


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for child in value.values():
            yield from _references(child)
    elif isinstance(value, list):
        for child in value:
            yield from _references(child)
    elif isinstance(value, str) and value.startswith(_SCHEMA):
        yield value.removeprefix(_SCHEMA)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """The same value with every reference to a schema (`$ref`, a discriminator's mapping) under its new name."""
    if isinstance(value, dict):
        return {key: _renamed(child, names) for key, child in value.items()}
    if isinstance(value, list):
        return [_renamed(child, names) for child in value]
    if isinstance(value, str) and value.startswith(_SCHEMA):
        name = value.removeprefix(_SCHEMA)
        return _SCHEMA + names.get(name, name)
    return value


def _tagged(item: dict[str, Any], service: str) -> dict[str, Any]:
    return {
        method: {**operation, "tags": [service], "operationId": f"{service}_{operation.get('operationId', method)}"}
        if method in _METHODS
        else operation
        for method, operation in item.items()
    }
