"""`python -m deploy.env_example`: prints `.env.example`, every setting with its default, from the settings classes."""

import ast
import importlib
import inspect
import sys
import textwrap
from functools import cache
from itertools import pairwise
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from kit.settings import CommonSettings, Settings

ROOT = Path(__file__).resolve().parents[1]
HEADER = """\
# Every setting with its default. Copy to .env (docker compose reads it) or export what you change.
# NAME_FILE names a file that holds the value instead: a mounted secret. An unknown name with a known prefix is refused.
"""
LAUNCHER = """
# --- make up ----------------------------------------------------------------------------------------------------------

# The data folder.
# BUREAU_DATA=.bureau

# The gateway's port; the services' are this minus 80 plus 3 to 8.
# BUREAU_PORT=8080

# A Postgres with pgvector of your own; the embedded one does not start then.
# DATABASE_URL=

# A Redis or Valkey of your own, with appendonly on; the embedded one does not start then.
# REDIS_URL=

# Where the command line finds Bureau; without them it reads client.env in the data folder.
# BUREAU_URL=
# BUREAU_API_KEY=
"""
CLIENTS_AND_LAUNCHER = {"data", "port", "url", "api_key"}


def settings_classes() -> list[type[Settings]]:
    """The common ones, then those of every service that has some."""
    packages = ["gateway", *(f"services.{path.parent.name}" for path in sorted(ROOT.glob("services/*/settings.py")))]
    return [CommonSettings, *(importlib.import_module(f"{package}.settings").Settings for package in packages)]


def text() -> str:
    return HEADER + LAUNCHER + "".join(_section(each) for each in settings_classes())


def description(settings: type[Settings], name: str) -> str:
    """What stands below the field in its class, or in the class that it overrides."""
    classes = [each for each in settings.__mro__ if issubclass(each, Settings)]
    return next((said[name] for each in classes if name in (said := _said_below_fields(each))), "")


@cache
def _said_below_fields(settings: type[Settings]) -> dict[str, str]:
    """Pydantic would read it too, but at each start of each process."""
    (found,) = ast.parse(inspect.getsource(settings)).body
    assert isinstance(found, ast.ClassDef)
    said = {}
    for field, below in pairwise(found.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            said[field.target.id] = inspect.cleandoc(ast.literal_eval(below.value))
    return said


def _section(settings: type[Settings]) -> str:
    title = "every server" if settings is CommonSettings else settings.prefix.strip("_").lower()
    lines = [f"\n# --- {title} ".ljust(121, "-")]
    for name, field in settings.model_fields.items():
        if name == "common" or (settings is CommonSettings and name in CLIENTS_AND_LAUNCHER):
            continue
        described = " ".join(description(settings, name).split())
        lines += ["", textwrap.fill(described, 118, initial_indent="# ", subsequent_indent="# ")]
        lines.append(f"# {settings.prefix}{name.upper()}={_default(field)}")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None:
        return ""
    if isinstance(value, tuple | list):
        return ",".join(map(str, value))
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


if __name__ == "__main__":
    sys.stdout.write(text())
