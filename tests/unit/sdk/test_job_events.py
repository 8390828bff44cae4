"""The client's event streams: cut anywhere, taken up where they were, and given up in the end."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import httpx
import pytest

from bureau import Bureau, errors
from bureau.job_events import RECONNECTS
from bureau_contracts.events import Event

JOBS = ("job-a", "job-b")


def wire(*events: tuple[str, int], position: Sequence[int] = (0,), note: str = "") -> bytes:
    """Events as the service writes them: `(job, seq)`, the id being the position in every job."""
    stands, written = dict(zip(JOBS, position, strict=False)), b": ping\n\n"
    for job, seq in events:
        stands[job] = seq
        event = {"seq": seq, "type": "job.transition", "status": "running", "timestamp": "2026-01-01T00:00:00Z"}
        data = json.dumps(event | {"subject": job, "data": {"note": note}}, ensure_ascii=False)
        written += f"event: job.transition\ndata: {data}\nid: {'.'.join(map(str, stands.values()))}\n\n".encode()
    return written


class Server:
    """Answers each connection with its bytes, and cuts it after them unless they are the last."""

    def __init__(self, *answers: bytes | httpx.Response | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(200, stream=Parts(answer, cut=bool(self._answers)))

    @property
    def positions(self) -> list[str]:
        return [request.headers["last-event-id"] for request in self.asked]


class Parts(httpx.AsyncByteStream):
    """A byte at a time would be the same; seven are quicker."""

    def __init__(self, content: bytes, *, cut: bool) -> None:
        self._content, self._cut = content, cut

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._content), 7):
            yield self._content[start : start + 7]
        if self._cut:
            raise httpx.ReadError("cut")


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    taken: list[float] = []

    async def pause(seconds: float) -> None:
        taken.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", pause)
    return taken


def bureau(server: Server) -> Bureau:
    return Bureau("http://bureau", "bk_key", transport=httpx.MockTransport(server))


async def of_both(server: Server, after: dict[str, int] | None = None) -> list[tuple[str, int]]:
    async with bureau(server) as client:
        return [(event.subject, event.seq) async for event in client.jobs.events_of(JOBS, after=after)]


async def test_several_jobs_come_over_one_connection_each_from_where_it_was_left() -> None:
    server = Server(wire(("job-b", 8), ("job-a", 1), position=(0, 7)))
    assert await of_both(server, {"job-b": 7}) == [("job-b", 8), ("job-a", 1)]
    assert str(server.asked[0].url) == "http://bureau/jobs/events?job_id=job-a&job_id=job-b"
    assert server.positions == ["0.7"]


async def test_a_job_that_is_named_twice_is_asked_for_once() -> None:
    server = Server(b"")
    async with bureau(server) as client:
        assert [event async for event in client.jobs.events_of([*JOBS, "job-a"])] == []
    assert server.asked[0].url.params.get_list("job_id") == list(JOBS)
    assert server.positions == ["0.0"]


async def test_wherever_a_stream_of_several_jobs_is_cut_no_event_is_lost_and_none_comes_twice() -> None:
    whole = wire(("job-a", 1), ("job-b", 1), ("job-a", 2), position=(0, 0))
    every = [("job-a", 1), ("job-b", 1), ("job-a", 2)]
    stands = ["0.0", "1.0", "1.1", "2.1"]
    for cut in range(0, len(whole), 5):
        complete = whole[:cut].count(b"\n\n") - (cut > len(b": ping\n"))
        position = [int(number) for number in stands[max(complete, 0)].split(".")]
        server = Server(whole[:cut], wire(*every[max(complete, 0) :], position=position))
        assert await of_both(server) == every, f"cut after {cut} bytes"
        assert server.positions == ["0.0", stands[max(complete, 0)]]


async def test_characters_that_end_lines_elsewhere_do_not_end_an_event() -> None:
    note = "a\u2028b\x85c\x0bd"
    async with bureau(Server(wire(("job-a", 1), note=note))) as client:
        events = [event async for event in client.jobs.events("job-a")]
    assert [event.data["note"] for event in events] == [note]


async def test_a_server_that_is_away_is_asked_again_with_pauses_and_in_the_end_given_up(pauses: list[float]) -> None:
    server = Server(*[httpx.ConnectError("refused")] * (RECONNECTS + 1))
    with pytest.raises(errors.Unavailable):
        await of_both(server)
    assert len(server.asked) == RECONNECTS + 1
    assert len(pauses) == RECONNECTS
    assert max(pauses) <= 5
    assert 30 < sum(pauses) < 200


async def test_a_stream_that_only_says_that_it_is_there_is_never_given_up() -> None:
    quiet = [b": ping\n\n"] * (RECONNECTS * 2)
    assert await of_both(Server(*quiet, wire(("job-a", 1), position=(0, 0)))) == [("job-a", 1)]


async def test_a_server_that_is_busy_is_asked_again_when_it_says(pauses: list[float]) -> None:
    busy = httpx.Response(429, json={"title": "t", "status": 429, "code": "busy", "retry_after": 2.5})
    assert await of_both(Server(busy, wire(("job-a", 1), position=(0, 0)))) == [("job-a", 1)]
    assert pauses == [2.5]


async def test_who_leaves_early_leaves_nothing_open() -> None:
    server = Server(wire(("job-a", 1), ("job-a", 2)), b"")
    async with bureau(server) as client, aclosing(client.jobs.events("job-a")) as events:
        first: Event = await anext(events)
    assert first.seq == 1
    assert len(server.asked) == 1
