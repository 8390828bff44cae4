"""How a request about jobs is refused.

Refusal
├── NotAnApprover         403   the breakpoint names others
├── FunctionForbidden     403   the caller has no scope for this function
├── JobNotFound           404   no such job within the caller's reach
├── ParentNotFound        404   the job's parent is not the same owner's, or has ended
├── StepNotFound          404   the job has no such step, or has not come so far
├── ScheduleNotFound      404   no such schedule within the caller's reach
├── IllegalTransition     409   the job's state forbids it; the text names the state and what is possible
├── StepNotWaiting        409   the step is not the one that waits for a decision, or has begun
├── ChildOfMap            409   the job is run again by its parent
├── Crowded               409   the parent has too many children, or parents
├── TooManyEdits          409   the job keeps as many replaced definitions as it may
├── JobChanged            409   somebody else edits the job again and again meanwhile
├── IdempotencyKeyReused  409   the key stands for another request
├── ScheduleChanged       409   somebody else changed the schedule again and again meanwhile
├── WebhooksOff           409   there is nothing to sign webhooks with
├── TooManySchedules      409   the tenant has as many as it may
├── QueueFull             429   as many wait already as may
├── StoreFull             503   Redis has little memory left
└── StoreAway             503   Redis does not answer
"""

from bureau_contracts.jobs import JobStatus
from kit.errors import Conflict, Forbidden, NotFound, TooMany, Unavailable
from services.jobs.states import Action, choices

BUSY_SECONDS = 5.0
"""When who is refused for a full queue may come back."""


class JobNotFound(NotFound):
    code = "job_not_found"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id}")


class ParentNotFound(NotFound):
    code = "parent_not_found"

    def __init__(self) -> None:
        super().__init__("parent_id: the owner has no such job, or it has ended")


class NotAnApprover(Forbidden):
    code = "not_an_approver"

    def __init__(self, job_id: str, step: int) -> None:
        super().__init__(f"step {step} of {job_id} is for others to decide")


class FunctionForbidden(Forbidden):
    code = "scope_missing"

    def __init__(self, function: str) -> None:
        super().__init__(f"to call the function {function} takes the scope 'function:{function}'")


class StepNotFound(NotFound):
    code = "step_not_found"

    def __init__(self, job_id: str, step: int) -> None:
        super().__init__(f"{job_id} has no step {step}, or has not come so far")


class IllegalTransition(Conflict):
    code = "illegal_transition"

    def __init__(self, job_id: str, action: Action, status: JobStatus) -> None:
        possible = ", ".join(choice for choice in choices(status) if choice is not action)
        super().__init__(f"{action} is not possible: {job_id} is {status}; possible: {possible or 'nothing'}")


class StepNotWaiting(Conflict):
    code = "step_not_waiting"

    def __init__(self, job_id: str, step: int) -> None:
        super().__init__(f"step {step} of {job_id} does not wait for this")


class ChildOfMap(Conflict):
    code = "child_of_map"

    def __init__(self, job_id: str, parent_id: str) -> None:
        super().__init__(f"{job_id} is run again when {parent_id} is retried")


class Crowded(Conflict):
    code = "too_many_children"

    def __init__(self) -> None:
        super().__init__("parent_id: it has as many children as it may, or too many parents above it")


class TooManyEdits(Conflict):
    code = "too_many_edits"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"{job_id} keeps as much of what its steps were told before as it may; start another one")


class JobChanged(Conflict):
    code = "job_changed"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"{job_id} keeps changing; read it and try again")


class IdempotencyKeyReused(Conflict):
    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("Idempotency-Key: was used for another request; take a new one")


class ScheduleNotFound(NotFound):
    code = "schedule_not_found"

    def __init__(self, schedule_id: str) -> None:
        super().__init__(f"there is no schedule {schedule_id}")


class ScheduleChanged(Conflict):
    code = "schedule_changed"

    def __init__(self, schedule_id: str) -> None:
        super().__init__(f"{schedule_id} keeps changing; read it and try again")


class TooManySchedules(Conflict):
    code = "too_many_schedules"

    def __init__(self, limit: int) -> None:
        super().__init__(f"there are {limit} schedules, the most that a tenant may have: delete one")


class WebhooksOff(Conflict):
    code = "webhooks_off"

    def __init__(self) -> None:
        super().__init__("this Bureau sends no webhooks: JOBS_WEBHOOK_SECRET is not set")


class QueueFull(TooMany):
    code = "queue_full"

    def __init__(self, scope: str, name: str, most: int) -> None:
        super().__init__(f"{scope} {name}: {most} jobs wait already, the most that may", retry_after=BUSY_SECONDS)


class StoreFull(Unavailable):
    code = "store_full"


class StoreAway(Unavailable):
    code = "store_away"
