"""The demo's story: agents, a conversation, memories, a runbook, and a restart in the middle of it."""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bureau import Bureau
from bureau.errors import BureauError, Conflict, NotFound
from bureau.runbooks import read_runbook
from bureau_contracts.jobs import Job, JobStatus
from bureau_contracts.memory import NewMemory
from bureau_contracts.registry import RegisterAgent
from bureau_contracts.runtime import RouteReason
from bureau_contracts.steps import StepStatus
from examples.demo.account import Account
from examples.demo.system import System, throw_away_system

EXAMPLES = Path(__file__).resolve().parents[1]
JOB_SECONDS = 30


def main() -> int:
    account = Account()
    try:
        with throw_away_system() as system:
            tell(account, system)
    except (RuntimeError, BureauError) as error:
        account.say(str(error))
        account.check("the story was told to its end", False)
    return account.close()


def tell(account: Account, system: System) -> None:
    account.chapter("Bureau starts: Postgres with pgvector, Redis, SQLite, a JSON file, seven services, one worker")
    account.say(f"ready after {system.start():.1f} s at {system.url}")
    ada = system.key("ada")

    session_id, job_id = asyncio.run(before_restart(account, system, ada))

    account.chapter("Everything is stopped and started again")
    system.stop()
    account.say(f"ready again after {system.start():.1f} s")

    asyncio.run(after_restart(account, system, ada, session_id, job_id))


async def before_restart(account: Account, system: System, ada: str) -> tuple[str, str]:
    async with Bureau(system.url, system.api_key) as admin, Bureau(system.url, ada) as bureau:
        await register_agents(account, admin)
        session_id = await converse(account, bureau)
        await remember(account, bureau)
        await nobody_else(account, admin, system, session_id)
        return session_id, await begin_runbook(account, bureau)


async def after_restart(account: Account, system: System, ada: str, session_id: str, job_id: str) -> None:
    async with Bureau(system.url, ada) as bureau:
        account.chapter("Nothing was lost")
        names = [agent.name async for agent in bureau.agents.all()]
        account.check("the agents are still registered", {"tickets", "finops", "oxygen"} <= set(names))
        view = await bureau.sessions.get(session_id, history_limit=200)
        seqs = [message.seq for message in view.conversation_history]
        account.say(f"session {session_id} holds messages 1 to {seqs[-1]}")
        account.check("the session's messages are 1, 2, 3 … without a gap", seqs == list(range(1, len(seqs) + 1)))
        found = await bureau.memory.search("how should reports be written?")
        account.check("the memory is found after the restart", any("bullet" in h.memory.text for h in found.results))
        answer = await bureau.chat("show details", session_id=session_id)
        account.turn("show details", answer)
        account.check("the follow-up still finds the tickets agent", answer.agents == ["tickets"])
        await finish_runbook(account, bureau, job_id)


async def register_agents(account: Account, admin: Bureau) -> None:
    account.chapter("Three agents are registered through the API")
    for path in sorted((EXAMPLES / "agents").glob("*.json")):
        agent = RegisterAgent.model_validate(json.loads(path.read_text()))
        try:
            await admin.agents.register(agent)
        except Conflict:
            account.say(f"{agent.name} was registered by the first start")
        else:
            account.say(f"{agent.name}: {agent.description}")
    account.check("three agents are registered", (await admin.agents.page()).total == 3)


async def converse(account: Account, bureau: Bureau) -> str:
    account.chapter("Ada talks to Bureau; nobody says which agent to ask")
    session_id = None
    for question, expected in [
        ("show my tickets", "tickets"),
        ("show details", "tickets"),
        ("what did the cloud cost in 2026-09?", "finops"),
        ("compare it with the month before", "finops"),
        ("find a python course for beginners", "oxygen"),
        ("enrol me in C-201", "oxygen"),
        ("show my tickets", "tickets"),
    ]:
        answer = await bureau.chat(question, session_id=session_id)
        session_id = answer.session_id
        account.turn(question, answer)
        account.check(f"'{question}' is answered by {expected}", answer.agents == [expected])
        if question == "show details":
            followed = answer.routing is not None and answer.routing.reason is RouteReason.CONTINUITY
            account.check(
                "'show details' went to the agent that answered before", followed and "T-1002" in answer.reply
            )
    assert session_id is not None
    return session_id


async def remember(account: Account, bureau: Bureau) -> None:
    account.chapter("Bureau is told something that it should still know tomorrow")
    text = "Ada wants reports as short bullet points"
    stored = await bureau.memory.store(NewMemory(text=text))
    again = await bureau.memory.store(NewMemory(text=text.upper()))
    found = await bureau.memory.search("how should reports be written?")
    for hit in found.results[:1]:
        account.say(
            f"asked how reports should be written, it recalls: {hit.memory.text} (by {' and '.join(hit.matched)})"
        )
    account.check("the memory is recalled", bool(found.results) and found.results[0].memory.text == text)
    account.check("the same memory is not stored twice", stored.memory_id == again.memory_id and not again.created)
    answer = await bureau.chat("which courses are there? keep the reports as I like them")
    account.check("the memory was in the context of a turn", stored.memory_id in answer.memories)


async def nobody_else(account: Account, admin: Bureau, system: System, session_id: str) -> None:
    account.chapter("Nobody else sees it")
    async with Bureau(system.url, system.key("grace")) as grace, Bureau(system.url, "bk_wrong_key") as stranger:
        try:
            await grace.sessions.get(session_id)
        except NotFound as error:
            account.say(f"Grace asks for Ada's session: {error.status} {error.code}")
            account.check("another user's session is 404", True)
        else:
            account.check("another user's session is 404", False)
        mine = await grace.memory.search("how should reports be written?")
        account.check("another user finds none of Ada's memories", not mine.results)
        try:
            await stranger.sessions.page()
        except BureauError as error:
            account.say(f"a stranger asks for anything: {error.status} {error.code}")
            account.check("a stranger is refused", error.status == 401)
        else:
            account.check("a stranger is refused", False)


async def begin_runbook(account: Account, bureau: Bureau) -> str:
    account.chapter("A runbook of four steps runs as a job, and is paused")
    review = read_runbook(EXAMPLES / "runbooks" / "monday-review.yaml").job({"topic": "python"})
    started = await bureau.jobs.start(review, idempotency_key="monday-review-1")
    again = await bureau.jobs.start(review, idempotency_key="monday-review-1")
    account.check("the same idempotency key gives the same job", again.job_id == started.job_id and not again.created)
    await until(bureau, started.job_id, lambda job: job.current_step >= 1)
    await bureau.jobs.pause(started.job_id)
    job = await until(bureau, started.job_id, lambda job: job.status is JobStatus.PAUSED)
    account.say(f"{job.job_id} is {job.status} with {job.current_step} of {len(job.steps)} steps done")
    account.check("the job is paused in the middle", job.status is JobStatus.PAUSED and 1 <= job.current_step < 4)
    return job.job_id


async def finish_runbook(account: Account, bureau: Bureau, job_id: str) -> None:
    account.chapter("The paused job goes on")
    job = await bureau.jobs.get(job_id)
    done = job.current_step
    account.check("it was still paused after the restart", job.status is JobStatus.PAUSED)
    await bureau.jobs.resume(job_id)
    job = await until(bureau, job_id, lambda job: job.status in (JobStatus.SUCCEEDED, JobStatus.FAILED))
    for step in job.steps:
        account.say(f"{step.name}: {step.status} after {step.attempts} attempt(s)")
    account.check("it went on from where it was and succeeded", done >= 1 and job.status is JobStatus.SUCCEEDED)
    account.check("every step passed once", all(s.status is StepStatus.PASSED and s.attempts == 1 for s in job.steps))


async def until(bureau: Bureau, job_id: str, holds: Callable[[Job], bool]) -> Job:
    """The job as soon as the condition holds, or as it is when the time is over."""
    deadline = time.monotonic() + JOB_SECONDS
    while True:
        job = await bureau.jobs.get(job_id)
        if holds(job) or time.monotonic() > deadline:
            return job
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
