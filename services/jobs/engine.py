"""The worker's engine: takes jobs from the queue, runs their steps and records what came of it.

Knows no Redis and no HTTP. What may happen to a job is decided by the queue, in one place for all workers.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any, TypeVar

from kit.identity import Principal, acting_as
from kit.logs import get_logger
from kit.telemetry import Telemetry
from services.jobs.errors import StoreAway
from services.jobs.execution import Executor, FannedOut, Outcome
from services.jobs.heartbeat import Heartbeat
from services.jobs.records import WorkerRecord
from services.jobs.steps import Yielded
from services.jobs.store import Checkpoint, Claim, Failure, LeaseLost, Pulse, Run, WorkQueue
from services.jobs.tender import Tender

log = get_logger(__name__)
T = TypeVar("T")

GATHER_SECONDS = 0.002
"""How long a worker that has something to do waits before it fetches more: several jobs cost little more than one."""
FETCH_SECONDS = 0.5
"""How long the queue is asked to wait; a worker that is told to stop notices it within that."""
AWAY_SECONDS = 1.0
"""Between two attempts to reach a queue that is away."""
WAKE_SECONDS = 0.25
BEATS_PER_LEASE = 4
SWEEPS_PER_LEASE = 8
EXPIRY_SECONDS = 60.0


@dataclass(frozen=True)
class Manner:
    """How a worker works. services/jobs/settings.py explains it."""

    concurrency: int = 4
    queues: list[str] = field(default_factory=list)
    """As it is shown; the queue knows them."""
    lease_seconds: float = 5.0
    shutdown_seconds: float = 5.0


@dataclass
class _Held:
    """A job in this worker's hands."""

    task: "asyncio.Task[None]"
    run: Run
    begun: bool = False
    """Its step was handed to a runner."""
    executing: bool = False
    lost: bool = False
    """Somebody else has the job, or nobody."""
    late: bool = False
    """Was not finished when this worker had to stop."""


class Engine:
    def __init__(
        self,
        *,
        queue: WorkQueue,
        pulse: Pulse,
        executor: Executor,
        telemetry: Telemetry,
        worker_id: str,
        manner: Manner,
        tender: Tender | None = None,
    ) -> None:
        """Without a `tender` other workers have to fire the schedules."""
        self._queue, self._executor, self._telemetry = queue, executor, telemetry
        self._tender = tender
        self._worker_id, self._manner = worker_id, manner
        self._held: dict[Claim, _Held] = {}
        self._fetches = 0
        self._freed = asyncio.Event()
        self._stop = asyncio.Event()
        self._started_at = datetime.now(UTC)
        self._heart = Heartbeat(pulse, manner.lease_seconds / BEATS_PER_LEASE, self._report, self._on_lost)

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop`, then finishes or hands over what is under way."""
        self._stop = stop
        with self._heart.beating():
            log.info("worker_ready", worker_id=self._worker_id, concurrency=self._manner.concurrency)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._tend())
                while not stop.is_set():
                    for run in await self._fetch():
                        self._held[run.claim] = _Held(group.create_task(self._work(run.claim)), run)
                log.info("worker_stopping", worker_id=self._worker_id, jobs=len(self._held))
                await self._hand_over_late_ones()
        with suppress(StoreAway):
            await self._queue.leave(self._worker_id)
        log.info("worker_stopped", worker_id=self._worker_id)

    async def _fetch(self) -> list[Run]:
        """As many jobs as there are free hands; none when nothing came within FETCH_SECONDS."""
        concurrency = self._manner.concurrency
        if len(self._held) == concurrency:
            self._freed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(FETCH_SECONDS):
                    await self._freed.wait()
            return []
        if self._held:
            await asyncio.sleep(GATHER_SECONDS)
        free = concurrency - len(self._held)
        try:
            found = await self._queue.fetch(self._worker_id, self._fetches, free, FETCH_SECONDS)
        except StoreAway as error:
            log.warning("queue_away", error=error.detail)
            await self._pause(AWAY_SECONDS)
            return []
        except Exception:
            # The outermost layer of a fetch: what is under way here goes on.
            log.exception("fetch_broke")
            await self._pause(AWAY_SECONDS)
            return []
        self._fetches += 1
        return found

    async def _work(self, claim: Claim) -> None:
        """One job, from its fetch to wherever it goes next."""
        held = self._held[claim]
        run: Run | None = held.run
        try:
            if self._stop.is_set():
                await self._release(held)
                return
            while run is not None:
                held.run = run
                run = await self._one_step(held, run)
        except LeaseLost:
            log.warning("lease_lost", job=claim.job_id, epoch=claim.epoch)
        except Yielded:
            log.info("step_yielded", job=claim.job_id, step=held.run.index)
        except asyncio.CancelledError:
            if not held.lost and not held.late:
                raise
            held.task.uncancel()
            log.warning("step_interrupted", job=claim.job_id, epoch=claim.epoch, lost=held.lost)
            if held.late:
                await self._release(held)
        except Exception:
            # The outermost layer of a job: its lease runs out, others try it, and after some losses it fails.
            log.exception("job_dropped", job=claim.job_id)
        finally:
            del self._held[claim]
            self._freed.set()

    async def _one_step(self, held: _Held, run: Run) -> Run | None:
        """Executes and records it, as the job's owner and within the trace of the request that started the job.
        The job's next step, or None when this worker is done with the job."""
        record, kind = run.record, run.step.definition.kind
        owner = Principal(record.owner.tenant, record.owner.user)
        with self._telemetry.continue_trace(record.traceparent, "", f"job step {kind}"), acting_as(owner):
            began = monotonic()
            held.begun = held.executing = True
            try:
                outcome = await self._executor.execute(run, self._tell)
            finally:
                held.executing = False
            facts = {"job": record.job_id, "step": run.index, "duration_ms": round((monotonic() - began) * 1000)}
            return await self._record(run, outcome, facts)

    async def _tell(self, run: Run, said: Checkpoint) -> None:
        """Raises Yielded when the job is paused now, or somebody else's."""
        try:
            going_on = await _until_answered(lambda: self._queue.checkpoint(run, said))
        except LeaseLost as error:
            raise Yielded from error
        if not going_on:
            raise Yielded

    async def _record(self, run: Run, outcome: Outcome, facts: dict[str, Any]) -> Run | None:
        if isinstance(outcome, Failure):
            log.warning("step_failed", kind=outcome.kind, **facts)
            await _until_answered(lambda: self._queue.fail(run, outcome))
            return None
        if isinstance(outcome, FannedOut):
            over = run.step.definition.map
            assert over is not None, "only a map fans out"
            log.info("step_fanned_out", children=len(outcome.children), **facts)
            children, many, partial = outcome.children, over.parallel, over.partial
            await _until_answered(lambda: self._queue.fan_out(run, children, parallel=many, partial=partial))
            return None
        log.info("step_passed", **facts)
        keep = not self._stop.is_set()
        return await _until_answered(lambda: self._queue.commit(run, outcome.result, keep=keep, cost=outcome.cost))

    async def _tend(self) -> None:
        """What every worker does for all: wakes, fires schedules, sweeps, expires. Any number may do it at once."""
        lease = self._manner.lease_seconds
        next_sweep, next_expiry = monotonic() + lease, monotonic()
        while not self._stop.is_set():
            try:
                await _unbroken(self._queue.wake)
                if self._tender is not None:
                    await _unbroken(self._tender.tend)
                if monotonic() >= next_sweep:
                    next_sweep = monotonic() + lease / SWEEPS_PER_LEASE
                    await _unbroken(self._queue.sweep)
                if monotonic() >= next_expiry:
                    next_expiry = monotonic() + EXPIRY_SECONDS
                    await _unbroken(self._queue.expire)
                await self._pause(WAKE_SECONDS)
            except StoreAway:
                # Nobody could renew a lease meanwhile: whoever lives must have time to do so first.
                next_sweep = monotonic() + lease
                await self._pause(AWAY_SECONDS)

    async def _hand_over_late_ones(self) -> None:
        deadline = monotonic() + self._manner.shutdown_seconds
        while self._held and monotonic() < deadline:
            self._freed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(deadline - monotonic()):
                    await self._freed.wait()
        for held in self._held.values():
            held.late = True
            held.task.cancel()

    async def _release(self, held: _Held) -> None:
        claim, begun = held.run.claim, held.begun
        try:
            await self._queue.release(claim, begun=begun)
        except StoreAway as error:
            log.warning("job_not_handed_over", job=claim.job_id, error=error.detail)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    def _report(self) -> tuple[WorkerRecord, list[Claim]]:
        """For the heart, so from another thread: `list` of a dict's items is one uninterrupted step."""
        runs = [held.run for _, held in list(self._held.items())]
        jobs = [(run.record.owner, run.record.job_id) for run in runs]
        record = WorkerRecord(
            self._worker_id, self._started_at, datetime.now(UTC), jobs, self._manner.queues, self._manner.concurrency
        )
        return record, [run.claim for run in runs]

    def _on_lost(self, claim: Claim) -> None:
        held = self._held.get(claim)
        # Between steps the next call to the queue says so itself.
        if held is not None and held.executing:
            held.lost = True
            held.task.cancel()


async def _unbroken(work: Callable[[], Awaitable[object]]) -> None:
    """One that breaks, over a single job perhaps, must not keep the others from being done. Raises StoreAway."""
    try:
        await work()
    except StoreAway:
        raise
    except Exception:
        log.exception("tending_broke")


async def _until_answered(call: Callable[[], Awaitable[T]]) -> T:
    """Repeats a call to the queue while the queue is away: what a step did must not be lost for that."""
    pause = 0.1
    while True:
        try:
            return await call()
        except StoreAway as error:
            log.warning("queue_away", error=error.detail)
        await asyncio.sleep(pause)
        pause = min(2 * pause, AWAY_SECONDS)
