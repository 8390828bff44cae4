"""Where jobs wait, who works on them, and those that failed for good."""

from typing import Annotated

import typer

from bureau.cli.job_arguments import AsJson, JobId, report
from bureau.cli.terminal import ago, plain, run, short, show, table
from bureau_contracts.jobs import Load, Queue


def queues(as_json: AsJson = False) -> None:
    """How many jobs wait and run in each queue, and its limits."""
    answer = run(lambda bureau: bureau.jobs.queues())
    columns = ["queue", "waiting", "running", "oldest", "limits"]
    operator = any(queue.everybody for queue in answer.queues)
    if operator:
        columns += ["all waiting", "all running", "all oldest"]
    rows = [
        (queue.name, *_load(queue.yours), _limits(queue), *(_load(queue.everybody or Load()) if operator else ()))
        for queue in answer.queues
    ]
    show(answer, as_json=as_json, table=lambda: table(columns, rows))


def workers(as_json: AsJson = False) -> None:
    """Who is alive, and what each is doing."""
    answer = run(lambda bureau: bureau.jobs.workers())
    rows = [
        (
            worker.worker_id,
            ago(worker.started_at),
            ago(worker.last_seen),
            ", ".join(worker.queues),
            worker.concurrency,
            " ".join(worker.job_ids) or worker.job_id or "idle",
        )
        for worker in answer.workers
    ]
    columns = ("worker", "started", "seen", "queues", "at once", "doing")
    show(answer, as_json=as_json, table=lambda: table(columns, rows))


def dead(
    user: Annotated[str | None, typer.Option(help="Whose; needs a tenant-wide scope.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    as_json: AsJson = False,
) -> None:
    """Jobs that failed for good, and that nobody has taken care of."""
    page = run(lambda bureau: bureau.jobs.dead(user_id=user, limit=limit))
    rows = [(j.job_id, j.owner, f"{j.current_step}/{j.step_count}", ago(j.last_update), short(j.title, 40))
            for j in page.jobs]  # fmt: skip
    show(page, as_json=as_json, table=lambda: table(("job", "owner", "step", "failed", "title"), rows))


def requeue(job_id: JobId, as_json: AsJson = False) -> None:
    """Run a dead letter again from the step that failed."""
    report(run(lambda bureau: bureau.jobs.requeue(job_id)), as_json=as_json)


def webhook_key(as_json: AsJson = False) -> None:
    """Print what webhooks of ended jobs are signed with (Standard Webhooks). It is a secret."""
    key = run(lambda bureau: bureau.jobs.webhook_key())
    if as_json:
        show(key, as_json=True)
    else:
        plain(key.key)


def _load(load: Load) -> tuple[object, ...]:
    return load.waiting, load.running, f"{load.oldest_seconds:.0f} s" if load.waiting else ""


def _limits(queue: Queue) -> str:
    said = {"at once": queue.concurrency, "begin per s": queue.rate, "waiting": queue.depth}
    return ", ".join(f"{limit} {what}" for what, limit in said.items() if limit is not None)
