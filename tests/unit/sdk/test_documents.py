"""YAML and JSON files, and where in them everything stands."""

import pytest

from bureau.documents import BadDocument, parse_json, parse_yaml


def test_everything_has_its_line() -> None:
    document = parse_yaml("a: 1\nb:\n  - x\n  - c: |\n      two\n      lines\n")
    assert document.value == {"a": 1, "b": ["x", {"c": "two\nlines\n"}]}
    assert [document.line(place) for place in (("a",), ("b", 0), ("b", 1, "c"))] == [1, 3, 4]
    assert document.line(("b", 1, "missing", 7)) == 4, "what is not there stands where the thing around it does"


def test_json_has_lines_too_and_may_be_indented_with_tabs() -> None:
    document = parse_json('{\n\t"a": [\n\t\t1,\n\t\t{"b": "\\ud83d\\ude00"}\n\t]\n}')
    assert document.value == {"a": [1, {"b": "😀"}]}
    assert document.line(("a", 1, "b")) == 4


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a: 1\nb: [1,\n", 3, "flow"),
        ("a: 1\nb: 2\na: 3\n", 3, "'a' is here twice; first in line 1"),
        ("a:\n  1: x\n", 2, "the name of a field is a text, not 1"),
        ("a: !!python/object:os.system {}\n", 1, "nothing that JSON has"),
        ("a: 1\nb: !!set {x}\n", 2, "nothing that JSON has"),
        ("a: .inf\n", 1, "no number in JSON"),
        ("a: 1\n---\nb: 2\n", 2, "document"),
        ("", 1, "is empty"),
        ("x: &x [*x]\n", 1, "nested"),
        ("[" * 5000, 1, ""),
        ("a: &a [1]\nb: *c\n", 2, "undefined alias"),
    ],
)
def test_what_is_no_json_value_is_refused_with_its_line(text: str, line: int, reason: str) -> None:
    with pytest.raises(BadDocument) as raised:
        parse_yaml(text)
    assert raised.value.faults[0].line == line
    assert reason in raised.value.faults[0].message


def test_ten_of_ten_of_ten_aliases_are_no_file_that_a_person_wrote() -> None:
    levels = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(BadDocument, match="has over"):
        parse_yaml("\n".join(levels))


@pytest.mark.parametrize(
    ("text", "line"), [('{"a": 1,\n "b" 2}', 2), ('{"a": 1,\n "a": 2}', 2), ('{"a": NaN}', 1), ('{"a": 1e999}', 1)]
)
def test_json_that_is_wrong_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(BadDocument) as raised:
        parse_json(text)
    assert raised.value.faults[0].line == line
