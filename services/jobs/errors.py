"""How a request about jobs is refused.

Refusal
├── JobNotFound           404   no such job within the caller's reach
├── StepNotFound          404   the job has no such step
├── ScheduleNotFound      404   no such schedule within the caller's reach
├── IllegalTransition     409   the job's state forbids it; the text names the state and what is possible
├── StepNotWaiting        409   the step is not the one that waits for a decision
├── IdempotencyKeyReused  409   the key stands for another request
├── ScheduleChanged       409   somebody else changed the schedule again and again meanwhile
├── TooManySchedules      409   the tenant has as many as it may
└── StoreAway             503   Redis does not answer
"""

from bureau_contracts.jobs import JobStatus
from kit.errors import Conflict, NotFound, Unavailable
from services.jobs.states import Action, choices


class JobNotFound(NotFound):
    code = "job_not_found"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id}")


class StepNotFound(NotFound):
    code = "step_not_found"

    def __init__(self, job_id: str, step: int) -> None:
        super().__init__(f"{job_id} has no step {step}")


class IllegalTransition(Conflict):
    code = "illegal_transition"

    def __init__(self, job_id: str, action: Action, status: JobStatus) -> None:
        possible = ", ".join(choice for choice in choices(status) if choice is not action)
        super().__init__(f"{action} is not possible: {job_id} is {status}; possible: {possible or 'nothing'}")


class StepNotWaiting(Conflict):
    code = "step_not_waiting"

    def __init__(self, job_id: str, step: int) -> None:
        super().__init__(f"step {step} of {job_id} does not wait for this decision")


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


class StoreAway(Unavailable):
    code = "store_away"
