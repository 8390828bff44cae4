"""Jobs as bars that move: one for the whole of each, and one for each step that is under way."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from pydantic import ValidationError
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from bureau.cli.terminal import console, short
from bureau_contracts.events import Event, EventType
from bureau_contracts.jobs import Children, Job, JobStatus

ENDED = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})
_WIDTH = 40
_WHY = ("note", "error", "reason", "comment")
"""What an event may hold that a human wants to read."""


class Bars:
    """A context manager. Every event is a line as well, so that what has happened stays on the screen."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(), TextColumn("{task.fields[said]}", markup=False), TimeElapsedColumn(),
            console=console, transient=not console.is_terminal,
        )  # fmt: skip
        self._jobs = {job.job_id: _JobBars(self._progress, job, named=len(jobs) > 1) for job in jobs}

    def show(self, event: Event) -> None:
        job = self._jobs[event.subject]
        self._progress.console.print(job.line(event), markup=False, highlight=False, soft_wrap=True)
        job.move(event)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


class _JobBars:
    def __init__(self, progress: Progress, job: Job, *, named: bool) -> None:
        self._progress, self._count = progress, len(job.steps)
        self._prefix = f"{job.job_id}  " if named else ""
        self._whole = self._add(f"{short(job.title, _WIDTH - 6)} {job.job_id[-5:]}" if named else job.title)
        self._step: TaskID | None = None
        self._done = 0
        self._stand(0)

    def line(self, event: Event) -> str:
        said = (event.type, event.status, event.data.get("step") or "", _said(event))
        return f"{event.timestamp:%H:%M:%S}  {self._prefix}" + "  ".join(filter(None, said))

    def move(self, event: Event) -> None:
        data, index = event.data, event.data.get("index")
        if children := _children(event):
            # The map's beginning is no longer kept when it has very many children.
            self._step = self._add("children", indent="  ") if self._step is None else self._step
            self._progress.update(self._step, total=children.total, completed=children.ended, said=told(children))
        elif event.type is EventType.JOB_TRANSITION and event.status in ENDED:
            self._clear()
            self._stand(self._count if event.status == JobStatus.SUCCEEDED else self._done)
        elif not isinstance(index, int):
            return
        elif event.type is EventType.STEP_STARTED:
            self._clear()
            self._stand(index)
            # Nobody knows how far it is until it says so.
            self._step = self._add(f"{index + 1}. {data.get('step')}", indent="  ", total=None)
        elif event.type is EventType.STEP_FINISHED and index == self._done:
            self._clear()
            self._stand(index + (event.status in ("passed", "skipped")))
        elif self._step is not None and event.type is EventType.STEP_PROGRESS:
            self._progress.update(self._step, total=1, completed=_fraction(event), said=_said(event))

    def _add(self, title: str, *, indent: str = "", total: float | None = 1) -> TaskID:
        return self._progress.add_task(indent + short(title, _WIDTH), total=total, said="")

    def _stand(self, done: int) -> None:
        self._done = done
        self._progress.update(self._whole, total=self._count, completed=done, said=f"{done} of {self._count}")

    def _clear(self) -> None:
        if self._step is not None:
            self._progress.remove_task(self._step)
            self._step = None


def told(children: Children) -> str:
    """``3 of 10, 1 failed``."""
    failed = f", {children.failed} failed" if children.failed else ""
    return f"{children.ended} of {children.total}{failed}"


def _said(event: Event) -> str:
    if children := _children(event):
        return told(children)
    fraction = _fraction(event)
    texts = [f"{fraction:.0%}" if fraction is not None else "", *(str(event.data.get(name) or "") for name in _WHY)]
    return ", ".join(short(text) for text in texts if text)


def _children(event: Event) -> Children | None:
    """Of the map step that is under way; None when the event is of something else."""
    try:
        return Children.model_validate(event.data) if event.type is EventType.CHILD_ENDED else None
    except ValidationError:
        # The child was not one of the map's.
        return None


def _fraction(event: Event) -> float | None:
    fraction = event.data.get("progress")
    return fraction if isinstance(fraction, int | float) else None
