"""The operators' routes of the sessions service, and what its health says of its file."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from kit.identity import ADMIN, TENANT_WIDE, Principal, generate_keypair
from kit.settings import CommonSettings
from services.sessions.app import create_app
from services.sessions.settings import Settings
from services.sessions.sqlite_damage import set_aside_before
from services.sessions.store_memory import MemorySessionStore
from services.sessions.store_sqlite import SqliteSessionStore
from tests.http import service_client

PRIVATE_KEY, PUBLIC_KEY = generate_keypair()
SETTINGS = Settings(common=CommonSettings(identity_public_keys=PUBLIC_KEY))
ADA = Principal("acme", "ada", scopes=frozenset({ADMIN}))


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[FastAPI]:
    app = create_app(SETTINGS, store=SqliteSessionStore(tmp_path / "sessions.db"))
    async with app.router.lifespan_context(app):
        yield app


async def test_an_admin_makes_a_copy_of_the_file(app: FastAPI, tmp_path: Path) -> None:
    async with service_client(app, ADA, "sessions", PRIVATE_KEY) as ada:
        answer = await ada.post("/sessions/backup")
    assert answer.status_code == 201
    made = answer.json()
    assert (tmp_path / "backups" / made["name"]).stat().st_size == made["size"]


@pytest.mark.parametrize("scopes", [[], [TENANT_WIDE]])
async def test_nobody_else_makes_one(app: FastAPI, tmp_path: Path, scopes: list[str]) -> None:
    async with service_client(app, Principal("acme", "bob", scopes=frozenset(scopes)), "sessions", PRIVATE_KEY) as bob:
        answer = await bob.post("/sessions/backup")
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    assert not (tmp_path / "backups").exists()


async def test_a_store_that_is_no_file_says_where_copies_are_made() -> None:
    app = create_app(SETTINGS, store=MemorySessionStore())
    async with app.router.lifespan_context(app), service_client(app, ADA, "sessions", PRIVATE_KEY) as ada:
        answer = await ada.post("/sessions/backup")
        assert (answer.status_code, answer.json()["code"]) == (409, "backup_elsewhere")
        assert (await ada.get("/health")).json()["status"] == "ok"


async def test_health_is_degraded_until_a_damaged_file_that_was_set_aside_is_gone(tmp_path: Path) -> None:
    (tmp_path / "sessions.db").write_text("no database" * 1000)
    app = create_app(SETTINGS, store=SqliteSessionStore(tmp_path / "sessions.db"))
    async with app.router.lifespan_context(app), service_client(app, ADA, "sessions", PRIVATE_KEY) as ada:
        (aside,) = set_aside_before(tmp_path / "sessions.db")
        degraded = await ada.get("/health")
        assert degraded.status_code == 200
        assert degraded.json()["status"] == "degraded"
        assert aside.name in degraded.json()["dependencies"]["file"]["detail"]
        assert (await ada.post("/sessions", json={})).status_code == 201
        aside.unlink()
        assert (await ada.get("/health")).json()["status"] == "ok"
