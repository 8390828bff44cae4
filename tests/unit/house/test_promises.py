"""A promise without a test fails here, and so does a test that is named and not there."""

import ast
from pathlib import Path

import pytest

from tests.promises import PROMISES

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_has_tests_that_exist(promise: str) -> None:
    assert PROMISES[promise], "no test shows this promise"
    for named in PROMISES[promise]:
        path, _, name = named.partition("::")
        functions = {
            node.name
            for node in ast.walk(ast.parse((ROOT / path).read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert name in functions, f"{named} is not there"
