"""The worker's engine: takes jobs from the queue, runs their steps and records what came of it.

Knows no Redis and no HTTP. What may happen to a job is decided by the queue, in one place for all workers.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any, TypeVar

from kit.identity import Principal, acting_as
from kit.logs import get_logger
from kit.telemetry import Telemetry
from services.jobs.errors import StoreAway
from services.jobs.heartbeat import Heartbeat
from services.jobs.records import WorkerRecord, repeatable
from services.jobs.references import BadReference
from services.jobs.steps import OutcomeUnknown, Runners, StepContext, StepFailed, TryLater, with_references
from services.jobs.store import Failure, FailureKind, LeaseLost, Message, Pulse, Run, WorkQueue
from services.jobs.tender import Tender

log = get_logger(__name__)
T = TypeVar("T")

FETCH_SECONDS = 0.5
"""How long the queue is asked to wait; a worker that is told to stop notices it within that."""
AWAY_SECONDS = 1.0
"""Between two attempts to reach a queue that is away."""
WAKE_SECONDS = 0.25
BEATS_PER_LEASE = 4
SWEEPS_PER_LEASE = 8
EXPIRY_SECONDS = 60.0
LONGEST_ASKED = 3600.0
"""Seconds: who is refused with a longer Retry-After comes back earlier."""
LONGEST_ERROR = 2000
"""Characters of an error that are kept with a step."""


@dataclass(frozen=True)
class Limits:
    """What services/jobs/settings.py explains."""

    concurrency: int = 4
    lease_seconds: float = 5.0
    shutdown_seconds: float = 5.0
    max_result_bytes: int = 256 * 1024
    retry_first_seconds: float = 1.0
    retry_longest_seconds: float = 60.0

    def pause(self, attempt: int) -> float:
        """Seconds before the attempt that comes after this one (1, 2, 3 …)."""
        whole = min(self.retry_longest_seconds, self.retry_first_seconds * 2.0 ** (attempt - 1))
        return whole * random.uniform(0.5, 1)  # noqa: S311 - jitter, not a secret


@dataclass
class _Held:
    """A message in this worker's hands."""

    task: "asyncio.Task[None]"
    run: Run | None = None
    """Set once the job is ours."""
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
        runners: Runners,
        telemetry: Telemetry,
        worker_id: str,
        limits: Limits,
        tender: Tender | None = None,
    ) -> None:
        """Without a `tender` other workers have to fire the schedules."""
        self._queue, self._runners, self._telemetry = queue, runners, telemetry
        self._tender = tender
        self._worker_id, self._limits = worker_id, limits
        self._held: dict[Message, _Held] = {}
        self._freed = asyncio.Event()
        self._stop = asyncio.Event()
        self._started_at = datetime.now(UTC)
        self._heart = Heartbeat(pulse, limits.lease_seconds / BEATS_PER_LEASE, self._report, self._on_lost)

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop`, then finishes or hands over what is under way."""
        self._stop = stop
        await self._open()
        with self._heart.beating():
            log.info("worker_ready", worker_id=self._worker_id, concurrency=self._limits.concurrency)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._tend())
                while not stop.is_set():
                    for message in await self._fetch():
                        self._held[message] = _Held(group.create_task(self._work(message)))
                log.info("worker_stopping", worker_id=self._worker_id, jobs=len(self._held))
                await self._hand_over_late_ones()
        with suppress(StoreAway):
            await self._queue.leave(self._worker_id)
        log.info("worker_stopped", worker_id=self._worker_id)

    async def _open(self) -> None:
        while not self._stop.is_set():
            try:
                await self._queue.open()
                return
            except StoreAway as error:
                log.warning("queue_away", error=error.detail)
                await self._pause(AWAY_SECONDS)

    async def _fetch(self) -> Sequence[Message]:
        """As many messages as there are free hands; none when nothing came within FETCH_SECONDS."""
        free = self._limits.concurrency - len(self._held)
        if not free:
            self._freed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(FETCH_SECONDS):
                    await self._freed.wait()
            return ()
        try:
            return await self._queue.fetch(free, FETCH_SECONDS)
        except StoreAway as error:
            log.warning("queue_away", error=error.detail)
            await self._pause(AWAY_SECONDS)
            return ()

    async def _work(self, message: Message) -> None:
        """One job's turn, from its message to wherever it goes next."""
        held = self._held[message]
        try:
            if self._stop.is_set():
                await self._release(message)
                return
            run = await _until_answered(lambda: self._queue.take(message, self._worker_id))
            while run is not None:
                held.run = run
                run = await self._one_step(held, run)
        except LeaseLost:
            log.warning("lease_lost", job=message.job_id, epoch=message.epoch)
        except asyncio.CancelledError:
            if not held.lost and not held.late:
                raise
            held.task.uncancel()
            log.warning("step_interrupted", job=message.job_id, epoch=message.epoch, lost=held.lost)
            if held.late:
                await self._release(message)
        except Exception:
            # The outermost layer of a job: its lease runs out, others try it, and after some losses it fails.
            log.exception("job_dropped", job=message.job_id)
        finally:
            del self._held[message]
            self._freed.set()

    async def _one_step(self, held: _Held, run: Run) -> Run | None:
        """Executes and records it, as the job's owner and within the trace of the request that started the job.
        The job's next step, or None when this worker is done with the job."""
        record, kind = run.record, run.step.definition.kind
        owner = Principal(record.owner.tenant, record.owner.user)
        with self._telemetry.continue_trace(record.traceparent, "", f"job step {kind}"), acting_as(owner):
            began = monotonic()
            held.executing = True
            try:
                outcome: str | Failure = await self._execute(run)
            except StepFailed as error:
                outcome = self._failure(run, error)
            finally:
                held.executing = False
            facts = {"job": record.job_id, "step": run.index, "duration_ms": round((monotonic() - began) * 1000)}
            return await self._record(run, outcome, facts)

    async def _record(self, run: Run, outcome: str | Failure, facts: dict[str, Any]) -> Run | None:
        if isinstance(outcome, Failure):
            log.warning("step_failed", kind=outcome.kind, **facts)
            return await _until_answered(lambda: self._queue.fail(run, outcome))
        log.info("step_passed", **facts)
        return await _until_answered(lambda: self._queue.commit(run, outcome, keep=not self._stop.is_set()))

    async def _execute(self, run: Run) -> str:
        """The step's result as JSON. Raises StepFailed, whatever went wrong."""
        record, definition = run.record, run.step.definition
        context = StepContext(
            record.job_id, record.start.title, record.owner, run.index, run.step.attempts, record.attempt,
            record.start.autonomy_level,
        )  # fmt: skip
        try:
            step = with_references(definition, run.scope())
            async with asyncio.timeout(definition.timeout_seconds):
                result = await self._runners[definition.kind].run(step, context)
            return self._as_json(result)
        except StepFailed:
            raise
        except BadReference as error:
            raise StepFailed(str(error)) from error
        except TimeoutError as error:
            raise OutcomeUnknown(f"no result within {definition.timeout_seconds:g} s") from error
        except Exception as error:
            log.exception("step_broke", job=record.job_id, step=run.index)
            raise StepFailed(repr(error)) from error

    def _as_json(self, result: Any) -> str:
        try:
            text = json.dumps(result, ensure_ascii=False, allow_nan=False)
            size = len(text.encode())
        except (TypeError, ValueError, RecursionError) as error:
            raise StepFailed(f"the result cannot be written as JSON: {error}") from error
        if size > self._limits.max_result_bytes:
            raise StepFailed(f"the result has {size} bytes; at most {self._limits.max_result_bytes} are kept")
        return text

    def _failure(self, run: Run, error: StepFailed) -> Failure:
        step, attempts = run.step.definition, run.step.attempts
        # Only what can be encoded is kept: an error may quote anything.
        text = str(error)[:LONGEST_ERROR].encode(errors="replace").decode()
        unsure = isinstance(error, OutcomeUnknown)
        if unsure and not repeatable(step):
            return Failure(FailureKind.UNSURE, text)
        if (unsure or isinstance(error, TryLater)) and attempts < step.max_attempts:
            asked = (error.retry_after or 0) if isinstance(error, TryLater) else 0
            return Failure(FailureKind.RETRY, text, max(self._limits.pause(attempts), min(asked, LONGEST_ASKED)))
        return Failure(FailureKind.FAILED, text)

    async def _tend(self) -> None:
        """What every worker does for all: wakes, fires schedules, sweeps, expires. Any number may do it at once."""
        lease = self._limits.lease_seconds
        next_sweep, next_expiry = monotonic() + lease, monotonic()
        while not self._stop.is_set():
            try:
                await self._queue.wake()
                if self._tender is not None:
                    await self._tender.tend()
                if monotonic() >= next_sweep:
                    next_sweep = monotonic() + lease / SWEEPS_PER_LEASE
                    await self._queue.sweep()
                if monotonic() >= next_expiry:
                    next_expiry = monotonic() + EXPIRY_SECONDS
                    await self._queue.expire()
                await self._pause(WAKE_SECONDS)
            except StoreAway:
                # Nobody could renew a lease meanwhile: whoever lives must have time to do so first.
                next_sweep = monotonic() + lease
                await self._pause(AWAY_SECONDS)

    async def _hand_over_late_ones(self) -> None:
        deadline = monotonic() + self._limits.shutdown_seconds
        while self._held and monotonic() < deadline:
            self._freed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(deadline - monotonic()):
                    await self._freed.wait()
        for held in self._held.values():
            held.late = True
            held.task.cancel()

    async def _release(self, message: Message) -> None:
        try:
            await self._queue.release(message)
        except StoreAway as error:
            log.warning("job_not_handed_over", job=message.job_id, error=error.detail)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    def _report(self) -> tuple[WorkerRecord, list[Message]]:
        """For the heart, so from another thread: `list` of a dict's items is one uninterrupted step."""
        runs = [held.run for _, held in list(self._held.items()) if held.run is not None]
        jobs = [(run.record.owner, run.record.job_id) for run in runs]
        return WorkerRecord(self._worker_id, self._started_at, datetime.now(UTC), jobs), [run.message for run in runs]

    def _on_lost(self, message: Message) -> None:
        held = self._held.get(message)
        # Between steps the next call to the queue says so itself.
        if held is not None and held.executing:
            held.lost = True
            held.task.cancel()


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
