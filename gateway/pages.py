"""What the gateway answers itself, to anybody: `/`, `/health`, `/openapi.json` and `/docs`. None of it is secret."""

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import MethodNotAllowed
from gateway.fetch import Remembered, fetch
from gateway.health import all_away, system_health
from gateway.openapi import merge
from gateway.routes import RouteTable
from gateway.upstream import Upstream
from kit.errors import Refusal
from kit.logs import get_logger
from kit.version import VERSION

log = get_logger(__name__)

HEALTH_SECONDS = 1.0
DOCUMENT_SECONDS = 30.0
INCOMPLETE_DOCUMENT_SECONDS = 2.0
"""While a service is away, its part is looked for more often."""
FETCH_SECONDS = 2.0
ABOUT = "The back office for AI agents: registry, sessions, memory, jobs, runtime and evaluation behind one door."
DOCS = Path(__file__).with_name("docs.html")

Page = tuple[int, str, bytes, Mapping[str, str]]
"""Status, media type, content, further headers."""


class Pages:
    """ASGI layer: answers its own paths, passes every other on."""

    def __init__(self, app: ASGIApp, routes: RouteTable, upstream: Upstream) -> None:
        self._app, self._routes, self._upstream = app, routes, upstream
        self._docs = _docs_page(DOCS.read_text())
        self._health = Remembered(self._make_health)
        self._document = Remembered(self._make_document)
        self._pages: dict[str, Callable[[], Awaitable[Page]]] = {
            "/": self._index,
            "/health": self._health.get,
            "/openapi.json": self._document.get,
            "/docs": self._show_docs,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        page = self._pages.get(scope["path"]) if scope["type"] == "http" else None
        if page is None:
            await self._app(scope, receive, send)
            return
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed("this page is only read: GET")
        status, media, content, extra = await page()
        headers = {"content-type": media, "content-length": str(len(content)), "cache-control": "no-cache", **extra}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})

    async def _index(self) -> Page:
        services = {route.service: [f"/{prefix}" for prefix in route.prefixes] for route in self._routes.routes}
        links = {"health": "/health", "docs": "/docs", "openapi": "/openapi.json"}
        return _json({"name": "bureau", "version": VERSION, "about": ABOUT, "services": services, "links": links})

    async def _make_health(self) -> tuple[Page, float]:
        health = await system_health(self._routes.routes, self._upstream)
        # Degraded is still worth sending requests to; with nothing behind it a gateway is not.
        status = HTTPStatus.SERVICE_UNAVAILABLE if all_away(health) else HTTPStatus.OK
        return (status, "application/json", health.model_dump_json().encode(), {}), HEALTH_SECONDS

    async def _make_document(self) -> tuple[Page, float]:
        async with asyncio.TaskGroup() as group:
            asked = {r.service: group.create_task(self._document_of(r.service)) for r in self._routes.routes}
        found = {service: document for service, task in asked.items() if (document := task.result())}
        away = sorted(asked.keys() - found.keys())
        info = {"title": "Bureau", "version": VERSION, "description": ABOUT, **({"x-away": away} if away else {})}
        merged = merge(found, {route.service: route.prefixes for route in self._routes.routes}, info)
        return _json(merged), INCOMPLETE_DOCUMENT_SECONDS if away else DOCUMENT_SECONDS

    async def _document_of(self, service: str) -> dict[str, Any] | None:
        try:
            _, body = await fetch(self._upstream, service, "/openapi.json", seconds=FETCH_SECONDS)
            document = json.loads(body)
        except (Refusal, ValueError) as error:
            log.info("openapi_document_missing", upstream=service, error=repr(error))
            return None
        return document if isinstance(document, dict) and "paths" in document else None

    async def _show_docs(self) -> Page:
        return self._docs


def _json(value: object) -> Page:
    return HTTPStatus.OK, "application/json", json.dumps(value, ensure_ascii=False).encode(), {}


def _docs_page(html: str) -> Page:
    """The page with a policy that lets its own script run and nothing else."""
    digests = [
        base64.b64encode(hashlib.sha256(s.encode()).digest()) for s in re.findall("<script>(.*?)</script>", html, re.S)
    ]
    scripts = " ".join(f"'sha256-{digest.decode()}'" for digest in digests)
    policy = f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; connect-src 'self'; img-src data:"
    headers = {"content-security-policy": policy, "x-content-type-options": "nosniff"}
    return HTTPStatus.OK, "text/html; charset=utf-8", html.encode(), headers
