"""What is killed leaves nothing behind, loses nothing, and goes on: with all that the other tests have left in it."""

import contextlib
import os
import signal
import time

import psutil

from bureau import Bureau
from bureau_contracts.jobs import JobStatus, StartJob
from bureau_contracts.memory import NewMemory
from bureau_contracts.registry import RegisterAgent
from bureau_contracts.steps import StepStatus
from examples.demo.system import System
from tests.waiting import eventually

GONE_SECONDS = 2.0


def family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def still_there(processes: list[psutil.Process]) -> list[int]:
    left = []
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if each.status() != psutil.STATUS_ZOMBIE:
                left.append(each.pid)
    return left


async def test_kill_minus_nine_of_everything_leaves_nothing_and_loses_nothing(system: System) -> None:
    async with Bureau(system.url, system.api_key) as bureau:
        await bureau.agents.register(RegisterAgent.model_validate({"name": "mine", "http": "http://127.0.0.1:1"}))
        session_id = (await bureau.chat("show my tickets")).session_id
        memory_id = (await bureau.memory.store(NewMemory(text="the spare key is in the blue box"))).memory_id
        runbook = StartJob.model_validate({"title": "t", "steps": [{"name": "w", "kind": "wait", "seconds": 3600}]})
        job_id = (await bureau.jobs.start(runbook)).job_id
        messages = (await bureau.sessions.get(session_id)).conversation_history

    processes = family(system.pid)
    assert len(processes) >= 10, "the launcher, seven services, a worker and the stores"
    os.kill(system.pid, signal.SIGKILL)
    killed = time.monotonic()
    system.wait()
    await eventually(lambda: not still_there(processes[1:]), seconds=GONE_SECONDS - (time.monotonic() - killed))

    assert system.start() < 20
    async with Bureau(system.url, system.api_key) as bureau:
        assert (await bureau.agents.get("mine")).http == "http://127.0.0.1:1"
        assert (await bureau.sessions.get(session_id)).conversation_history == messages
        assert (await bureau.memory.get(memory_id)).text == "the spare key is in the blue box"
        assert (await bureau.jobs.get(job_id)).title == "t"


async def test_a_killed_workers_job_goes_on_from_its_last_recorded_step(system: System) -> None:
    steps: list[dict[str, str | int]] = [
        {"name": "first", "kind": "agent", "agent": "tickets", "message": "list my tickets"},
        {"name": "gap", "kind": "wait", "seconds": 1},
        {"name": "second", "kind": "agent", "agent": "finops", "message": "what did the cloud cost in 2026-09?"},
        {"name": "third", "kind": "agent", "agent": "oxygen", "message": "find a python course"},
    ]
    async with Bureau(system.url, system.api_key) as bureau:
        job_id = (await bureau.jobs.start(StartJob.model_validate({"title": "t", "steps": steps}))).job_id

        async def past_the_first() -> bool:
            return (await bureau.jobs.get(job_id)).current_step >= 1

        await eventually(past_the_first, seconds=20)
        first = (await bureau.jobs.get(job_id)).steps[0]
        (worker,) = [each for each in family(system.pid) if "services.jobs.worker" in each.cmdline()]
        worker.kill()

        async def ended() -> bool:
            return (await bureau.jobs.get(job_id)).status is JobStatus.SUCCEEDED

        await eventually(ended, seconds=20)
        job = await bureau.jobs.get(job_id)
        assert job.steps[0] == first, "the recorded step was neither repeated nor changed"
        assert [step.status for step in job.steps] == [StepStatus.PASSED] * 4
        history = (await bureau.sessions.get(_session_of(job_id), history_limit=200)).conversation_history
        assert [m.content for m in history if m.role == "user"] == [s["message"] for s in steps if "message" in s]


def _session_of(job_id: str) -> str:
    return job_id.replace("job-", "sess-", 1)
