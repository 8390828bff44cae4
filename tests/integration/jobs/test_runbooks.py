"""A runbook from the command line: checked, told, started, watched, approved, and left alone by Ctrl-C."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from kit.identity import ADMIN, PRINCIPAL_HEADER, Principal, PrincipalSigner, generate_keypair
from kit.settings import CommonSettings
from services.jobs.app import create_app
from services.jobs.settings import Settings
from services.jobs.store import Bounds, Run
from tests.command_line import PATIENCE_SECONDS, CommandLine, ended, line_with
from tests.job_stores import Jobs, open_memory
from tests.servers import serving

PRIVATE, PUBLIC = generate_keypair()
ANN = Principal("acme", "ann")
ADMINISTRATOR = Principal("acme", "olga", scopes=frozenset({ADMIN}))
BOOK = """\
title: Costs
parameters: [{name: month}]
steps:
  - {name: ask, kind: agent, message: "{{ input.month }}"}
  - {name: look, kind: breakpoint}
  - {name: sleep, kind: wait, seconds: 3600}
"""


class Door:
    """What the gateway does for these tests: says who the caller is."""

    def __init__(self, app: ASGIApp, principal: Principal = ANN) -> None:
        self._app = app
        self._token = PrincipalSigner(PRIVATE, "tests").sign(principal, "jobs").encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["headers"] = [*scope["headers"], (PRINCIPAL_HEADER.lower().encode(), self._token)]
        await self._app(scope, receive, send)


async def taken(jobs: Jobs) -> Run:
    """The job that a command which has to begin yet will start."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (runs := await jobs.fetch(1, 1)):
            continue
    return runs[0]


@pytest.fixture
async def jobs() -> AsyncIterator[Jobs]:
    async with open_memory(Bounds()) as opened:
        yield opened


@pytest.fixture
async def bureau(tmp_path: Path, jobs: Jobs) -> AsyncIterator[CommandLine]:
    (tmp_path / "book.yaml").write_text(BOOK)
    settings = Settings(common=CommonSettings(identity_public_keys=PUBLIC))
    async with serving(Door(create_app(settings, jobs.store))) as url:
        yield CommandLine(tmp_path, url)


async def test_a_runbook_is_watched_to_its_breakpoint_approved_and_left_running(
    bureau: CommandLine, jobs: Jobs
) -> None:
    watching = await bureau.start("jobs", "run", "book.yaml", "--set", "month=May", "--watch")
    run = await taken(jobs)
    job_id = run.record.job_id
    assert run.record.start.input == {"month": "May"}
    await line_with(watching, "step.started")
    await jobs.queue.commit(run, "1", keep=True)
    code, out, _ = await ended(watching)
    assert code == 0
    assert f"{job_id} waiting_approval" in out
    assert f"bureau jobs approve {job_id} 1" in out

    code, out, _ = await bureau.run("jobs", "approve", job_id, "1", "--comment", "fine")
    assert (code, out.strip()) == (0, f"{job_id} is scheduled")

    watching = await bureau.start("jobs", "watch", job_id)
    await line_with(watching, "scheduled")
    watching.send_signal(signal.SIGINT)
    code, _, err = await ended(watching)
    assert code == 130
    assert f"{job_id} goes on without you. Watch it again: bureau jobs watch {job_id}" in err
    assert (await jobs.record(job_id)).status == "scheduled"


async def test_a_dry_run_shows_every_step_and_starts_nothing(bureau: CommandLine, jobs: Jobs) -> None:
    code, out, err = await bureau.run("jobs", "run", "book.yaml", "--set", "month=May", "--dry-run")
    assert code == 0, err
    assert "asks whichever agent fits: May" in out
    assert "1 approvals" in out
    assert "Only the run will show whether an agent is there" in out
    assert await jobs.nothing_queued()


async def test_what_is_wrong_is_said_before_anything_is_sent(bureau: CommandLine, tmp_path: Path, jobs: Jobs) -> None:
    (tmp_path / "bad.yaml").write_text("title: x\nsteps:\n  - {name: a, kind: dance}\n  - {name: a, kind: wait}\n")
    code, out, err = await bureau.run("jobs", "check", "book.yaml", "bad.yaml")
    assert code == 1
    assert "book.yaml: 3 steps, parameters month" in out
    assert "bad.yaml:3: steps.0.kind" in err
    assert "bad.yaml:4: steps.1.name: an earlier step has the same name" in err
    code, _, err = await bureau.run("jobs", "run", "book.yaml", "--set", "mnth=May")
    assert code == 1
    assert "month: is required" in err
    assert "mnth: there is no such parameter" in err
    assert await jobs.nothing_queued()


@pytest.mark.parametrize(("principal", "code"), [(ANN, 1), (ADMINISTRATOR, 0)], ids=["user", "administrator"])
async def test_the_key_of_webhooks_is_shown_to_administrators_alone(
    tmp_path: Path, jobs: Jobs, principal: Principal, code: int
) -> None:
    settings = Settings(webhook_secret=SecretStr("s" * 40), common=CommonSettings(identity_public_keys=PUBLIC))
    async with serving(Door(create_app(settings, jobs.store), principal)) as url:
        ended_with, out, err = await CommandLine(tmp_path, url).run("jobs", "webhook-key")
    assert ended_with == code, err
    assert out.startswith("whsec_") if code == 0 else "scope" in err
