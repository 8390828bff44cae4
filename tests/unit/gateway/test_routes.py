"""The table of routes, and that everything a row needs is there."""

import pytest

from gateway.routes import TABLE, RouteTable
from gateway.settings import Settings
from kit.errors import NotFound
from kit.settings import SettingsError


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/registry", "registry"),
        ("/registry/agents", "registry"),
        ("/agent/chat", "runtime"),
        ("/metrics", "evaluation"),
        ("/evaluations/runs/1/report", "evaluation"),
    ],
)
def test_a_path_belongs_to_the_service_of_its_first_segment(path: str, service: str) -> None:
    assert RouteTable().of(path).service == service


@pytest.mark.parametrize("path", ["/", "/registryx", "/regi", "/x/registry", "/REGISTRY"])
def test_other_paths_belong_to_nobody(path: str) -> None:
    with pytest.raises(NotFound):
        RouteTable().of(path)


def test_every_service_has_a_url_and_no_prefix_has_two_services() -> None:
    prefixes = [prefix for route in TABLE for prefix in route.prefixes]
    assert len(prefixes) == len(set(prefixes))
    assert {route.service for route in TABLE} == set(Settings().service_urls())


def test_the_gateway_does_not_start_without_a_key_to_sign_with() -> None:
    with pytest.raises(SettingsError, match="BUREAU_IDENTITY_PRIVATE_KEY"):
        Settings.from_environment({})


def test_a_base_url_is_checked_and_its_last_slash_does_not_matter() -> None:
    environment = {"BUREAU_IDENTITY_PRIVATE_KEY": "x", "GATEWAY_JOBS_URL": "http://jobs:1/"}
    assert Settings.from_environment(environment).service_urls()["jobs"] == "http://jobs:1"
    with pytest.raises(SettingsError, match="GATEWAY_JOBS_URL"):
        Settings.from_environment({"GATEWAY_JOBS_URL": "jobs:1"})
