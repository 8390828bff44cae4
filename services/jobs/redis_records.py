"""How jobs are written in Redis, as fields of hashes and arguments of scripts, and read back. Talks to nobody."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from bureau_contracts.events import Event
from bureau_contracts.jobs import Children, JobStatus, Load, StartJob, StepVersion
from bureau_contracts.steps import NewStep, StepKind, StepStatus
from kit.identity import Owner
from kit.telemetry import parse_traceparent
from services.jobs.records import JobRecord, StepRecord, Summary, WorkerRecord, repeatable
from services.jobs.store import Claim, NewJob

RECORD = (
    "owner", "start", "status", "epoch", "cursor", "retries", "error", "created_at", "last_update", "started_at",
    "deadline_at", "wake_at", "traceparent", "schedule", "cost", "idempotency_key", "edits", "item",
)  # fmt: skip
"""The fields of a job that are read, in the order in which Redis answers them."""


def start_arguments(job: NewJob) -> list[str]:
    start = job.start
    fields = {
        "owner": job.owner.user,
        "plan": plan(start.steps),
        # What was said, not what was left open: most of a step's fields are of other kinds.
        "start": start.model_dump_json(exclude_unset=True),
        "kind": start.kind,
        "title": start.title,
        "queue": start.queue,
        "priority": str(start.priority),
        "step_count": str(len(start.steps)),
        "traceparent": job.traceparent,
    }
    for name, value in _only_some_have(job):
        if value is not None:
            fields[name] = str(value)
    return [
        job.owner.tenant, job.owner.user, job.job_id, job.idempotency_key or "", job.fingerprint, job.by,
        *(part for field in fields.items() for part in field),
    ]  # fmt: skip


def _only_some_have(job: NewJob) -> list[tuple[str, str | int | None]]:
    start = job.start
    return [
        ("idempotency_key", job.idempotency_key),
        ("schedule", job.schedule_id),
        ("parent", start.parent_id),
        ("item", job.item),
        ("wake_at", milliseconds(start.start_at)),
        ("deadline_ms", round(start.deadline_seconds * 1000) if start.deadline_seconds else None),
        ("webhook", start.webhook_url),
    ]


def plan(steps: Sequence[NewStep]) -> str:
    """What the scripts must know of steps. Not their content, which may be long."""
    return json.dumps([_plan(step) for step in steps], ensure_ascii=False)


def _plan(step: NewStep) -> list[Any]:
    """Kind, name and milliseconds; of a breakpoint also what its expiry decides, and its approvers."""
    if step.kind is StepKind.BREAKPOINT:
        asked = step.approval
        return [step.kind, step.name, round((asked.expires_seconds or 0) * 1000), asked.on_expiry, asked.approvers]
    if step.kind is StepKind.WAIT:
        return [step.kind, step.name, round((step.seconds or 0) * 1000)]
    if step.kind is StepKind.MAP:
        return [step.kind, step.name, 0]
    return ["repeatable" if repeatable(step) else "once", step.name, 0]


def job_record(tenant: str, job_id: str, answer: Sequence[Sequence[str]]) -> JobRecord:
    """Of what the functions `read` and `fetch` answer: the fields of RECORD, and what the steps have."""
    fields, marks = _fields(answer[0]), as_mapping(answer[1])
    start = StartJob.model_validate_json(fields["start"])
    cursor, status = int(fields["cursor"]), JobStatus(fields["status"])
    steps = [_step(definition, index, marks) for index, definition in enumerate(start.steps)]
    if status is JobStatus.WAITING_APPROVAL and steps[cursor].status is StepStatus.IN_PROGRESS:
        steps[cursor].expires_at = moment_or_none(fields.get("wake_at"))
    return JobRecord(
        job_id=job_id,
        owner=Owner(tenant, fields["owner"]),
        start=start,
        status=status,
        created_at=moment(fields["created_at"]),
        last_update=moment(fields["last_update"]),
        steps=steps,
        cursor=cursor,
        attempt=1 + int(fields.get("retries", 0)),
        error=fields.get("error"),
        traceparent=fields["traceparent"],
        schedule_id=fields.get("schedule"),
        started_at=moment_or_none(fields.get("started_at")),
        deadline=moment_or_none(fields.get("deadline_at")),
        cost=float(fields.get("cost", 0)),
        idempotency_key=fields.get("idempotency_key"),
        edits=int(fields.get("edits", 0)),
        item=fields.get("item"),
    )


def claim(tenant: str, job_id: str, answer: Sequence[Sequence[str]]) -> Claim:
    return Claim(tenant, job_id, int(_fields(answer[0])["epoch"]))


def _fields(values: Sequence[str | None]) -> dict[str, str]:
    return {name: value for name, value in zip(RECORD, values, strict=True) if value is not None}


def _step(definition: NewStep, index: int, marks: Mapping[str, str]) -> StepRecord:
    def mark(name: str) -> str | None:
        return marks.get(f"{index}:{name}")

    verdict, total, progress, edited = mark("verdict"), mark("total"), mark("progress"), mark("definition")
    decided = json.loads(verdict) if verdict else None
    if decided:
        decided["at"] = moment(decided["at"]).isoformat()
    return StepRecord(
        definition=NewStep.model_validate_json(edited) if edited else definition,
        status=StepStatus(mark("status") or StepStatus.PENDING),
        attempts=int(mark("attempts") or 0),
        result=json.loads(mark("result") or "null"),
        error=mark("error"),
        started_at=moment_or_none(mark("started_at")),
        finished_at=moment_or_none(mark("finished_at")),
        verdict=decided,
        progress=float(progress) if progress else None,
        note=mark("note") or "",
        state=json.loads(mark("state") or "null"),
        children=_children(total, mark("ended"), mark("failed")) if total else None,
        versions=[_version(each) for each in json.loads(mark("versions") or "[]")],
        redo=int(mark("redo") or 0),
    )


def _children(total: str, ended: str | None, failed: str | None) -> Children:
    return Children(total=int(total), ended=int(ended or 0), failed=int(failed or 0))


def _version(written: dict[str, Any]) -> StepVersion:
    return StepVersion.model_validate(written | {"at": moment(written["at"])})


def summary(row: Sequence[str]) -> Summary:
    """Of a row of the script `page`."""
    job_id, kind, title, owner, status, cursor, count, created, updated = row
    return Summary(
        job_id, kind, title, owner, JobStatus(status), int(cursor), int(count), moment(created), moment(updated)
    )


def event(text: str, seq: int, job_id: str, traceparent: str) -> Event:
    fields: dict[str, Any] = json.loads(text)
    trace = parse_traceparent(traceparent)
    fields |= {"seq": seq, "timestamp": moment(fields["timestamp"])}
    # Lua's encoder knows one kind of table: an empty one is an object, and so is `data`.
    return Event(**fields, subject=job_id, trace_id=trace.trace_id if trace else None)


def about_worker(worker: WorkerRecord) -> str:
    jobs = [[owner.tenant, owner.user, job_id] for owner, job_id in worker.jobs]
    about = {"queues": worker.queues, "concurrency": worker.concurrency, "jobs": jobs}
    return json.dumps({"started_at": worker.started_at.isoformat(), **about})


def worker_records(answer: Sequence[str]) -> list[WorkerRecord]:
    """Of what the script `workers` answers: name, last seen, about; and so on."""
    records = []
    for at in range(0, len(answer), 3):
        about = json.loads(answer[at + 2])
        jobs = [(Owner(tenant, user), job_id) for tenant, user, job_id in about["jobs"]]
        records.append(
            WorkerRecord(
                answer[at], datetime.fromisoformat(about["started_at"]), moment(answer[at + 1]), jobs,
                about["queues"], about["concurrency"],
            )
        )  # fmt: skip
    return records


def load(waiting: float, running: float, oldest_ms: float) -> Load:
    return Load(waiting=int(waiting), running=int(running), oldest_seconds=round(float(oldest_ms) / 1000, 3))


def moment(milliseconds: str | float) -> datetime:
    return datetime.fromtimestamp(float(milliseconds) / 1000, UTC)


def moment_or_none(milliseconds: str | None) -> datetime | None:
    return moment(milliseconds) if milliseconds else None


def milliseconds(moment: datetime | None) -> int | None:
    return round(moment.timestamp() * 1000) if moment else None


def as_mapping(flat: Sequence[str]) -> dict[str, str]:
    """What HGETALL gives within a script: name, value, name, value …"""
    return dict(list(pairwise(flat))[::2])
