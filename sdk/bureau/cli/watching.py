"""Following jobs until each has ended or waits for a human."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing

import typer

from bureau.cli.progress import ENDED, Bars
from bureau.cli.terminal import console, fail, line, run
from bureau.client import Bureau
from bureau_contracts.events import Event, EventType
from bureau_contracts.jobs import MOST_JOBS_WATCHED, Job, JobStatus
from bureau_contracts.steps import StepStatus

_RESTS = ENDED | {JobStatus.WAITING_APPROVAL, JobStatus.PAUSED}


def watch_jobs(job_ids: Sequence[str], *, as_json: bool) -> None:
    """Ends the command with 1 when one of them ended and did not succeed. As JSON: an event a line."""
    job_ids = list(dict.fromkeys(job_ids))
    refuse_too_many(job_ids)
    names = " ".join(job_ids)
    go, them = ("goes", "it") if len(job_ids) == 1 else ("go", "them")
    again = f"{names} {go} on without you. Watch {them} again: bureau jobs watch {names}"
    jobs = run(lambda bureau: _watched(bureau, job_ids, as_json=as_json), interrupted=again)
    if not as_json:
        for job in jobs:
            _say(job)
    if any(job.status in ENDED and job.status is not JobStatus.SUCCEEDED for job in jobs):
        raise typer.Exit(1)


def refuse_too_many(job_ids: Sequence[object]) -> None:
    if len(job_ids) > MOST_JOBS_WATCHED:
        fail(f"at most {MOST_JOBS_WATCHED} jobs are watched at once")


async def _watched(bureau: Bureau, job_ids: Sequence[str], *, as_json: bool) -> list[Job]:
    if as_json:
        return await _follow(bureau, job_ids, line)
    with Bars(await _all(bureau, job_ids)) as bars:
        return await _follow(bureau, job_ids, bars.show)


async def _follow(bureau: Bureau, job_ids: Sequence[str], show: Callable[[Event], None]) -> list[Job]:
    one = len(job_ids) == 1
    rests: dict[str, Event] = {}
    async with aclosing(bureau.jobs.events(job_ids[0]) if one else bureau.jobs.events_of(job_ids)) as events:
        async for event in events:
            show(event)
            if event.type is EventType.JOB_TRANSITION:
                rests.pop(event.subject, None)
                if event.status in _RESTS:
                    rests[event.subject] = event
                if len(rests) == len(job_ids):
                    jobs = await _all(bureau, job_ids)
                    if all(_stands(job, rests[job.job_id]) for job in jobs):
                        return jobs
    return await _all(bureau, job_ids)


def _stands(job: Job, event: Event) -> bool:
    """Whether the job still is where this transition took it; else the transition is old news, and more comes."""
    began = job.steps[job.current_step].started_at if job.current_step < len(job.steps) else None
    return job.status == event.status and (began is None or began <= event.timestamp)


async def _all(bureau: Bureau, job_ids: Sequence[str]) -> list[Job]:
    return await asyncio.gather(*(bureau.jobs.get(job_id) for job_id in job_ids))


def _say(job: Job) -> None:
    error = f": {job.error}" if job.error else ""
    console.print(f"{job.job_id} {job.status}{error}", markup=False, soft_wrap=True)
    if job.status is JobStatus.WAITING_APPROVAL:
        step = job.steps[job.current_step]
        if step.status is StepStatus.UNKNOWN_OUTCOME:
            console.print(f"Nobody knows how far {step.name!r} came. Approve it if it passed, retry it if it did not:",
                          markup=False, soft_wrap=True)  # fmt: skip
        console.print(f"bureau jobs approve {job.job_id} {job.current_step}", soft_wrap=True)
