"""`build_app`: what every service's FastAPI application has around its routes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from bureau_contracts.health import Health, HealthStatus
from bureau_contracts.problems import InvalidField, Problem
from kit.api_keys import ApiKeyAuthenticator
from kit.errors import Invalid, Refusal, problem_message, problem_of
from kit.health import Check, health_of
from kit.identity import Principal, PrincipalVerifier
from kit.middleware import BodyLayer, IdentityLayer, TraceLayer
from kit.settings import ServerSettings
from kit.telemetry import Telemetry, current_trace_id
from kit.version import VERSION

OPEN_PATHS = frozenset({"/health", "/openapi.json"})
"""What answers without identity: is it alive, and what does it speak. Neither says anything about anybody."""

PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {"model": Problem, "description": "A problem document (RFC 9457)"}
}
"""What every route may answer."""

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
ErrorTranslations = Mapping[type[Exception], Callable[[Exception], Refusal]]


def build_app(
    *,
    service: str,
    settings: ServerSettings,
    routers: Sequence[APIRouter],
    lifespan: Lifespan,
    checks: Mapping[str, Check] | None = None,
    capabilities: Mapping[str, str] | None = None,
    errors: ErrorTranslations | None = None,
) -> FastAPI:
    """An application that refuses whoever has no identity and answers every failure with a problem document.

    `lifespan` opens and closes what the service needs; `checks` are what `/health` asks; `errors` says which refusal
    an exception of a library or of another service means here.

    `app.state.stopping` is an event that is set when the server begins to stop: answers that wait or stream end then.
    """
    common = settings.common
    telemetry = Telemetry(service, common.otlp_endpoint, common.trace_sample_ratio)
    keys = ApiKeyAuthenticator(common.keys_file) if common.keys_file else None

    stopping = asyncio.Event()

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        async with lifespan(app):
            try:
                yield
            finally:
                stopping.set()
        telemetry.close()

    app = FastAPI(
        title=f"Bureau {service}",
        version=VERSION,
        lifespan=life,
        docs_url=None,
        redirect_slashes=False,
        redoc_url=None,
        # Our own TraceLayer makes the one server span, and only when it is recorded.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        responses=PROBLEMS,
        middleware=[
            Middleware(TraceLayer, telemetry=telemetry),
            Middleware(
                IdentityLayer,
                verifier=PrincipalVerifier(common.identity_public_keys, audience=service),
                keys=keys,
                open_paths=OPEN_PATHS,
            ),
            Middleware(BodyLayer, max_bytes=common.max_body_bytes),
        ],
    )
    app.state.stopping = stopping
    _handle_errors(app, errors or {})
    for each in routers:
        # As they are: `include_router` would build every route anew for this application, 2 ms each.
        app.router.routes.extend(each.routes)

    @app.get("/health", tags=["health"])
    async def health() -> Health:
        """Whether this service answers, and what it depends on. 503 when it cannot do its work."""
        state = await health_of(service, VERSION, checks or {}, capabilities or {})
        status = 503 if state.status is HealthStatus.UNAVAILABLE else 200
        return JSONResponse(state.model_dump(mode="json"), status)  # type: ignore[return-value]  # status varies

    return app


class _StrictRequest(Request):
    """A request whose JSON was read by the BodyLayer already."""

    async def json(self) -> Any:
        return self.scope["state"]["json"]


class _StrictRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Any]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            response: Response = await handler(_StrictRequest(request.scope, request.receive))
            return response

        return handle


def router(prefix: str, tag: str) -> APIRouter:
    """A router for a service's `api.py`."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=_StrictRoute, responses=PROBLEMS)


def _principal(request: Request) -> Principal:
    principal: Principal = request.scope["state"]["principal"]
    return principal


PrincipalDep = Annotated[Principal, Depends(_principal)]
"""The verified caller of a route."""


def _handle_errors(app: FastAPI, translations: ErrorTranslations) -> None:
    def respond(request: Request, refusal: Refusal, extra: Mapping[str, str] | None = None) -> Response:
        problem = problem_of(refusal, current_trace_id(), request.url.path)
        return _respond(problem, extra)

    async def on_refusal(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return respond(request, error)

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        fields = [InvalidField(location=".".join(map(str, e["loc"])), message=e["msg"]) for e in error.errors()]
        return respond(
            request, Invalid("; ".join(f"{f.location}: {f.message}" for f in fields[:5]), errors=fields[:50])
        )

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        status = HTTPStatus(error.status_code)
        problem = Problem(
            title=status.phrase, status=status, code=status.name.lower(), detail=str(error.detail or ""),
            trace_id=current_trace_id(), instance=request.url.path,
        )  # fmt: skip
        return _respond(problem, error.headers)

    async def on_translated(request: Request, error: Exception) -> Response:
        translate = next(translations[kind] for kind in type(error).__mro__ if kind in translations)
        return respond(request, translate(error))

    app.add_exception_handler(Refusal, on_refusal)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    for kind in translations:
        app.add_exception_handler(kind, on_translated)


def _respond(problem: Problem, extra: Mapping[str, str] | None = None) -> Response:
    status, headers, body = problem_message(problem)
    response = Response(body, status)
    response.raw_headers = [*headers, *((k.lower().encode(), v.encode()) for k, v in (extra or {}).items())]
    return response
