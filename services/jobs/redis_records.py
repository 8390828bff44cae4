"""How jobs are written in Redis, as fields of hashes and arguments of scripts, and read back. Talks to nobody."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from bureau_contracts.events import Event
from bureau_contracts.jobs import JobStatus, StartJob
from bureau_contracts.steps import NewStep, StepKind, StepStatus
from kit.identity import Owner
from kit.telemetry import parse_traceparent
from services.jobs.records import JobRecord, StepRecord, Summary, WorkerRecord, repeatable
from services.jobs.store import NewJob


def start_arguments(job: NewJob) -> list[str]:
    start = job.start
    plan = json.dumps([_plan(step) for step in start.steps])
    fields = {
        "start": json.dumps(start.model_dump(mode="json"), ensure_ascii=False),
        "kind": start.kind,
        "title": start.title,
        "step_count": str(len(start.steps)),
        "traceparent": job.traceparent,
    } | ({"schedule": job.schedule_id} if job.schedule_id else {})
    return [
        job.owner.tenant, job.owner.user, job.job_id, job.idempotency_key or "", job.fingerprint, job.by, plan,
        *(part for field in fields.items() for part in field),
    ]  # fmt: skip


def _plan(step: NewStep) -> list[str | int]:
    """What a script must know of a step: its kind, name and milliseconds. Not its content, which may be long."""
    if step.kind in (StepKind.WAIT, StepKind.BREAKPOINT):
        return [step.kind, step.name, round((step.seconds or 0) * 1000)]
    return ["repeatable" if repeatable(step) else "once", step.name, 0]


def job_record(tenant: str, job_id: str, answer: Sequence[Sequence[str]]) -> JobRecord:
    """Of what the scripts `read` and `take` answer."""
    fields, marks = as_mapping(answer[0]), as_mapping(answer[1])
    start = StartJob.model_validate_json(fields["start"])
    return JobRecord(
        job_id=job_id,
        owner=Owner(tenant, fields["owner"]),
        start=start,
        status=JobStatus(fields["status"]),
        created_at=moment(fields["created_at"]),
        last_update=moment(fields["last_update"]),
        steps=[_step(definition, index, marks) for index, definition in enumerate(start.steps)],
        cursor=int(fields["cursor"]),
        attempt=int(fields["attempt"]),
        error=fields.get("error"),
        traceparent=fields["traceparent"],
        schedule_id=fields.get("schedule"),
    )


def _step(definition: NewStep, index: int, marks: Mapping[str, str]) -> StepRecord:
    def mark(name: str) -> str | None:
        return marks.get(f"{index}:{name}")

    started, finished, verdict = mark("started_at"), mark("finished_at"), mark("verdict")
    decided = json.loads(verdict) if verdict else None
    if decided:
        decided["at"] = moment(decided["at"]).isoformat()
    return StepRecord(
        definition=definition,
        status=StepStatus(mark("status") or StepStatus.PENDING),
        attempts=int(mark("attempts") or 0),
        result=json.loads(mark("result") or "null"),
        error=mark("error"),
        started_at=moment(started) if started else None,
        finished_at=moment(finished) if finished else None,
        verdict=decided,
    )


def summary(row: Sequence[str]) -> Summary:
    """Of a row of the script `page`."""
    job_id, kind, title, owner, status, cursor, count, created, updated = row
    return Summary(
        job_id, kind, title, owner, JobStatus(status), int(cursor), int(count), moment(created), moment(updated)
    )


def event(text: str, job_id: str, traceparent: str) -> Event:
    fields: dict[str, Any] = json.loads(text)
    trace = parse_traceparent(traceparent)
    fields["timestamp"] = moment(fields["timestamp"])
    # Lua's encoder knows one kind of table: an empty one is an object, and so is `data`.
    return Event(**fields, subject=job_id, trace_id=trace.trace_id if trace else None)


def about_worker(worker: WorkerRecord) -> str:
    jobs = [[owner.tenant, owner.user, job_id] for owner, job_id in worker.jobs]
    return json.dumps({"started_at": worker.started_at.isoformat(), "jobs": jobs})


def worker_records(answer: Sequence[str]) -> list[WorkerRecord]:
    """Of what the script `workers` answers: name, last seen, about; and so on."""
    records = []
    for at in range(0, len(answer), 3):
        about = json.loads(answer[at + 2])
        jobs = [(Owner(tenant, user), job_id) for tenant, user, job_id in about["jobs"]]
        records.append(
            WorkerRecord(answer[at], datetime.fromisoformat(about["started_at"]), moment(answer[at + 1]), jobs)
        )
    return records


def moment(milliseconds: str | float) -> datetime:
    return datetime.fromtimestamp(float(milliseconds) / 1000, UTC)


def as_mapping(flat: Sequence[str]) -> dict[str, str]:
    """What HGETALL gives within a script: name, value, name, value …"""
    return dict(list(pairwise(flat))[::2])
