"""What the workers under test can run. Imported by worker processes alone."""

import asyncio
import time
from pathlib import Path

from services.jobs.functions import step_function
from services.jobs.steps import StepContext
from tests.waiting import eventually


@step_function("note")
async def note(context: StepContext, *, file: str, seconds: float = 0) -> str:
    """Leaves a line per execution, then takes its time."""
    _leave_a_line(Path(file), context)
    await asyncio.sleep(seconds)
    return f"step {context.index}, attempt {context.attempt}"


@step_function("block")
async def block(_: StepContext, *, seconds: float) -> str:
    """Holds up the whole event loop, as a careless function does."""
    time.sleep(seconds)  # noqa: ASYNC251 - this is what it is for
    return "done"


@step_function("until")
async def until(context: StepContext, *, file: str, go: str) -> str:
    """Leaves a line, then waits until the file `go` is there."""
    _leave_a_line(Path(file), context)
    await eventually(Path(go).exists, seconds=60)
    return "went"


def _leave_a_line(file: Path, context: StepContext) -> None:
    with file.open("a") as notes:
        notes.write(context.idempotency_key + "\n")
