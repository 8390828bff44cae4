"""What each process is told: the launcher's values, the user's where they set one, secrets only where needed."""

import importlib
from pathlib import Path

import pytest

from deploy.local.errors import LaunchError
from deploy.local.settings import LaunchSettings
from deploy.local.stack import STACK, Process, Stack

STORES = {"postgres": "postgresql://embedded", "valkey": "redis://embedded"}
COMMON = {"BUREAU_KEYS_FILE": "/data/keys.json"}
PRIVATE = {"BUREAU_IDENTITY_PRIVATE_KEY_FILE": "/data/identity.key"}


def stack(*only: str, **variables: str) -> Stack:
    return Stack(LaunchSettings.from_environment({"BUREAU_DATA": "/data", **variables}), only=only)


def row(name: str) -> Process:
    return next(process for process in STACK if process.name == name)


def environment(of: Stack, name: str) -> dict[str, str]:
    stores = {store: url for store, url in STORES.items() if store in of.stores_of(row(name))}
    return of.environment(row(name), stores, COMMON, PRIVATE)


def test_ports_keep_their_distance_from_the_public_one() -> None:
    ports = {name: address.port for name, address in stack(BUREAU_PORT="9080").addresses.items()}
    assert ports == {
        "registry": 9003, "sessions": 9004, "memory": 9005, "jobs": 9006, "runtime": 9007, "evaluation": 9008,
        "gateway": 9080,
    }  # fmt: skip


def test_each_process_is_told_where_its_data_and_its_neighbours_are() -> None:
    assert environment(stack(), "registry")["REGISTRY_FILE"] == "/data/registry/registry.json"
    assert environment(stack(), "sessions")["SESSIONS_DATABASE_URL"] == "sqlite:////data/sessions/sessions.db"
    assert environment(stack(), "memory")["MEMORY_DATABASE_URL"] == "postgresql://embedded"
    assert environment(stack(), "jobs-worker")["JOBS_REDIS_URL"] == "redis://embedded"
    assert environment(stack(), "gateway")["GATEWAY_RUNTIME_URL"] == "http://127.0.0.1:8007"


@pytest.mark.parametrize("process", STACK, ids=lambda process: process.name)
def test_the_table_and_the_settings_of_a_service_agree(process: Process) -> None:
    """Every variable is known to the service, and every neighbour the service asks for is named in the table."""
    settings = importlib.import_module(f"{process.module}.settings").Settings
    assert settings.prefix == process.prefix
    told = {name.lower() for name in process.variables}
    assert told <= set(settings.model_fields)
    assert {f"{name}_url" for name in stack().addresses} & set(settings.model_fields) <= told


def test_a_process_is_told_nothing_of_another_ones_store() -> None:
    assert not any("embedded" in value for value in environment(stack(), "registry").values())


def test_only_those_that_sign_get_the_private_key() -> None:
    given = stack(BUREAU_IDENTITY_PRIVATE_KEY="-----BEGIN")
    with_key = {
        process.name for process in STACK if any("PRIVATE" in name for name in environment(given, process.name))
    }
    assert with_key == {"gateway", "registry", "memory", "runtime", "jobs-worker"}


def test_what_the_user_set_wins() -> None:
    told = environment(stack(REGISTRY_FILE="/mine.json", REGISTRY_PORT="9999", OTHER="kept"), "registry")
    assert (told["REGISTRY_FILE"], told["REGISTRY_PORT"], told["OTHER"]) == ("/mine.json", "9999", "kept")
    assert environment(stack(REGISTRY_PORT="9999"), "gateway")["GATEWAY_REGISTRY_URL"] == "http://127.0.0.1:9999"


def test_a_value_given_as_a_file_is_not_given_twice() -> None:
    told = environment(stack(MEMORY_DATABASE_URL_FILE="/run/secrets/url"), "memory")
    assert "MEMORY_DATABASE_URL" not in told


def test_a_server_that_listens_everywhere_is_reached_over_loopback() -> None:
    told = environment(stack(JOBS_HOST="0.0.0.0"), "gateway")
    assert told["GATEWAY_JOBS_URL"] == "http://127.0.0.1:8006"


@pytest.mark.parametrize(
    ("variables", "embedded"),
    [
        ({}, {"postgres", "valkey"}),
        ({"DATABASE_URL": "postgresql://mine"}, {"valkey"}),
        ({"REDIS_URL": "redis://mine"}, {"postgres"}),
        ({"DATABASE_URL": "postgresql://mine", "REDIS_URL": "redis://mine"}, set()),
        ({"MEMORY_DATABASE_URL": "postgresql://mine"}, {"valkey"}),
    ],
)
def test_a_store_of_the_users_keeps_the_embedded_one_away(variables: dict[str, str], embedded: set[str]) -> None:
    assert stack(**variables).embedded_stores() == embedded
    if url := variables.get("DATABASE_URL"):
        assert environment(stack(**variables), "memory")["MEMORY_DATABASE_URL"] == url


def test_postgres_variables_of_the_users_stay_out_of_embedded_connections() -> None:
    assert "PGSSLMODE" not in environment(stack(PGSSLMODE="require"), "memory")
    theirs = stack(PGSSLMODE="require", DATABASE_URL="postgresql://mine")
    assert environment(theirs, "memory")["PGSSLMODE"] == "require"


def test_only_starts_what_was_named_and_its_stores() -> None:
    chosen = stack("registry", "jobs")
    assert [process.name for process in chosen.processes] == ["registry", "jobs", "jobs-worker"]
    assert chosen.embedded_stores() == {"valkey"}
    assert [process.name for process in stack("jobs-worker").processes] == ["jobs-worker"]


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LaunchError, match=r"no regsitry; there are registry, sessions"):
        stack("regsitry")


@pytest.mark.parametrize("port", ["", "http", "80", "70000"])
def test_a_port_that_cannot_be_is_refused(port: str) -> None:
    with pytest.raises(LaunchError, match="BUREAU_PORT"):
        stack(BUREAU_PORT=port)


def test_the_data_folder_is_absolute_for_every_process() -> None:
    assert LaunchSettings.from_environment({}).data == Path.cwd() / ".bureau"
