"""A server's start and end, for an application that is not made with a framework: ASGI's lifespan as a context."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from starlette.types import ASGIApp, Receive, Scope, Send

from kit.logs import get_logger

log = get_logger(__name__)


class Lifespan:
    """ASGI layer: the context is entered before the first request and left after the last."""

    def __init__(self, app: ASGIApp, life: Callable[[], AbstractAsyncContextManager[None]]) -> None:
        self._app, self._life = app, life

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        await receive()  # lifespan.startup
        try:
            async with self._life():
                await send({"type": "lifespan.startup.complete"})
                await receive()  # lifespan.shutdown
        except Exception as error:
            log.exception("start_or_end_failed")
            await send({"type": "lifespan.startup.failed", "message": repr(error)})
            raise
        await send({"type": "lifespan.shutdown.complete"})
