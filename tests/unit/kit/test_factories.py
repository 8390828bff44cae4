"""Factories by name: only from allowed modules, and every failure says why."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.factories import FactoryError, FactoryResolver


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    package = tmp_path / "factories_for_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "good.py").write_text(
        "def make(size: int = 1): return ['x'] * size\ndef bad(): raise OSError('no disk')\nnot_callable = 1\n"
    )
    (package / "broken.py").write_text("raise ImportError('half installed')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield package.name
    for name in [name for name in sys.modules if name.startswith(package.name)]:
        del sys.modules[name]


def test_a_factory_is_imported_and_called_with_its_parameters(modules: str) -> None:
    assert FactoryResolver([modules]).build(f"{modules}.good", "make", {"size": 2}) == ["x", "x"]


@pytest.mark.parametrize("module", ["os", "os.path", "factories_for_test2.good", "factories"])
def test_a_module_outside_of_the_allowed_prefixes_is_never_imported(modules: str, module: str) -> None:
    before = set(sys.modules)
    with pytest.raises(FactoryError, match="not under an allowed prefix"):
        FactoryResolver([modules + "."]).resolve(module, "system")
    assert set(sys.modules) == before


def test_without_prefixes_nothing_is_allowed(modules: str) -> None:
    for prefixes in ([], [""], ["."]):
        with pytest.raises(FactoryError, match="not under an allowed prefix"):
            FactoryResolver(prefixes).resolve(f"{modules}.good", "make")


@pytest.mark.parametrize(
    ("module", "function", "parameters", "reason"),
    [
        ("good", "make", {"colour": 1}, "colour"),
        ("good", "missing", {}, "no function 'missing'"),
        ("good", "not_callable", {}, "no function"),
        ("good", "__import__", {}, "no function"),
        ("good", "bad", {}, "no disk"),
        ("broken", "make", {}, "half installed"),
        ("absent", "make", {}, "cannot be imported"),
    ],
)
def test_a_failure_says_why(modules: str, module: str, function: str, parameters: dict[str, int], reason: str) -> None:
    with pytest.raises(FactoryError, match=reason):
        FactoryResolver([modules]).build(f"{modules}.{module}", function, parameters)
