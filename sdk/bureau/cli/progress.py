"""A job as bars that move: one for the whole, and one line for the step that is under way."""

from contextlib import aclosing

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from bureau.cli.terminal import console, short
from bureau.client import Bureau
from bureau_contracts.events import Event, EventType
from bureau_contracts.jobs import Job, JobStatus

ENDED = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})
_WAITS_FOR_YOU = frozenset({JobStatus.WAITING_APPROVAL, JobStatus.PAUSED})


async def follow(bureau: Bureau, job_id: str) -> Job:
    """Shows what has happened and happens, until the job has ended or waits for a human."""
    job = await bureau.jobs.get(job_id)
    columns = (
        SpinnerColumn(), TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
        BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
        bars = _Bars(progress, job)
        async with aclosing(bureau.jobs.events(job_id)) as events:
            async for event in events:
                bars.show(event)
                if bars.rests:
                    # Of what was read just now: these are old news if somebody has moved the job on since.
                    job = await bureau.jobs.get(job_id)
                    if job.status in ENDED | _WAITS_FOR_YOU:
                        break
    return await bureau.jobs.get(job_id)


class _Bars:
    def __init__(self, progress: Progress, job: Job) -> None:
        self._progress, self._names = progress, [step.name for step in job.steps]
        self._whole = progress.add_task(short(job.title, 40), total=len(job.steps))
        self._step: TaskID | None = None
        self.rests = False
        """The last event was that the job ended or waits for a human."""

    def show(self, event: Event) -> None:
        index, step = event.data.get("index"), event.data.get("step")
        line = f"{event.timestamp:%H:%M:%S}  {event.type}  {event.status}  {step or ''}"
        self._progress.console.print(line.rstrip(), markup=False, highlight=False, soft_wrap=True)
        self.rests = event.type is EventType.JOB_TRANSITION and event.status in ENDED | _WAITS_FOR_YOU
        if event.type is EventType.STEP_STARTED and isinstance(index, int):
            self._clear()
            self._step = self._progress.add_task(short(f"  {index + 1}. {step}", 40), total=1)
        elif event.type is EventType.STEP_FINISHED:
            self._clear()
            if isinstance(index, int) and event.status in ("passed", "skipped"):
                self._progress.update(self._whole, completed=index + 1)

    def _clear(self) -> None:
        if self._step is not None:
            self._progress.remove_task(self._step)
            self._step = None
