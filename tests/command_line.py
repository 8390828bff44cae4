"""The `bureau` command, as people and scripts run it: as a process of its own, or in this one."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

from typer.testing import CliRunner

from bureau.cli import app
from examples.demo.system import System

PATIENCE_SECONDS = 60


def invoked(system: System, key: str, *arguments: str, code: int = 0) -> str:
    """What `bureau …` prints with this key, run in this process, which is quicker; it is to end with `code`."""
    environment = {"BUREAU_URL": system.url, "BUREAU_API_KEY": key, "COLUMNS": "250"}
    result = CliRunner().invoke(app, arguments, env=environment)
    assert result.exit_code == code, result.output
    return result.output


class CommandLine:
    def __init__(self, folder: Path, url: str, api_key: str = "bk_1") -> None:
        self._folder = folder
        self._environment = os.environ | {"BUREAU_URL": url, "BUREAU_API_KEY": api_key, "COLUMNS": "200"}

    async def start(self, *arguments: str) -> Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-c", "from bureau.cli import main; main()", *arguments,
            cwd=self._folder, env=self._environment, stdout=PIPE, stderr=PIPE,
        )  # fmt: skip

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, output, errors."""
        return await ended(await self.start(*arguments))


async def ended(process: Process) -> tuple[int, str, str]:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            out, err = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def line_with(process: Process, text: str) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        while text not in (line := (await process.stdout.readline()).decode()):
            assert line, f"ended without {text!r}"
