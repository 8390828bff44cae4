"""What goes on around jobs while their processes are killed: people who start, watch, pause, cancel and decide.

They write down what was acknowledged. A call without an answer may have been carried out or not.
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, TypeVar

from bureau.errors import Conflict, Unavailable
from bureau.http import Caller
from bureau.jobs import JobsClient
from bureau_contracts.events import Event, EventType
from bureau_contracts.jobs import Job, JobPage, JobsStarted, JobStatus, StartJob, StartJobs
from bureau_contracts.steps import StepKind, StepStatus
from services.jobs.states import FINAL
from tests.waiting import eventually

A = TypeVar("A")

PATIENCE_SECONDS = 30
"""A call that is refused for longer has found something that does not recover."""
READ_AT_ONCE = 20
KNOCK_SECONDS = 0.1
"""What starts is not knocked at a thousand times a second."""


async def persist(call: Callable[[], Awaitable[A]]) -> A:
    """Makes a call that may be repeated until it is answered."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                return await call()
            except Unavailable:
                await asyncio.sleep(KNOCK_SECONDS)


def say(text: str) -> None:
    """Seen with `-s`, and when a test fails."""
    sys.stdout.write(f"{text}\n")


@dataclass
class Held:
    """A job was seen paused, and again after a while, before anybody asked to resume it. Seconds since 1970."""

    job_id: str
    since: float
    until: float


@dataclass
class People:
    caller: Caller
    """Of one attempt per call: people say what is repeated."""
    chance: Random
    plan: Callable[[Random, str], StartJob]
    """What a job does; the text is in all of its addresses."""

    going: bool = True
    started: dict[str, str] = field(default_factory=dict)
    """Job by its name: of one that was started alone, the Idempotency-Key."""
    seen: dict[str, list[Event]] = field(default_factory=dict)
    """What was told of each job as it happened."""
    under_way: set[str] = field(default_factory=set)
    with_children: set[str] = field(default_factory=set)
    """By their names, jobs with a `map` step."""
    steered: set[str] = field(default_factory=set)
    """So that no two steer one job."""
    done: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Acknowledged, by job and action."""
    unsure: Counter[tuple[str, str]] = field(default_factory=Counter)
    comments: dict[str, str] = field(default_factory=dict)
    """Of acknowledged decisions: the job by the comment."""
    held: list[Held] = field(default_factory=list)

    @property
    def jobs(self) -> JobsClient:
        return JobsClient(self.caller)

    async def children(self, job_id: str, status: JobStatus | None = None) -> list[str]:
        """Of its `map` steps."""
        params = {"parent_id": job_id, "status": status, "limit": 200}
        page = await persist(lambda: self.caller.call(JobPage, "GET", "/jobs", params=params))
        assert page.next_cursor is None
        return [row.job_id for row in page.jobs]

    async def all_have_ended(self, seconds: float) -> None:
        try:
            await eventually(lambda: not self.under_way and not self.steered, seconds=seconds)
        except AssertionError as error:
            for job_id in self.under_way:
                for each in (job_id, *await self.children(job_id)):
                    error.add_note((await self._get(each)).model_dump_json(exclude_defaults=True))
                error.add_note("\n".join(map(str, self.seen[job_id])))
            raise

    def done_in_all(self) -> dict[str, int]:
        actions = Counter[str]()
        for (_, action), count in self.done.items():
            actions[action] += count
        return dict(actions)

    async def start_and_watch(self, name: str) -> None:
        """One job after the other, now and then two at once, each to its end."""
        count = 0
        while self.going:
            count += 1
            key = f"{name}-{count}"
            if self.chance.random() < 0.8:
                await self._watch(key, await self._start(key))
            else:
                await asyncio.gather(*(self._watch(*each) for each in (await self._start_two(key)).items()))

    async def _start(self, key: str) -> str:
        job = self._planned(key)
        start = partial(self.jobs.start, job, idempotency_key=key)
        started = await persist(start)
        if self.chance.random() < 0.2:
            again = await persist(start)
            assert (again.job_id, again.created) == (started.job_id, False)
        return started.job_id

    async def _start_two(self, key: str) -> dict[str, str]:
        keys = [f"{key}-{place}" for place in ("a", "b")]
        both = StartJobs(jobs=[self._planned(each) for each in keys])
        headers = {"idempotency-key": key}
        started = await persist(
            lambda: self.caller.call(JobsStarted, "POST", "/jobs/batch", body=both, headers=headers)
        )
        return dict(zip(keys, (job.job_id for job in started.jobs), strict=True))

    def _planned(self, key: str) -> StartJob:
        job = self.plan(self.chance, key)
        if any(step.kind is StepKind.MAP for step in job.steps):
            self.with_children.add(key)
        return job

    async def _watch(self, key: str, job_id: str) -> None:
        self.started[key] = job_id
        events = self.seen[job_id] = []
        self.under_way.add(job_id)
        # A cancelled job's children end after it, and it is told of them.
        while not any(event.type is EventType.JOB_TRANSITION and event.status in FINAL for event in events):
            try:
                async with aclosing(self.jobs.events(job_id, after=events[-1].seq if events else 0)) as news:
                    async for event in news:
                        events.append(event)
            except Unavailable:
                await asyncio.sleep(KNOCK_SECONDS)
        self.under_way.remove(job_id)

    async def steer(self) -> None:
        """Pauses jobs for a while; cancels one now and then."""
        while self.going:
            await asyncio.sleep(self.chance.uniform(0.05, 0.3))
            free = sorted(self.under_way - self.steered)
            if not free:
                continue
            job_id = self.chance.choice(free)
            self.steered.add(job_id)
            if self.chance.random() < 0.1:
                await self._do(job_id, "cancel", self.jobs.cancel)
            else:
                await self._pause_for_a_while(job_id)
            self.steered.remove(job_id)

    async def _pause_for_a_while(self, job_id: str) -> None:
        await self._do(job_id, "pause", self.jobs.pause)

        async def settled() -> bool:
            return (await self._get(job_id)).status is not JobStatus.PAUSING

        await eventually(settled, seconds=PATIENCE_SECONDS)
        if (await self._get(job_id)).status is not JobStatus.PAUSED:
            return  # it has ended, or the pause came to nothing
        since = time.time()
        await asyncio.sleep(self.chance.uniform(0.3, 3))
        until = time.time()
        status = (await self._get(job_id)).status
        # A human's decision may end a job that is paused.
        assert status is JobStatus.PAUSED or status in FINAL, f"{job_id} was paused and is {status}"
        self.held.append(Held(job_id, since, until))
        await self._resume(job_id)

    async def _resume(self, job_id: str) -> None:
        while (await self._get(job_id)).status in (JobStatus.PAUSED, JobStatus.PAUSING):
            await self._do(job_id, "resume", self.jobs.resume)

    async def decide(self) -> None:
        """On every step that waits for a human."""
        while True:
            page = await persist(lambda: self.jobs.page(status=JobStatus.WAITING_APPROVAL, limit=100))
            waiting = [row.job_id for row in page.jobs]
            for parent in {self.started[key] for key in self.with_children & self.started.keys()} & self.under_way:
                waiting += await self.children(parent, JobStatus.WAITING_APPROVAL)
            for job_id in waiting:
                await self._decide(await self._get(job_id))
            if not self.going and not self.steered:
                await self._resume_what_is_left()
            await asyncio.sleep(KNOCK_SECONDS)

    async def _decide(self, job: Job) -> None:
        if job.status is not JobStatus.WAITING_APPROVAL:
            return
        index, comment = job.current_step, f"decision {len(self.comments) + 1}"
        if job.steps[index].status is StepStatus.UNKNOWN_OUTCOME:
            action = self.chance.choices(["retry", "approve", "skip", "reject"], (40, 40, 15, 5))[0]
        else:
            action = self.chance.choices(["approve", "skip", "reject"], (90, 7, 3))[0]
        if action == "retry":
            await self._do(job.job_id, action, self.jobs.retry)
            return
        decide = {"approve": self.jobs.approve, "skip": self.jobs.skip, "reject": self.jobs.reject}[action]
        if await self._do(job.job_id, action, lambda job_id: decide(job_id, index, comment=comment)):
            self.comments[comment] = job.job_id

    async def _resume_what_is_left(self) -> None:
        """A pause that nobody heard the answer of may have come late."""
        for row in (await persist(lambda: self.jobs.page(status=JobStatus.PAUSED, limit=100))).jobs:
            await self._resume(row.job_id)

    async def _do(self, job_id: str, action: str, call: Callable[[str], Awaitable[Any]]) -> bool:
        """Once; whether it is known that it was done."""
        try:
            await call(job_id)
        except Conflict:
            return False  # somebody, or the job itself, was quicker
        except Unavailable:
            self.unsure[job_id, action] += 1
            await asyncio.sleep(KNOCK_SECONDS)
            return False
        self.done[job_id, action] += 1
        return True

    async def _get(self, job_id: str) -> Job:
        return await persist(lambda: self.jobs.get(job_id))


async def read_all(jobs: JobsClient) -> list[Job]:
    """Some at once: httpx takes the longer for each the more there are."""
    found = list[Job]()
    ids = await all_jobs(jobs)
    for first in range(0, len(ids), READ_AT_ONCE):
        found += await asyncio.gather(*map(jobs.get, ids[first : first + READ_AT_ONCE]))
    return found


async def all_jobs(jobs: JobsClient) -> list[str]:
    """Of everybody that the caller sees; none of them twice."""
    page = await jobs.page(limit=200)
    found = [row.job_id for row in page.jobs]
    while page.next_cursor:
        page = await jobs.page(limit=200, cursor=page.next_cursor)
        found += [row.job_id for row in page.jobs]
    assert len(set(found)) == len(found)
    return found
