"""What must hold of a job that has ended, whatever was killed meanwhile: of its events, and of what it asked for."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from bureau_contracts.events import Event, EventType
from bureau_contracts.jobs import Job, JobStatus, Step
from bureau_contracts.steps import StepKind, StepStatus
from services.jobs.states import FINAL
from tests.chaos.jobs_processes import Kill
from tests.chaos.jobs_target import Asked

DONE = (StepStatus.PASSED, StepStatus.SKIPPED)
STILL = FINAL | {JobStatus.PAUSED}
"""In which no step that does something may begin."""


@dataclass
class Loss:
    """A worker was given up. Seconds since 1970."""

    job_id: str
    worker: str
    noticed: float
    went_on: float
    """When the next one took the job, or a human was asked."""


@dataclass
class StepHistory:
    finished: Counter[str] = field(default_factory=Counter)
    """By status, what a worker reported or its loss meant."""
    decided: Counter[str] = field(default_factory=Counter)
    """By status, what a human said."""
    retries: int = 0
    """How often a human had it run again."""


class History:
    """Reads a job's events in order; whatever is wrong with them fails."""

    def __init__(self, job: Job, events: Sequence[Event]) -> None:
        self.job, self.events = job, events
        self.steps = [StepHistory() for _ in job.steps]
        self.actions = Counter[str]()
        self.comments = {str(step.verdict.get("comment")) for step in job.steps if step.verdict}
        """Of all decisions: a step keeps the last one, events tell of those that moved the job."""
        self.losses: list[Loss] = []
        self._status = "new"
        self._done = 0
        """Steps that have passed or were skipped."""
        self._begun = False
        """Whether a worker is at the step that comes next."""
        self._worker = ""
        assert [event.seq for event in events] == list(range(1, len(events) + 1)), job.job_id
        for event in events:
            self._read(event)
        self._read_end()

    def _read(self, event: Event) -> None:
        where = (self.job.job_id, event)
        if "comment" in event.data:
            self.comments.add(str(event.data["comment"]))
        match event.type:
            case EventType.JOB_TRANSITION:
                assert event.data["from"] == self._status, where
                self._read_transition(event)
            case EventType.STEP_STARTED:
                assert event.data["index"] == self._done, where
                assert not self._begun, where
                kind = self.job.steps[self._done].kind
                # The others begin in the same moment in which the job moves on, just before it is said to.
                assert kind not in (StepKind.HTTP, StepKind.FUNCTION) or self._status == JobStatus.RUNNING, where
                self._begun = True
            case EventType.STEP_FINISHED:
                assert event.data["index"] == self._done, where
                step = self.steps[self._done]
                (step.decided if "by" in event.data else step.finished)[event.status] += 1
                self._done += event.status in DONE
                self._begun = False
            case EventType.STEP_RETRY:
                self._begun = False

    def _read_transition(self, event: Event) -> None:
        action = str(event.data["action"])
        self.actions[action] += 1
        if action == "take":
            self._worker = str(event.data["worker"])
            if self.losses and not self.losses[-1].went_on:
                self.losses[-1].went_on = event.timestamp.timestamp()
        if action == "retry":
            self.steps[self._done].retries += 1
        if action == "lose":
            self._begun = False
            went_on = 0 if event.status == JobStatus.QUEUED else event.timestamp.timestamp()
            self.losses.append(Loss(self.job.job_id, self._worker, event.timestamp.timestamp(), went_on))
        elif self.losses and not self.losses[-1].went_on:
            self.losses[-1].went_on = event.timestamp.timestamp()  # paused or cancelled before anybody took it
        self._status = event.status

    def _read_end(self) -> None:
        job = self.job
        assert job.status in FINAL, job
        assert self._status == job.status, job
        last = [event for event in self.events if event.type is EventType.JOB_TRANSITION][-1]
        if job.status is JobStatus.SUCCEEDED:
            assert self._done == len(job.steps), job
        if job.status is JobStatus.FAILED:
            assert last.data["action"] in ("reject", "time_out"), f"nobody wanted it to fail: {self.told()}"
        for index, step in enumerate(job.steps):
            assert (step.status in DONE) == (index < self._done), job
            history = self.steps[index]
            recorded = sum(history.finished[status] + history.decided[status] for status in DONE)
            assert recorded == (index < self._done), (job, "recorded other than once")

    def told(self) -> str:
        """For whoever has to find out what went wrong."""
        lines = (f"{event.timestamp} {event.type} {event.status} {event.data}" for event in self.events)
        return f"{self.job.job_id}\n" + "\n".join(lines)

    def check_effects(self, asked: Sequence[Asked]) -> None:
        """`asked` is everything that the target was asked on behalf of this job."""
        for step in self.job.steps:
            if step.kind is StepKind.HTTP:
                here = [each for each in asked if each.key == f"{self.job.job_id}:{step.index}"]
                self._check_step(step, self.steps[step.index], here)

    def _check_step(self, step: Step, history: StepHistory, asked: Sequence[Asked]) -> None:
        request = step.definition.request
        assert request is not None
        once_only = request.method != "GET" and not request.idempotent
        effects = {each.effect for each in asked if each.effect}
        passed, unsure = history.finished[StepStatus.PASSED], history.finished[StepStatus.UNKNOWN_OUTCOME]
        where = f"step {step.index} of {self.told()}\n" + "\n".join(map(str, asked))
        if once_only:
            assert passed <= len(effects) <= passed + unsure, where
            assert len(effects) <= 1 + history.retries, where
        else:
            assert len(effects) <= 1, where
            assert not unsure or self.job.status is JobStatus.CANCELLED, where
        if passed:
            assert isinstance(step.result, dict), where
            answered = {each.effect or each.number for each in asked if each.status == 200}
            assert step.result["body"]["n"] in answered, where


def check_children(parent: History, children: Sequence[History]) -> None:
    """What a `map` step says of its children is what they say themselves."""
    jobs = {child.job.job_id: child.job for child in children}
    for step in parent.job.steps:
        if step.kind is StepKind.MAP and step.status is StepStatus.PASSED:
            assert step.definition.map is not None
            assert len(step.result) == len(step.definition.map.items), parent.told()
            for item, said in enumerate(step.result):
                child = jobs.pop(said["job_id"])
                assert child.input["item_index"] == item
                assert child.status == said["status"]
                if child.status is JobStatus.SUCCEEDED:
                    assert child.steps[-1].result == said["result"], (child, said)
    if parent.job.status is JobStatus.SUCCEEDED:
        assert not jobs, parent.told()


def recovery_seconds(loss: Loss, kills: Sequence[Kill]) -> tuple[float, float] | None:
    """From the worker's death, or from when Redis came back after it, until it was noticed and until the job went on.
    None when it was not killed: it could not renew its lease in time."""
    died = next((kill.at for kill in kills if f"-{kill.pid}-" in loss.worker and kill.at < loss.noticed), None)
    if died is None:
        return None
    back = [kill.back for kill in kills if kill.name == "valkey"]
    return tuple(  # type: ignore[return-value]
        moment - max([died, *(at for at in back if at < moment)]) for moment in (loss.noticed, loss.went_on)
    )
