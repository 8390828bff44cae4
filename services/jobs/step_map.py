"""A `map` step: its items as child jobs. The store starts them, some at a time, and gathers what they bring about."""

from bureau_contracts.jobs import StartJob
from bureau_contracts.steps import MOST_ITEMS, NewStep
from services.jobs.records import JobRecord
from services.jobs.steps import StepFailed
from services.jobs.store import NewJob

MOST_CHARACTERS = 8_000_000
"""Of all children together, as JSON: they are handed over in one piece. Each holds the job's whole input."""
LONGEST_TITLE = 180
"""Characters of the job's title within a child's."""


def children_of(record: JobRecord, step: NewStep) -> list[NewJob]:
    """Of a step whose references are filled in. Raises StepFailed when there is no list to map over."""
    over = step.map
    if over is None or not isinstance(over.items, list):
        kind = "nothing" if over is None else type(over.items).__name__
        raise StepFailed(f"a map needs a list; its items are of type {kind}")
    if len(over.items) > MOST_ITEMS:
        raise StepFailed(f"there are {len(over.items)} items; at most {MOST_ITEMS} are mapped")
    children, size = list[NewJob](), 0
    for index, item in enumerate(over.items):
        children.append(_child(record, step, index, item))
        size += len(children[-1].start.model_dump_json(exclude_unset=True))
        if size > MOST_CHARACTERS:
            raise StepFailed(f"the children's inputs and steps have more than {MOST_CHARACTERS} characters together")
    return children


def _child(record: JobRecord, step: NewStep, index: int, item: object) -> NewJob:
    assert step.map is not None
    parent = record.start
    start = StartJob(
        title=f"{parent.title[:LONGEST_TITLE]} [{index}]", kind=parent.kind, steps=step.map.steps,
        input={**parent.input, **step.arguments, "item": item, "item_index": index},
        autonomy_level=parent.autonomy_level, queue=parent.queue, priority=parent.priority, parent_id=record.job_id,
    )  # fmt: skip
    return NewJob(
        job_id="", owner=record.owner, by=record.job_id, start=start, traceparent=record.traceparent, item=index
    )
