"""The change feed as an iterator: it goes on after cuts, and says when it was put back."""

from collections.abc import AsyncIterator

import httpx
import pytest

from bureau import errors
from bureau.changes import FIRST_PAUSE_SECONDS, Reset
from bureau.http import Caller
from bureau.registry import RegistryClient


def change(seq: int, name: str) -> dict[str, object]:
    return {
        "seq": seq, "kind": "agent", "name": name, "change": "updated", "revision": 1, "at": "2026-01-02T00:00:00Z",
    }  # fmt: skip


def page(seq: int, *names: str, reset: bool = False) -> httpx.Response:
    return httpx.Response(200, json={"changes": [change(seq, each) for each in names], "seq": seq, "reset": reset})


class Server:
    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers, self.asked = list(answers), list[str]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.params["after"])
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def first(server: Server, number: int, after: int = 0) -> list[str]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(server), base_url="http://registry") as client:
        feed: AsyncIterator[object] = RegistryClient(Caller(client, attempts=1)).changes(after)
        seen = [await anext(feed) for _ in range(number)]
    return [f"reset {each.seq}" if isinstance(each, Reset) else str(getattr(each, "name", "")) for each in seen]


async def test_it_goes_on_from_the_last_position_after_every_kind_of_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bureau.changes.LONGEST_PAUSE_SECONDS", FIRST_PAUSE_SECONDS / 10)
    server = Server(
        page(3, "a"), httpx.ReadError("cut"), httpx.ConnectError("away"), httpx.Response(503), httpx.Response(500),
        page(3), page(7, "b", "c"),
    )  # fmt: skip
    assert await first(server, 3) == ["a", "b", "c"]
    assert server.asked == ["0", "3", "3", "3", "3", "3", "3"]


async def test_a_registry_that_was_put_back_says_reset_and_goes_on_from_there() -> None:
    server = Server(page(9, reset=True), page(10, "a"), page(2), page(3, "b"))
    assert await first(server, 4, after=50) == ["reset 9", "a", "reset 2", "b"]
    assert server.asked == ["50", "9", "10", "2"]


async def test_a_refusal_comes_out() -> None:
    with pytest.raises(errors.Forbidden):
        await first(Server(httpx.Response(403)), 1)
