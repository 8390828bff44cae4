"""Instructions by reference."""

from datetime import UTC, datetime

import httpx
import pytest

from bureau.errors import NotFound, no_answer
from bureau_contracts.problems import Problem
from bureau_contracts.prompts import PromptRecord, PromptVersion, RenderedPrompt, RenderPrompt
from kit.identity import Principal
from services.runtime.agents import AgentBroken
from services.runtime.prompts import KEPT_SECONDS, Prompts
from tests.fakes import FixedClock

ADA = Principal("acme", "ada")


class Store:
    """One prompt, `greeting`, of three versions."""

    def __init__(self) -> None:
        self.away = False
        self.asked = 0
        self.labels = {"latest": 3, "live": 2}
        self.texts = {1: ("one", []), 2: ("two {{ user }} {{ date }}", ["user", "date"]), 3: ("{{ town }}", ["town"])}

    async def prompt(self, name: str) -> PromptRecord:
        self.asked += 1
        if self.away:
            raise no_answer(httpx.ConnectError("refused"))
        if name != "greeting":
            raise NotFound(Problem(title="Not Found", status=404, code="prompt_not_found"))
        then = datetime(2026, 1, 1, tzinfo=UTC)
        versions = [
            PromptVersion(version=number, text=text, variables=names, created_at=then)
            for number, (text, names) in self.texts.items()
        ]
        return PromptRecord(name=name, labels=self.labels, versions=versions, revision=1)

    async def render_prompt(self, name: str, request: RenderPrompt) -> RenderedPrompt:
        assert request.version is not None
        text, names = self.texts[request.version]
        assert set(request.variables) == set(names), "the registry refuses missing and unknown ones"
        for each, value in request.variables.items():
            text = text.replace(f"{{{{ {each} }}}}", value)
        return RenderedPrompt(name=name, version=request.version, text=text)


class Bench:
    def __init__(self) -> None:
        self.store, self.now = Store(), 0.0
        self.prompts = Prompts(self.store, FixedClock(), now=lambda: self.now)


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


async def test_a_label_that_moves_takes_effect_within_seconds() -> None:
    bench = Bench()
    assert await bench.prompts.text("greeting@live", ADA) == "two ada 2026-01-02"
    bench.store.labels["live"] = 1
    assert await bench.prompts.text("greeting@live", ADA) == "two ada 2026-01-02"
    assert bench.store.asked == 1
    bench.now = KEPT_SECONDS
    assert await bench.prompts.text("greeting@live", ADA) == "one"


async def test_nobody_gets_what_was_rendered_for_another() -> None:
    bench = Bench()
    await bench.prompts.text("greeting@live", ADA)
    assert await bench.prompts.text("greeting@live", Principal("acme", "bob")) == "two bob 2026-01-02"
    bench.store.away = True
    with pytest.raises(AgentBroken, match="cannot be read"):
        await bench.prompts.text("greeting@live", Principal("globex", "ada"))
