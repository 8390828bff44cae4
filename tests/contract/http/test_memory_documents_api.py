"""Documents over HTTP, with each store: found by their chunks, and replaced in one step."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from io import BytesIO
from typing import Any

import httpx
import pytest
from pypdf import PdfWriter

from kit.identity import TENANT_WIDE, Principal, generate_keypair
from kit.settings import CommonSettings
from services.memory.app import Adapters, OpenedStore, create_app
from services.memory.embedder_hashed import DIMENSIONS, NAME
from services.memory.pgvector import Options
from services.memory.settings import Settings
from services.memory.store_memory import InMemoryStore
from services.memory.store_pgvector import PgvectorStore
from tests.fakes import FixedClock
from tests.http import service_client

PRIVATE, PUBLIC = generate_keypair()
ALICE, BOB = Principal("acme", "alice"), Principal("acme", "bob")
OPERATOR = Principal("acme", "op", scopes=frozenset({TENANT_WIDE}))
Client = Callable[[Principal], httpx.AsyncClient]
HANDBOOK = "# Handbook\n## Holidays\nThirty days a year.\n## Travel\nTrains before planes.\n## Pets\nDogs on Fridays.\n"


@pytest.fixture(params=["memory", "pgvector"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    store: OpenedStore = InMemoryStore(NAME)
    if request.param == "pgvector":
        url = request.getfixturevalue("memory_database_url")
        store = PgvectorStore(Options(url, NAME, DIMENSIONS, search_timeout_seconds=20))
    app = create_app(Settings(common=CommonSettings(identity_public_keys=PUBLIC)), Adapters(store, FixedClock()))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        yield lambda principal: service_client(app, principal, "memory", PRIVATE)


async def ingest(client: httpx.AsyncClient, text: str = HANDBOOK, **fields: Any) -> dict[str, Any]:
    body = {"text": text, "media_type": "text/markdown", "document_id": "doc-handbook", **fields}
    answer = await client.post("/memory/documents", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def hits(client: httpx.AsyncClient, q: str) -> list[dict[str, Any]]:
    found = (await client.get("/memory/search", params={"q": q, "kind": "document", "mode": "text"})).json()
    return [hit["memory"] for hit in found["results"]]


async def test_a_document_is_found_by_its_chunks_with_their_neighbours(client: Client) -> None:
    async with client(ALICE) as alice, client(BOB) as bob:
        stored = await ingest(alice, metadata={"team": "hr"})
        assert (stored["added"], stored["kept"], stored["removed"], stored["document"]["chunks"]) == (4, 0, 0, 4)
        (hit,) = await hits(alice, "planes")
        assert (hit["text"], hit["kind"], hit["origin"]) == ("Travel\nTrains before planes.", "document", "document")
        assert hit["metadata"] == {
            "team": "hr", "document_id": "doc-handbook", "position": 2, "title": "", "headings": ["Handbook", "Travel"],
        }  # fmt: skip
        path = "/memory/documents/doc-handbook/chunks"
        around = (await alice.get(path, params={"position": 2, "context": 1})).json()["chunks"]
        assert [each["metadata"]["position"] for each in around] == [1, 2, 3]
        assert (await bob.get(path)).status_code == 404
        assert await hits(bob, "planes") == []
        assert [each["document_id"] for each in (await alice.get("/memory/documents")).json()["documents"]] == [
            "doc-handbook"
        ]
        assert (await bob.get("/memory/documents")).json()["documents"] == []


async def test_sent_again_only_what_changed_is_changed(client: Client) -> None:
    async with client(ALICE) as alice:
        await ingest(alice)
        before = (await alice.get("/memory/documents/doc-handbook/chunks")).json()["chunks"]
        same = await ingest(alice)
        assert (same["added"], same["kept"], same["removed"]) == (0, 4, 0)
        assert (await alice.get("/memory/documents/doc-handbook/chunks")).json()["chunks"] == before
        new = "# Handbook\n## New\nHello.\n" + HANDBOOK.split("\n", 1)[1].replace("Thirty", "Forty")
        changed = await ingest(alice, new)
        assert (changed["added"], changed["kept"], changed["removed"]) == (2, 3, 1)
        after = (await alice.get("/memory/documents/doc-handbook/chunks")).json()["chunks"]
        assert [each["metadata"]["position"] for each in after] == [0, 1, 2, 3, 4]
        kept = {each["memory_id"] for each in before} & {each["memory_id"] for each in after}
        assert len(kept) == 3
        assert await hits(alice, "thirty") == []
        assert len(await hits(alice, "planes")) == 1


async def test_two_documents_may_say_the_same_and_one_may_say_it_twice(client: Client) -> None:
    async with client(ALICE) as alice:
        twice = "# A\nsame words\n# A\nsame words\n"
        assert (await ingest(alice, twice))["added"] == 2
        assert (await ingest(alice, twice, document_id="doc-other"))["added"] == 2
        assert len(await hits(alice, "same words")) == 4
        assert (await alice.delete("/memory/documents/doc-other")).status_code == 200
        assert len(await hits(alice, "same words")) == 2
        assert (await ingest(alice, twice))["kept"] == 2


async def test_two_versions_at_once_leave_one_whole_version(client: Client) -> None:
    async with client(ALICE) as alice:
        versions = ["".join(f"# Part {part}\nversion{number} part{part}\n" for part in range(8)) for number in range(4)]
        await asyncio.gather(*(ingest(alice, version) for version in versions))
        after = (await alice.get("/memory/documents/doc-handbook/chunks")).json()["chunks"]
        assert len(after) == 8
        assert len({each["text"].split("version")[1].split()[0] for each in after}) == 1


async def test_nobody_takes_or_deletes_anothers_document(client: Client) -> None:
    async with client(ALICE) as alice, client(BOB) as bob, client(OPERATOR) as operator:
        await ingest(alice)
        body = {"text": "mine", "document_id": "doc-handbook"}
        taken = await bob.post("/memory/documents", json=body)
        assert (taken.status_code, taken.json()["code"]) == (409, "document_taken")
        assert (await bob.delete("/memory/documents/doc-handbook")).status_code == 404
        assert len(await hits(alice, "planes")) == 1
        assert (await operator.delete("/memory", params={"user_id": "alice"})).json()["erased"] == 4
        assert (await alice.get("/memory/documents")).json()["documents"] == []


async def test_a_large_document_is_stored_at_once_and_whole(client: Client) -> None:
    async with client(ALICE) as alice:
        text = "".join(f"# Part {number}\nabout topic{number}\n" for number in range(400))
        assert (await ingest(alice, text))["added"] == 400
        assert len(await hits(alice, "topic399")) == 1
        assert len(await hits(alice, "topic0")) == 1


def pdf(password: str | None = None) -> str:
    writer = PdfWriter()
    writer.add_blank_page(100, 100)
    if password is not None:
        writer.encrypt(password, algorithm="RC4-128")
    written = BytesIO()
    writer.write(written)
    return base64.b64encode(written.getvalue()).decode()


def written_pdf(text: str) -> bytes:
    """One page, by hand: no writer of text is installed."""
    stream = f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Contents 4 0 R/Resources<</Font<</F1<</Type/Font"
        b"/Subtype/Type1/BaseFont/Helvetica>>>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
    ]
    body, places = b"%PDF-1.4\n", list[int]()
    for number, content in enumerate(objects, start=1):
        places.append(len(body))
        body += b"%d 0 obj%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"xref\n0 5\n0000000000 65535 f \n%strailer<</Root 1 0 R/Size 5>>\nstartxref\n%d\n%%%%EOF"
    return body + end % (table, len(body))


TEXT_PDF = written_pdf("Lobster is served daily")


async def test_a_pdf_is_read(client: Client) -> None:
    async with client(ALICE) as alice:
        body = {"media_type": "application/pdf", "content_base64": base64.b64encode(TEXT_PDF).decode()}
        answer = await alice.post("/memory/documents", json=body)
        assert answer.status_code == 201, answer.text
        assert [each["text"] for each in await hits(alice, "lobster")] == ["Lobster is served daily"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (base64.b64encode(b"no pdf").decode(), "pdf_unreadable"),
        ("%%%", "pdf_unreadable"),
        (base64.b64encode(TEXT_PDF[:200]).decode(), "pdf_unreadable"),
        (pdf(), "empty_document"),
        (pdf("secret"), "pdf_unreadable"),
    ],
    ids=["prose", "not base64", "cut", "blank", "encrypted"],
)
async def test_a_pdf_that_cannot_be_read_is_refused(client: Client, content: str, code: str) -> None:
    async with client(ALICE) as alice:
        body = {"media_type": "application/pdf", "content_base64": content}
        answer = await alice.post("/memory/documents", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
        assert (await alice.get("/memory/documents")).json()["documents"] == []


@pytest.mark.parametrize(
    "body",
    [{"text": " "}, {}, {"text": "x", "content_base64": "eA=="}, {"text": "x", "media_type": "application/pdf"},
     {"text": "x", "media_type": "image/png"}, {"text": "x", "document_id": "mem-1"}],
    ids=str,
)  # fmt: skip
async def test_a_document_that_makes_no_sense_is_refused(client: Client, body: dict[str, Any]) -> None:
    async with client(ALICE) as alice:
        assert (await alice.post("/memory/documents", json=body)).status_code == 422
