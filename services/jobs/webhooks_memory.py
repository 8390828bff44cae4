"""The port of webhooks over the jobs of one process: for tests, with the semantics of the real one."""

from dataclasses import replace
from datetime import timedelta

from bureau_contracts.events import EventType
from services.jobs.job_memory import shown
from services.jobs.records import JobRecord, StepRecord
from services.jobs.states import FINAL
from services.jobs.store_memory import MemoryJobs
from services.jobs.webhook_store import Outcome, Webhook


class MemoryWebhooks:
    def __init__(self, jobs: MemoryJobs) -> None:
        self._all = jobs

    async def due(self, lease_seconds: float) -> list[Webhook]:
        now = self._all.now()
        found = [job for job in self._all.jobs.values() if job.webhook_due is not None and job.webhook_due <= now]
        for job in found:
            job.webhook_due = now + timedelta(seconds=lease_seconds)
            job.webhook_attempts += 1
        return [Webhook(_with_the_last_result(shown(job)), job.webhook_attempts) for job in found]

    async def settle(self, webhook: Webhook, outcome: Outcome, note: str, delay_seconds: float = 0) -> None:
        told = webhook.record
        job = self._all.jobs.get((told.owner.tenant, told.job_id))
        if job is None or job.record.status not in FINAL or job.record.attempt != told.attempt:
            return
        again = self._all.now() + timedelta(seconds=delay_seconds)
        job.webhook_due = again if outcome is Outcome.RETRY else None
        self._all.emit(job, EventType.WEBHOOK, outcome, attempt=job.webhook_attempts, note=note)


def _with_the_last_result(record: JobRecord) -> JobRecord:
    steps = [StepRecord(each.definition) for each in record.steps]
    steps[-1].result = record.steps[-1].result
    return replace(record, steps=steps)
