"""Which service a path belongs to. The one table to extend when a service is added; its URL is a setting."""

from collections.abc import Iterable
from dataclasses import dataclass

from kit.errors import NotFound


@dataclass(frozen=True, slots=True)
class Route:
    service: str
    """Also the audience that its principals are signed for."""
    prefixes: tuple[str, ...]
    """First path segments."""
    required: bool = True
    """Whether Bureau counts as unavailable, or only as degraded, while this service is away."""


TABLE = (
    Route("registry", ("registry",)),
    Route("sessions", ("sessions",)),
    Route("memory", ("memory",), required=False),
    Route("jobs", ("jobs",), required=False),
    Route("runtime", ("agent",)),
    Route("evaluation", ("metrics", "evaluations"), required=False),
)


class RouteTable:
    """Finds a path's service by its first segment, so that `/registryx` is not `/registry`."""

    def __init__(self, routes: Iterable[Route] = TABLE) -> None:
        self.routes = tuple(routes)
        self._by_prefix = {prefix: route for route in self.routes for prefix in route.prefixes}

    def of(self, path: str) -> Route:
        """`path` is decoded and begins with a slash. Raises NotFound."""
        route = self._by_prefix.get(path.split("/", 2)[1])
        if route is None:
            known = ", ".join(f"/{prefix}" for prefix in self._by_prefix)
            raise NotFound(f"nothing is served under this path; there are {known}, /health and /docs", code="no_route")
        return route
