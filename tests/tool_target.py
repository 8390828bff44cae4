"""An HTTP server that registered tools call in tests: every path goes right or wrong in one way, and counts."""

import asyncio
import json
from collections import Counter
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send


class Target:
    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.keys: list[str] = []
        self.arrived = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        kind = request.url.path.strip("/")
        self.calls[kind] += 1
        self.keys.append(request.headers.get("idempotency-key", ""))
        self.arrived.set()
        response: Response = await getattr(self, f"_{kind}")(request)
        await response(scope, receive, send)

    async def _echo(self, request: Request) -> Response:
        body = await request.body()
        told: dict[str, Any] = {
            "method": request.method,
            "query": request.query_params.multi_items(),
            "headers": dict(request.headers),
            "body": json.loads(body) if body else None,
        }
        return JSONResponse(told)

    async def _refuses(self, request: Request) -> Response:
        said = f"{request.headers.get('authorization', 'nobody')} may not"
        return PlainTextResponse(said, int(request.query_params["status"]), {"retry-after": "7"})

    async def _slow(self, request: Request) -> Response:
        await asyncio.sleep(30)
        return JSONResponse({})

    async def _rows(self, request: Request) -> Response:
        return JSONResponse([{"number": number, "text": "x" * 100} for number in range(10_000)])

    async def _huge(self, request: Request) -> Response:
        return PlainTextResponse("y" * 5_000_000)

    async def _text(self, request: Request) -> Response:
        return PlainTextResponse("it rains")

    async def _nothing(self, request: Request) -> Response:
        return Response(status_code=204)

    async def _elsewhere(self, request: Request) -> Response:
        return RedirectResponse("/text", 307)

    async def _compressed(self, request: Request) -> Response:
        return Response(b"\x1f\x8b", headers={"content-encoding": "gzip"})

    async def _false(self, request: Request) -> Response:
        return Response(b'{"a": ', media_type="application/json")

    async def _deep(self, request: Request) -> Response:
        return Response(b"[" * 100_000 + b"]" * 100_000, media_type="application/json")
