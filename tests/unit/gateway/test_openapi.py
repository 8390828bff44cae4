"""One document out of many: nothing lost, nothing mixed up."""

from typing import Any

from gateway.openapi import merge

PREFIXES = {"one": ("one",), "two": ("two", "second")}


def document(service: str, schemas: dict[str, Any], **paths: str) -> dict[str, Any]:
    """Paths by the schema that they answer."""
    return {
        "info": {"title": service.title()},
        "paths": {
            path.replace("_", "/"): {
                "get": {"operationId": "read", "answers": {"$ref": f"#/components/schemas/{name}"}}
            }
            for path, name in paths.items()
        },
        "components": {"schemas": schemas},
    }


def answered(merged: dict[str, Any], path: str) -> dict[str, Any]:
    """The schema that a path answers, looked up as a reader of the document would."""
    reference: str = merged["paths"][path]["get"]["answers"]["$ref"]
    schema: dict[str, Any] = merged["components"]["schemas"][reference.rsplit("/", 1)[1]]
    return schema


def test_paths_are_united_and_tagged_by_service() -> None:
    merged = merge(
        {"one": document("one", {"A": {}}, _one_a="A"), "two": document("two", {"B": {}}, _second="B")}, PREFIXES, {}
    )
    assert {path: item["get"]["tags"] for path, item in merged["paths"].items()} == {
        "/one/a": ["one"],
        "/second": ["two"],
    }
    assert [tag["name"] for tag in merged["tags"]] == ["one", "two"]
    operation_ids = [item["get"]["operationId"] for item in merged["paths"].values()]
    assert len(set(operation_ids)) == 2


def test_a_services_own_pages_are_left_out() -> None:
    merged = merge({"one": document("one", {"A": {}}, _health="A", _two="A", _one="A")}, PREFIXES, {})
    assert set(merged["paths"]) == {"/one"}


def test_schemas_that_are_alike_are_kept_once() -> None:
    alike = {"Problem": {"type": "object"}}
    merged = merge(
        {"one": document("one", alike, _one="Problem"), "two": document("two", alike, _two="Problem")}, PREFIXES, {}
    )
    assert set(merged["components"]["schemas"]) == {"Problem"}


def test_schemas_that_differ_are_told_apart_and_so_is_what_refers_to_them() -> None:
    def schemas(kind: str) -> dict[str, Any]:
        return {
            "Leaf": {"type": kind},
            "Tree": {"items": {"$ref": "#/components/schemas/Leaf"}},
            "Wood": {"anyOf": [{"$ref": "#/components/schemas/Tree"}]},
            "Stone": {"type": "object"},
        }

    merged = merge(
        {
            "one": document("one", schemas("string"), _one="Wood"),
            "two": document("two", schemas("integer"), _two="Wood"),
        },
        PREFIXES,
        {},
    )

    def leaf(path: str) -> str:
        table = merged["components"]["schemas"]
        tree = table[answered(merged, path)["anyOf"][0]["$ref"].rsplit("/", 1)[1]]
        kind: str = table[tree["items"]["$ref"].rsplit("/", 1)[1]]["type"]
        return kind

    assert (leaf("/one"), leaf("/two")) == ("string", "integer")
    assert set(merged["components"]["schemas"]) == {"Leaf", "Tree", "Wood", "Stone", "TwoLeaf", "TwoTree", "TwoWood"}


def test_a_new_name_that_is_taken_is_not_taken_again() -> None:
    one = document("one", {"A": {"type": "string"}, "TwoA": {"type": "null"}}, _one="A", _one_b="TwoA")
    merged = merge({"one": one, "two": document("two", {"A": {"type": "integer"}}, _two="A")}, PREFIXES, {})
    types = [answered(merged, path)["type"] for path in ("/one", "/one/b", "/two")]
    assert types == ["string", "null", "integer"]


def test_without_any_service_the_document_is_still_one() -> None:
    merged = merge({}, PREFIXES, {"title": "Bureau", "version": "1"})
    assert (merged["openapi"], merged["paths"], merged["info"]["title"]) == ("3.1.0", {}, "Bureau")
