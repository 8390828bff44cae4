"""kill -9 of workers, of API replicas and of Redis while jobs of five steps run against a target that is difficult.

People start, watch, pause, cancel and decide meanwhile. What they were told must be true at the end.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Sequence
from contextlib import aclosing
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import pytest

from bureau.http import Caller
from bureau.jobs import JobsClient
from bureau_contracts.events import Event
from bureau_contracts.jobs import StartJob
from bureau_contracts.steps import StepStatus
from tests.chaos.jobs_doers import People, all_jobs, say
from tests.chaos.jobs_history import History, Loss, check_children, recovery_seconds
from tests.chaos.jobs_killer import KILLED, KILLED_OR_STOPPED, kill_now_and_then
from tests.chaos.jobs_processes import JobsStack, jobs_stack
from tests.chaos.jobs_target import Asked

PROMISED_SECONDS = 10
"""Until a job goes on whose worker died."""
ENDING_SECONDS = 60
"""When nothing is killed any more, every job ends within this."""
STEERERS = 4


@pytest.mark.parametrize(
    ("seconds", "victims", "pauses", "at_once"),
    [
        (10, KILLED, (0.5, 1.5), 12),
        pytest.param(300, KILLED, (0.5, 4), 24, marks=pytest.mark.chaos),
        pytest.param(60, KILLED_OR_STOPPED, (0.5, 3), 24, marks=pytest.mark.chaos),
    ],
    ids=["short", "five minutes", "stopped too"],
)
async def test_whatever_is_killed_every_job_ends_with_each_step_recorded_once(
    tmp_path: Path, seconds: float, victims: Sequence[str], pauses: tuple[float, float], at_once: int
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    chance = Random(seed)
    say(f"seed {seed}")
    pace = {"retry_first_seconds": 0.1, "retry_longest_seconds": 0.5}
    async with jobs_stack(tmp_path, seed=seed, trouble=0.25, delays=(0, 0.4), **pace) as stack, stack.client() as http:
        people = People(Caller(http, attempts=1), chance, lambda chance, name: five_steps(stack.target, chance, name))
        over = time.monotonic() + seconds
        killing = kill_now_and_then(stack, people.jobs, chance, lambda: time.monotonic() < over, pauses, victims)
        await live(stack, people, at_once, killing)
        await check(stack, people, chance)


async def live(stack: JobsStack, people: People, at_once: int, killing: Awaitable[None]) -> None:
    """Until the killer is done and every job has ended."""
    async with asyncio.TaskGroup() as group:
        deciding = group.create_task(people.decide())
        for number in range(at_once):
            group.create_task(people.start_and_watch(f"starter-{number}"))
        for _ in range(STEERERS):
            group.create_task(people.steer())
        await killing
        people.going = False
        await stack.ready()
        await people.all_have_ended(ENDING_SECONDS)
        deciding.cancel()


def five_steps(target: str, chance: Random, name: str) -> StartJob:
    """A read, a POST that may be repeated and one that may not, and two more. One in ten has a deadline too soon."""
    kinds = [
        "get",
        "post",
        "once",
        chance.choice(["post", "wait", "breakpoint"]),
        chance.choice(["get", "wait", "map"]),
    ]
    chance.shuffle(kinds)
    steps = list[dict[str, Any]]()
    for number, kind in enumerate(kinds):
        step: dict[str, Any] = {"name": f"{kind}-{number}", "kind": kind, "max_attempts": 20}
        read = next((f"{{{{ steps.{each['name']}.body.n }}}}" for each in steps if "get" in each["name"]), None)
        if kind == "wait":
            step["seconds"] = chance.uniform(0.1, 1)
        elif kind == "map":
            mine = f"{name}/{number}/{{{{ input.item }}}}"
            inner = [request(target, what, f"{mine}/{place}", read=None) for place, what in enumerate(["once", "post"])]
            step["map"] = {"items": ["a", "b", "c"], "parallel": 2, "partial": True, "steps": inner}
        elif kind == "breakpoint":
            # Some are decided by themselves before anybody comes to it.
            step["approval"] = {
                "expires_seconds": chance.choice([0.1, 60]),
                "on_expiry": chance.choice(["approve", "skip"]),
            }
        else:
            step |= request(target, kind, f"{name}/{number}", read) | {"name": step["name"]}
        steps.append(step)
    deadline = chance.choice([1.5, *[None] * 9])
    return StartJob.model_validate({"title": name, "steps": steps, "deadline_seconds": deadline})


def request(target: str, kind: str, path: str, read: str | None) -> dict[str, Any]:
    """A step. `read` is what an earlier one read."""
    sent: dict[str, Any] = {"url": f"{target}/{kind}/{path}"}
    if kind != "get":
        sent |= {"method": "POST", "body": {"read": read}, "idempotent": kind == "once"}
    return {"name": kind, "kind": "http", "request": sent, "max_attempts": 20}


async def check(stack: JobsStack, people: People, chance: Random) -> None:
    asked = await stack.asked()
    known = set(people.started.values())
    assert len(known) == len(people.started)
    assert set(await all_jobs(people.jobs)) == known, "what was acknowledged is there once, and nothing else"
    histories = list[History]()
    for job_id in sorted(known):
        history = await history_of(people.jobs, job_id, chance)
        assert history.events == people.seen[job_id], "what was seen as it happened is what is told afterwards"
        children = [await history_of(people.jobs, child, chance) for child in await people.children(job_id)]
        check_children(history, children)
        histories += [history, *children]
    assert {each.job_id for each in asked} <= {history.job.job_id for history in histories}
    for history in histories:
        job_id = history.job.job_id
        history.check_effects([each for each in asked if each.job_id == job_id])
        for action in ("pause", "resume", "cancel", "retry") if history.job.parent_id is None else ("retry",):
            done = people.done[job_id, action]
            assert done <= history.actions[action] <= done + people.unsure[job_id, action], (history.job, action)
        assert {comment for comment, decided in people.comments.items() if decided == job_id} <= history.comments
    # Who was stopped with a request in hand sends it when he is back, whatever became of the job.
    late = {loss.job_id for history in histories for loss in history.losses if was_stopped(loss, stack)}
    for held in people.held:
        meanwhile = [each for each in asked if each.job_id == held.job_id and held.since < each.at < held.until]
        assert not meanwhile or held.job_id in late, "a paused job asked for something"
    report(stack, people, histories, asked)


async def history_of(jobs: JobsClient, job_id: str, chance: Random) -> History:
    """Its events are read from two streams, of which the first is left somewhere."""
    job = await jobs.get(job_id)
    enough, events = chance.randrange(1, 20), list[Event]()
    async with aclosing(jobs.events(job_id)) as news:
        async for event in news:
            events.append(event)
            if len(events) == enough:
                break
    events += [event async for event in jobs.events(job_id, after=len(events))]
    return History(job, events)


def was_stopped(loss: Loss, stack: JobsStack) -> bool:
    return any(f"-{pid}-" in loss.worker for pid in stack.stopped)


def report(stack: JobsStack, people: People, histories: list[History], asked: list[Asked]) -> None:
    """Also fails when the run showed nothing, or a job took too long to go on."""
    kills = Counter(kill.name.partition("-")[0] for kill in stack.kills)
    ends = Counter(history.job.status for history in histories)
    steps = sum((step.finished + step.decided for history in histories for step in history.steps), Counter[str]())
    repeats = len(asked) - len({each.key for each in asked})
    losses = [loss for history in histories for loss in history.losses]
    times = [found for loss in losses if (found := recovery_seconds(loss, stack.kills))]
    say(f"killed {dict(kills)}; jobs {dict(ends)}; steps {dict(steps)}")
    say(f"requests {len(asked)}, {repeats} of them again; held {len(people.held)}; done {people.done_in_all()}")
    if times:
        noticed, went_on = (sorted(each) for each in zip(*times, strict=True))
        stopped = sum(was_stopped(loss, stack) for loss in losses)
        say(f"{len(losses)} times a job lost its worker, {stopped} times one that was stopped")
        say(f"noticed after {median(noticed):.1f} s, at most {noticed[-1]:.1f} s; went on at most {went_on[-1]:.1f} s")
        assert went_on[-1] < PROMISED_SECONDS
    assert min(kills[name] for name in ("worker", "api", "valkey")) > 0
    assert times, "nobody was killed at work"
    assert people.held
    assert steps[StepStatus.UNKNOWN_OUTCOME]
