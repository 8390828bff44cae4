"""Prompts kept through the change feed: read once, never older than the bound, and nothing missed."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest

from bureau import prompt_cache
from bureau.errors import BureauError, Forbidden, Invalid, NotFound, no_answer
from bureau.prompt_cache import TRUSTED_SECONDS, WAIT_SECONDS, PromptCache
from bureau_contracts.problems import Problem
from bureau_contracts.prompts import PromptRecord, PromptVersion, RenderPrompt
from bureau_contracts.registry import Change, ChangePage, ChangeType, Kind
from kit.tasks import background
from tests.waiting import eventually

THEN = datetime(2026, 1, 1, tzinfo=UTC)


class Registry:
    """Prompts `a`, `b` … of two versions each; its feed answers as soon as there is something, or when nudged."""

    def __init__(self) -> None:
        self.now = 0.0
        self.live = {"a": 1, "b": 1}
        self.seq, self.changes = 5, list[Change]()
        self.reads, self.asked = list[str](), list[int]()
        self.failure: BureauError | None = None
        self.feed_failure: BureauError | None = None
        self.told_from = 0
        self._news = asyncio.Event()

    def move(self, name: str, version: int, *, kind: Kind = Kind.PROMPT) -> None:
        self.live[name] = version
        self.seq += 1
        self.changes.append(
            Change(seq=self.seq, kind=kind, name=name, change=ChangeType.UPDATED, revision=self.seq, at=THEN)
        )
        self.nudge()

    def nudge(self) -> None:
        """The feed's waiting time is over."""
        self._news.set()

    async def prompt(self, name: str) -> PromptRecord:
        self.reads.append(name)
        if self.failure:
            raise self.failure
        if name not in self.live:
            raise NotFound(Problem(title="Not Found", status=404, code="prompt_not_found"))
        versions = [
            PromptVersion(version=n, text=f"{name}{n} {{{{ who }}}}", variables=["who"], created_at=THEN)
            for n in (1, 2)
        ]
        return PromptRecord(name=name, labels={"latest": 2, "live": self.live[name]}, versions=versions, revision=1)

    async def change_page(self, after: int, *, wait_seconds: float = 0, limit: int | None = None) -> ChangePage:
        self.asked.append(after)
        if self.feed_failure:
            raise self.feed_failure
        if after > self.seq or after < self.told_from:
            return ChangePage(changes=[], seq=self.seq, reset=True)
        if after == self.seq:
            self._news.clear()
            await self._news.wait()
        if self.feed_failure:
            raise self.feed_failure
        changes = [each for each in self.changes if each.seq > after][:limit]
        return ChangePage(changes=changes, seq=changes[-1].seq if changes else self.seq)


class Bench:
    def __init__(self) -> None:
        self.registry = Registry()
        self.cache = PromptCache(self.registry, now=lambda: self.registry.now)

    async def live(self, name: str = "a") -> int:
        return (await self.cache.version(name, "live")).version

    async def answered(self, times: int = 1) -> None:
        """The feed waits again, `times` answers later."""
        asked = len(self.registry.asked)
        self.registry.nudge()
        await eventually(lambda: len(self.registry.asked) >= asked + times)

    async def told(self) -> None:
        """The feed stands where the registry does."""
        await eventually(lambda: self.registry.asked[-1:] == [self.registry.seq])


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr("bureau.changes.LONGEST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(prompt_cache, "REFUSED_SECONDS", 0.01)
    bench = Bench()
    async with background(bench.cache.follow()):
        await bench.told()
        yield bench


async def test_what_was_read_once_is_not_read_again(bench: Bench) -> None:
    for _ in range(100):
        assert await bench.live() == 1
    assert bench.registry.reads == ["a"]


async def test_a_label_that_moves_is_read_again_and_nothing_else_is(bench: Bench) -> None:
    await bench.live("a")
    await bench.live("b")
    bench.registry.move("a", 2)
    await bench.told()
    assert await bench.live("a") == 2
    assert await bench.live("b") == 1
    assert bench.registry.reads == ["a", "b", "a"]


async def test_an_agent_of_the_same_name_is_another_thing(bench: Bench) -> None:
    await bench.live()
    bench.registry.move("a", 1, kind=Kind.AGENT)
    await bench.told()
    await bench.live()
    assert bench.registry.reads == ["a"]


async def test_while_the_feed_waits_quietly_what_is_kept_stays_good_for_ever(bench: Bench) -> None:
    await bench.live()
    for _ in range(5):
        bench.registry.now += WAIT_SECONDS
        assert await bench.live() == 1
        await bench.answered()
    assert bench.registry.now > TRUSTED_SECONDS
    assert bench.registry.reads == ["a"]


async def test_a_feed_that_is_silent_is_trusted_no_longer_than_the_bound(bench: Bench) -> None:
    await bench.live()
    bench.registry.now = TRUSTED_SECONDS - 0.001
    await bench.live()
    assert bench.registry.reads == ["a"]
    bench.registry.live["a"] = 2  # and the feed cannot tell it
    bench.registry.now = TRUSTED_SECONDS
    assert await bench.live() == 2
    assert await bench.live() == 2
    assert bench.registry.reads == ["a", "a", "a"]


async def test_the_bound_counts_from_the_question_and_not_from_its_late_answer(bench: Bench) -> None:
    await bench.live()
    bench.registry.now = TRUSTED_SECONDS + 1
    await bench.answered()  # of a question that was asked at 0
    await bench.live()
    assert bench.registry.reads == ["a", "a"]


async def test_after_a_cut_the_feed_goes_on_without_a_gap(bench: Bench) -> None:
    await bench.live("a")
    await bench.live("b")
    bench.registry.feed_failure = no_answer(httpx.ConnectError("cut"))
    bench.registry.move("a", 2)
    bench.registry.now = TRUSTED_SECONDS
    await bench.answered(3)
    bench.registry.feed_failure = None
    await bench.told()
    await bench.answered()
    reads = len(bench.registry.reads)
    assert await bench.live("a") == 2
    assert await bench.live("b") == 1
    assert bench.registry.reads[reads:] == ["a"], "b was kept over the cut"


async def test_what_changed_while_it_was_read_is_not_kept(bench: Bench) -> None:
    told = asyncio.Event()

    async def told_meanwhile(name: str) -> PromptRecord:
        record = await read(name)
        bench.registry.move("a", 2)
        await bench.told()
        told.set()
        return record

    read, bench.registry.prompt = bench.registry.prompt, told_meanwhile  # type: ignore[method-assign]  # in its place
    assert await bench.live() == 1, "that is how it was when it was read"
    assert told.is_set()
    bench.registry.prompt = read  # type: ignore[method-assign]  # put back
    assert await bench.live() == 2


async def test_a_registry_that_was_put_back_is_read_anew(bench: Bench) -> None:
    await bench.live()
    bench.registry.feed_failure = no_answer(httpx.ConnectError("restarting"))
    await bench.answered(2)
    bench.registry.told_from = bench.registry.seq = 900
    bench.registry.live["a"] = 2
    bench.registry.feed_failure = None
    await bench.told()
    assert await bench.live() == 2


async def test_who_may_not_follow_any_more_keeps_nothing_until_it_may_again(bench: Bench) -> None:
    await bench.live()
    bench.registry.feed_failure = Forbidden(Problem(title="Forbidden", status=403, code="forbidden"))
    await bench.answered(2)
    bench.registry.failure = bench.registry.feed_failure
    with pytest.raises(Forbidden):
        await bench.live()
    bench.registry.failure = bench.registry.feed_failure = None
    bench.registry.live["a"] = 2
    await bench.told()
    assert [await bench.live(), await bench.live()] == [2, 2]
    assert bench.registry.reads == ["a"] * 3


async def test_a_page_that_may_not_be_the_last_renews_no_trust(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_cache, "_PAGE", 1)
    await bench.live()
    bench.registry.now = TRUSTED_SECONDS - 1
    await bench.answered()  # the question before that counted from 0
    bench.registry.move("b", 2)
    await bench.told()  # asked at TRUSTED_SECONDS - 1, but full
    bench.registry.now = TRUSTED_SECONDS
    await bench.live()
    assert bench.registry.reads == ["a", "a"]


async def test_without_a_feed_every_call_reads() -> None:
    bench = Bench()
    assert [await bench.live(), await bench.live()] == [1, 1]
    assert bench.registry.reads == ["a", "a"]


async def test_what_does_not_exist_is_said_and_not_kept(bench: Bench) -> None:
    for name, wanted in (("gone", "live"), ("a", "gone"), ("a", 9)):
        with pytest.raises(NotFound):
            await bench.cache.version(name, wanted)
    bench.registry.move("gone", 1)
    assert await bench.live("gone") == 1


async def test_what_is_kept_is_bounded_and_the_least_used_goes_first(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_cache, "KEPT_CHARACTERS", 2_500)
    bench.registry.live["c"] = 1
    for name in "abac":
        await bench.live(name)
    bench.registry.reads.clear()
    await bench.live("a")
    await bench.live("c")
    assert bench.registry.reads == []
    await bench.live("b")
    assert bench.registry.reads == ["b"]


async def test_it_renders_as_the_registry_does(bench: Bench) -> None:
    rendered = await bench.cache.render("a", RenderPrompt(label="live", variables={"who": "{{ who }}"}))
    assert (rendered.version, rendered.text) == (1, "a1 {{ who }}")
    assert (await bench.cache.render("a", RenderPrompt(variables={"who": "x"}))).text == "a2 x"
    for wrong in (
        RenderPrompt(), RenderPrompt(variables={"who": "x", "else": "y"}),
        RenderPrompt(version=1, label="live", variables={"who": "x"}),
    ):  # fmt: skip
        with pytest.raises(Invalid):
            await bench.cache.render("a", wrong)


async def test_a_cache_that_nobody_uses_stops_following_and_forgets() -> None:
    bench = Bench()
    async with asyncio.TaskGroup() as group:
        following = group.create_task(bench.cache.follow(idle_seconds=60))
        await bench.told()
        await bench.live()
        bench.registry.now = 60
        await bench.answered()
        assert not following.done()
        bench.registry.now = 61
        bench.registry.nudge()
    await bench.live()
    assert bench.registry.reads == ["a", "a"]
