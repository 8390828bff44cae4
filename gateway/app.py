"""Composition root of the gateway: raw ASGI layers around a proxy, from the outside in."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.types import ASGIApp

from gateway.auth import Authenticate, IdentityLayer
from gateway.guard import Guard
from gateway.lifespan import Lifespan
from gateway.pages import Pages
from gateway.proxy import Limits, Proxy
from gateway.routes import RouteTable
from gateway.settings import Settings
from gateway.upstream import Upstream
from gateway.upstream_aiohttp import AiohttpUpstream
from kit.api_keys import ApiKeyAuthenticator
from kit.errors import Unauthenticated
from kit.identity import Principal, PrincipalSigner
from kit.logs import get_logger
from kit.middleware import TraceLayer
from kit.telemetry import Telemetry

log = get_logger(__name__)


def create_app(settings: Settings, upstream: Upstream | None = None) -> ASGIApp:
    """`upstream` lets tests hand in a fake; whoever hands one in closes it."""
    common = settings.common
    telemetry = Telemetry("gateway", common.otlp_endpoint, common.trace_sample_ratio)
    own = AiohttpUpstream(
        settings.service_urls(),
        connect_seconds=settings.connect_seconds,
        connections_per_service=settings.connections_per_service,
        max_message_bytes=settings.max_body_bytes,
    )
    reached = upstream or own
    routes = RouteTable()
    limits = Limits(settings.max_body_bytes, settings.answer_seconds, settings.body_seconds)
    signer = PrincipalSigner(common.identity_private_key.get_secret_value(), issuer="gateway")

    app: ASGIApp = Proxy(routes, reached, signer, limits)
    # Rate limits go here: they know the principal. Circuits and balancing are wrappers of the upstream.
    app = IdentityLayer(app, _authenticator(settings))
    app = Pages(app, routes, reached)
    app = Guard(app)
    app = TraceLayer(app, telemetry)
    return Lifespan(app, _life(own, telemetry))


def _life(own: AiohttpUpstream, telemetry: Telemetry) -> Callable[[], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def life() -> AsyncIterator[None]:
        async with own:
            yield
        telemetry.close()

    return life


def _authenticator(settings: Settings) -> Authenticate:
    if settings.common.keys_file is not None:
        return ApiKeyAuthenticator(settings.common.keys_file).authenticate
    log.warning("no_keys_file", setting="BUREAU_KEYS_FILE", effect="nobody is let in")
    return _nobody


def _nobody(_: str) -> Principal:
    raise Unauthenticated("no API key is accepted here", code="api_key_invalid")
