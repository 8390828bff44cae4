"""Which factories are found, without importing anything."""

import sys
from pathlib import Path

import pytest

from bureau_contracts.registry import Factory
from services.registry.factories import list_factories

SOURCE = '''
raise SystemExit("nobody may import this")

def create_agent(database, *, verbose=False):
    """Makes one.

    And more."""

def build() -> "Agent": ...
def helper(text): ...
def _hidden_agent(): ...
class Agent: ...
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    folder = tmp_path / "acme_factories" / "agents"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise SystemExit('nobody may import this')")
    (folder / "__init__.py").write_text("")
    (folder / "weather.py").write_text(SOURCE)
    (folder / "broken.py").write_text("def create_agent(:")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "acme_factories"


def test_public_functions_that_make_agents_are_found(package: str) -> None:
    module = f"{package}.agents.weather"
    expected = [
        Factory(
            factory_module=module,
            factory_function="create_agent",
            parameters=["database", "verbose"],
            description="Makes one.",
        ),
        Factory(factory_module=module, factory_function="build"),
    ]
    for prefix in (f"{package}.", package, f"{package}.agents.", module):
        assert list_factories([prefix]) == expected
    assert not any(name.startswith(package) for name in sys.modules)


@pytest.mark.parametrize(
    "prefix", ["", ".", "no_such_package.", "json.decoder", "sys", "__main__", "acme..agents", "/"]
)
def test_a_prefix_without_factories_has_none(prefix: str) -> None:
    assert list_factories([prefix]) == []
