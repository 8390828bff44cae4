"""The processes of Bureau as a table: adding a service is adding a row. Knows how they are told where things are;
starts nothing."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from string import Formatter

from deploy.local.errors import LaunchError
from deploy.local.settings import LaunchSettings

POSTGRES, VALKEY = "postgres", "valkey"
STORES = (POSTGRES, VALKEY)
# The port of a service is the public port minus this, plus its row's number: 8003 … 8008 behind 8080.
PORT_DISTANCE = 80


class Tier(IntEnum):
    """In which order processes stop: who calls stops before who is called. They start all at once."""

    DOOR = 0
    WORKER = 1
    CALLER = 2
    RECORD = 3


@dataclass(frozen=True)
class Process:
    """A row. `variables` are its settings without the prefix; `{data}`, a store's name and a process's name in their
    values stand for the data folder and for where those are reached. Naming a store makes the process wait for it."""

    name: str
    tier: Tier
    number: int | None = None
    """Which port it gets; None for a process without one, which says `worker_ready` in its log instead."""
    variables: Mapping[str, str] = field(default_factory=dict)
    signs: bool = False
    """Whether it may sign principals, so gets the private key."""
    program: tuple[str, ...] = ()
    """What to run instead of `kit.serve`."""
    replaceable: bool = False
    """When it dies, what it did is taken up by the next one: it is started again instead of stopping everything."""

    @property
    def service(self) -> str:
        """`jobs-worker` belongs to `jobs`: same folder, same settings."""
        return self.name.split("-")[0]

    @property
    def prefix(self) -> str:
        return f"{self.service.upper()}_"

    @property
    def module(self) -> str:
        return self.service if self.service == "gateway" else f"services.{self.service}"

    @property
    def keeps_files(self) -> bool:
        return any("{data}" in value for value in self.variables.values())

    @property
    def command(self) -> list[str]:
        return [sys.executable, *(self.program or ("-m", "kit.serve", self.module, "--lifeline"))]


_JOBS = {
    "REDIS_URL": "{valkey}",
    "RUNTIME_URL": "{runtime}",
    "SESSIONS_URL": "{sessions}",
    "MEMORY_URL": "{memory}",
    "FUNCTION_MODULES": "services.jobs.functions_memory",
}

STACK = (
    Process(
        "registry",
        Tier.RECORD,
        3,
        {"FILE": "{data}/registry/registry.json", "MEMORY_URL": "{memory}"},
        signs=True,
    ),
    Process("sessions", Tier.RECORD, 4, {"DATABASE_URL": "sqlite:///{data}/sessions/sessions.db"}),
    Process(
        "memory",
        Tier.RECORD,
        5,
        {"DATABASE_URL": "{postgres}", "REDIS_URL": "{valkey}", "SESSIONS_URL": "{sessions}"},
        signs=True,
    ),
    Process("jobs", Tier.RECORD, 6, _JOBS),
    Process(
        "jobs-worker",
        Tier.WORKER,
        variables=_JOBS,
        signs=True,
        program=("-m", "services.jobs.worker", "--lifeline"),
        replaceable=True,
    ),
    Process(
        "runtime",
        Tier.CALLER,
        7,
        {
            "REGISTRY_URL": "{registry}",
            "SESSIONS_URL": "{sessions}",
            "MEMORY_URL": "{memory}",
            "EVALUATION_URL": "{evaluation}",
        },
        signs=True,
    ),
    Process("evaluation", Tier.CALLER, 8, {"REDIS_URL": "{valkey}"}),
    Process(
        "gateway",
        Tier.DOOR,
        PORT_DISTANCE,
        {
            "REGISTRY_URL": "{registry}",
            "SESSIONS_URL": "{sessions}",
            "MEMORY_URL": "{memory}",
            "JOBS_URL": "{jobs}",
            "RUNTIME_URL": "{runtime}",
            "EVALUATION_URL": "{evaluation}",
        },
        signs=True,
    ),
)


@dataclass(frozen=True)
class Address:
    host: str
    port: int

    @property
    def reachable_host(self) -> str:
        """A server that listens everywhere is reached over loopback."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared, not bound

    @property
    def url(self) -> str:
        host = self.reachable_host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


class Stack:
    """The chosen rows, with the user's settings applied."""

    def __init__(self, settings: LaunchSettings, rows: Iterable[Process] = STACK, only: Iterable[str] = ()) -> None:
        everything = tuple(rows)
        self.settings = settings
        self.processes = tuple(_select(everything, tuple(only)))
        # Of every row, started or not: a process must know where its unstarted neighbours would be.
        self.addresses = {
            row.name: Address(
                settings.environment.get(f"{row.prefix}HOST", "127.0.0.1"),
                int(settings.environment.get(f"{row.prefix}PORT") or settings.port - PORT_DISTANCE + row.number),
            )
            for row in everything
            if row.number is not None
        }

    @property
    def public_url(self) -> str:
        gateway = self.addresses.get("gateway")
        return gateway.url if gateway else f"http://127.0.0.1:{self.settings.port}"

    def address(self, process: Process) -> Address | None:
        return self.addresses.get(process.name)

    def stores_of(self, process: Process) -> set[str]:
        """The embedded stores a process waits for: those that its settings name and the user has not replaced."""
        given = {POSTGRES: self.settings.database_url, VALKEY: self.settings.redis_url}
        named = {
            name
            for variable, value in process.variables.items()
            if not self._set_by_user(process.prefix + variable)
            for _, name, _, _ in Formatter().parse(value)
        }
        return {store for store in STORES if store in named and given[store] is None}

    def embedded_stores(self) -> set[str]:
        return set().union(*(self.stores_of(process) for process in self.processes))

    def environment(
        self, process: Process, stores: Mapping[str, str], common: Mapping[str, str], private: Mapping[str, str]
    ) -> dict[str, str]:
        """All variables of one process. `stores` maps embedded stores to URLs; `private` is for those that sign."""
        user = dict(self.settings.environment)
        if not process.signs:
            for name in private:
                user.pop(name, None)
                user.pop(name.removesuffix("_FILE"), None)
        if POSTGRES in stores:
            # PGSSLMODE and its kin would reach the driver and were meant for another server.
            user = {name: value for name, value in user.items() if not name.startswith("PG")}
        places = {
            "data": str(self.settings.data),
            **{name: address.url for name, address in self.addresses.items()},
            POSTGRES: stores.get(POSTGRES) or self.settings.database_url or "",
            VALKEY: stores.get(VALKEY) or self.settings.redis_url or "",
        }
        ours = {process.prefix + name: value.format_map(places) for name, value in process.variables.items()}
        if address := self.address(process):
            ours |= {f"{process.prefix}HOST": address.host, f"{process.prefix}PORT": str(address.port)}
        ours |= {**common, **(private if process.signs else {})}
        return {name: value for name, value in ours.items() if not self._set_by_user(name)} | user

    def _set_by_user(self, variable: str) -> bool:
        """Also when they chose the other way to give it: X as X_FILE, or X_FILE as X."""
        other = variable.removesuffix("_FILE") if variable.endswith("_FILE") else f"{variable}_FILE"
        return variable in self.settings.environment or other in self.settings.environment


def _select(rows: tuple[Process, ...], only: tuple[str, ...]) -> list[Process]:
    known = {row.name for row in rows} | {row.service for row in rows}
    if unknown := sorted(set(only) - known):
        raise LaunchError(f"there is no {', '.join(unknown)}; there are {', '.join(row.name for row in rows)}")
    return [row for row in rows if not only or row.name in only or row.service in only]
