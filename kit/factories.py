"""Import what a reference names, a module and a function, from an allow-list of module prefixes only."""

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class FactoryError(Exception):
    """A factory cannot be used; the message says why."""


class FactoryResolver:
    """Imports only modules under one of `prefixes`. Python keeps imported modules, so a second time is free."""

    def __init__(self, prefixes: Sequence[str]) -> None:
        self._prefixes = tuple(prefix.rstrip(".") for prefix in prefixes if prefix.strip("."))

    def resolve(self, module: str, function: str) -> Callable[..., Any]:
        """Raises FactoryError when the module is not allowed, cannot be imported, or has no such function."""
        if not any(module == prefix or module.startswith(prefix + ".") for prefix in self._prefixes):
            raise FactoryError(
                f"module {module!r} is not under an allowed prefix ({', '.join(self._prefixes) or 'none'})"
            )
        try:
            found = getattr(importlib.import_module(module), function, None)
        except Exception as error:
            raise FactoryError(f"module {module!r} cannot be imported: {error!r}") from error
        if not callable(found) or function.startswith("_"):
            raise FactoryError(f"module {module!r} has no function {function!r}")
        return found  # type: ignore[no-any-return]  # what somebody else's module holds has no type

    def build(self, module: str, function: str, parameters: Mapping[str, Any]) -> Any:
        """What the factory makes of the parameters. Raises FactoryError, also when it fails itself."""
        factory = self.resolve(module, function)
        try:
            inspect.signature(factory).bind(**parameters)
        except TypeError as error:
            raise FactoryError(f"{module}.{function}: {error}") from error
        try:
            return factory(**parameters)
        except Exception as error:
            raise FactoryError(f"{module}.{function} failed: {error!r}") from error
