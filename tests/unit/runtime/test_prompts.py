"""Instructions by reference."""

import asyncio
from datetime import UTC, datetime

import httpx
import pytest

from bureau.errors import NotFound, no_answer
from bureau_contracts.problems import Problem
from bureau_contracts.prompts import PromptRecord, PromptVersion
from bureau_contracts.registry import Change, ChangePage, ChangeType, Kind
from kit.identity import ADMIN, Principal, PrincipalKind, current_principal
from kit.tasks import background
from services.runtime import prompts
from services.runtime.agents import AgentBroken
from services.runtime.prompts import Prompts
from tests.fakes import FixedClock
from tests.waiting import eventually

ADA = Principal("acme", "ada")
THEN = datetime(2026, 1, 1, tzinfo=UTC)


class Store:
    """One prompt, `greeting`, of three versions; its feed is silent until somebody moves `live`."""

    def __init__(self) -> None:
        self.away = False
        self.readers, self.followers = list[Principal](), list[Principal]()
        self.labels = {"latest": 3, "live": 2}
        self.texts = {1: ("one", []), 2: ("two {{ user }} {{ date }}", ["user", "date"]), 3: ("{{ town }}", ["town"])}
        self.seq, self._moved = 7, asyncio.Event()

    def move(self, version: int) -> None:
        self.labels["live"] = version
        self.seq += 1
        self._moved.set()

    async def prompt(self, name: str) -> PromptRecord:
        self.readers.append(current_principal())
        if self.away:
            raise no_answer(httpx.ConnectError("refused"))
        if name != "greeting":
            raise NotFound(Problem(title="Not Found", status=404, code="prompt_not_found"))
        versions = [
            PromptVersion(version=number, text=text, variables=names, created_at=THEN)
            for number, (text, names) in self.texts.items()
        ]
        return PromptRecord(name=name, labels=self.labels, versions=versions, revision=1)

    async def change_page(self, after: int, *, wait_seconds: float = 0, limit: int | None = None) -> ChangePage:
        self.followers.append(current_principal())
        if after > self.seq:
            return ChangePage(changes=[], seq=self.seq, reset=True)
        if after == self.seq:
            self._moved.clear()
            await self._moved.wait()
        change = Change(seq=self.seq, kind=Kind.PROMPT, name="greeting", change=ChangeType.UPDATED, revision=1, at=THEN)
        return ChangePage(changes=[change], seq=self.seq)


class Bench:
    def __init__(self) -> None:
        self.store = Store()
        self.prompts = Prompts(self.store, FixedClock())

    async def followed(self, *speakers: Principal) -> None:
        """Each speaker's tenant is followed from now on."""
        for speaker in speakers:
            await self.prompts.text("greeting@1", speaker)
        tenants = {speaker.tenant for speaker in speakers}
        await eventually(lambda: all(self.waits(tenant) for tenant in tenants))
        self.store.readers.clear()

    def waits(self, tenant: str) -> bool:
        """Its feed stands, and the second question is under way."""
        return [each.tenant for each in self.store.followers].count(tenant) >= 2


@pytest.mark.parametrize(("reference", "text"), [("greeting@1", "one"), ("greeting@live", "two ada 2026-01-02")])
async def test_a_reference_is_rendered_for_the_speaker(reference: str, text: str) -> None:
    assert await Bench().prompts.text(reference, ADA) == text


async def test_a_name_alone_is_the_newest_version() -> None:
    bench = Bench()
    bench.store.texts[3] = ("newest", [])
    assert await bench.prompts.text("greeting", ADA) == "newest"


@pytest.mark.parametrize(
    ("reference", "code", "reason"),
    [
        ("greeting@9", "prompt_not_found", "does not exist"),
        ("greeting@gone", "prompt_not_found", "does not exist"),
        ("nothing", "prompt_not_found", "does not exist"),
        ("Not a reference", "prompt_not_found", "no reference"),
        ("greeting@3", "prompt_not_renderable", "town"),
    ],
)
async def test_what_cannot_be_rendered_says_why(reference: str, code: str, reason: str) -> None:
    with pytest.raises(AgentBroken, match=reason) as caught:
        await Bench().prompts.text(reference, ADA)
    assert caught.value.code == code


async def test_an_unchanged_prompt_is_read_once_for_all_of_a_tenants_speakers() -> None:
    bench = Bench()
    async with background(bench.prompts.follow()):
        await bench.followed(ADA)
        for _ in range(10):
            assert await bench.prompts.text("greeting@live", ADA) == "two ada 2026-01-02"
            assert await bench.prompts.text("greeting@live", Principal("acme", "bob")) == "two bob 2026-01-02"
        assert len(bench.store.readers) == 1


async def test_a_label_that_moves_is_seen_as_soon_as_the_feed_tells_it() -> None:
    bench = Bench()
    async with background(bench.prompts.follow()):
        await bench.followed(ADA)
        assert await bench.prompts.text("greeting@live", ADA) == "two ada 2026-01-02"
        bench.store.move(1)
        await eventually(lambda: len(bench.store.followers) >= 3)
        assert await bench.prompts.text("greeting@live", ADA) == "one"


async def test_one_tenant_never_gets_what_was_read_for_another() -> None:
    bench = Bench()
    async with background(bench.prompts.follow()):
        await bench.followed(ADA)
        await bench.prompts.text("greeting@live", ADA)
        bench.store.away = True
        assert await bench.prompts.text("greeting@live", ADA) == "two ada 2026-01-02"
        with pytest.raises(AgentBroken, match="cannot be read"):
            await bench.prompts.text("greeting@live", Principal("globex", "ada"))


async def test_prompts_are_read_and_followed_in_one_name_that_has_no_scope() -> None:
    bench = Bench()
    operator, globex = Principal("acme", "root", scopes=frozenset({ADMIN})), Principal("globex", "gil")
    async with background(bench.prompts.follow()):
        await bench.prompts.text("greeting@1", operator)
        await bench.followed(operator, globex)
        await bench.prompts.text("greeting@1", operator)
        seen = {*bench.store.readers, *bench.store.followers}
    assert seen == {Principal(tenant, "runtime", PrincipalKind.SERVICE) for tenant in ("acme", "globex")}


async def test_more_tenants_than_are_followed_read_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "FOLLOWED_TENANTS", 1)
    bench, bob = Bench(), Principal("globex", "bob")
    async with background(bench.prompts.follow()):
        await bench.followed(ADA)
        assert [await bench.prompts.text("greeting@live", bob) for _ in range(2)] == ["two bob 2026-01-02"] * 2
        assert [reader.tenant for reader in bench.store.readers] == ["globex"] * 2
        assert {follower.tenant for follower in bench.store.followers} == {"acme"}


async def test_a_tenant_that_uses_no_prompt_is_followed_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "IDLE_SECONDS", -1.0)
    monkeypatch.setattr(prompts, "FOLLOWED_TENANTS", 1)
    bench, bob = Bench(), Principal("globex", "bob")
    async with background(bench.prompts.follow()):
        await bench.prompts.text("greeting@1", ADA)
        await eventually(lambda: not bench.prompts._followed)
        monkeypatch.setattr(prompts, "IDLE_SECONDS", 60.0)
        await bench.followed(bob)
        assert "acme" not in bench.prompts._followed, "its place is another's now"
