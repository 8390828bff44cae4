"""Docs are tested: what is not documented fails here."""

import re
from pathlib import Path

import pytest
import yaml

from deploy import env_example
from deploy.local.stack import STACK
from kit.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
MARKDOWN = sorted(
    path for path in ROOT.rglob("*.md") if not {".venv", ".bureau", "node_modules"} & set(path.relative_to(ROOT).parts)
)
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
OWN_ROOMS = ("services/registry", "services/sessions", "services/memory", "services/jobs", "services/runtime",
             "services/evaluation", "gateway", "kit", "sdk", "contracts", "deploy/local", "examples")  # fmt: skip


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_env_example_holds_every_setting_with_its_default() -> None:
    assert (ROOT / ".env.example").read_text() == env_example.text(), "run: make docs"


@pytest.mark.parametrize("settings", env_example.settings_classes(), ids=lambda each: each.prefix)
def test_every_setting_says_what_it_is(settings: type[Settings]) -> None:
    silent = [
        name for name in settings.model_fields if name != "common" and not env_example.description(settings, name)
    ]
    assert silent == []


@pytest.mark.parametrize("path", MARKDOWN, ids=relative)
def test_every_link_of_a_page_leads_somewhere(path: Path) -> None:
    broken = [link for link in LINK.findall(path.read_text()) if not (path.parent / link).exists()]
    assert broken == []


@pytest.mark.parametrize("room", OWN_ROOMS)
def test_every_room_has_a_readme(room: str) -> None:
    assert (ROOT / room / "README.md").exists()


def test_the_index_of_decisions_is_complete() -> None:
    index = (ROOT / "docs" / "adr" / "README.md").read_text()
    records = {path.name for path in (ROOT / "docs" / "adr").glob("[0-9]*.md")}
    assert set(re.findall(r"\((\d{4}-[^)]+\.md)\)", index)) == records


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "adr").glob("[0-9]*.md")), ids=lambda path: path.stem)
def test_a_decision_names_the_check_that_holds_it(path: Path) -> None:
    text = path.read_text()
    assert text.startswith(f"# {path.name[:4]} ")
    assert "**Decision.**" in text
    assert "**Held by**" in text
    named = re.findall(r"`((?:tests|benchmarks|kit|deploy)/[\w./]+)", text)
    assert [place for place in named if not (ROOT / place.rstrip("/.")).exists()] == []


def compose() -> dict[str, dict[str, object]]:
    services: dict[str, dict[str, object]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return services


def test_compose_starts_every_process_that_make_up_starts() -> None:
    assert {process.name for process in STACK} <= set(compose())


def test_compose_sets_only_settings_that_exist() -> None:
    known = {"POSTGRES_DB", "POSTGRES_USER", "POSTGRES_PASSWORD"}
    for each in env_example.settings_classes():
        known |= {each.prefix + name.upper() for name in each.model_fields}
    named = {name.removesuffix("_FILE") if name.removesuffix("_FILE") in known else name
             for service in compose().values() for name in service.get("environment", {})}  # type: ignore[attr-defined]  # fmt: skip
    assert named - known == set()


def test_secrets_are_declared_as_secrets() -> None:
    """A setting whose name says that it is one must not show in a log of the settings."""
    for each in env_example.settings_classes():
        for name, field in each.model_fields.items():
            if name.endswith(("_key", "password", "secret", "token")):
                assert "SecretStr" in str(field.annotation), f"{each.prefix}{name.upper()} would show"


def test_make_help_names_every_target() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = set(re.findall(r"^\.PHONY: (\S+)", text, re.M)) - {"install"}
    assert phony == set(re.findall(r"^([a-z-]+):[^#\n]*## ", text, re.M))
