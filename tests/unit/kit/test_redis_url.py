"""Where a Redis is, as a setting says it."""

import pytest

from kit.redis import known_url
from kit.redis_url import Shape, read_url
from kit.settings import ServerSettings, SettingsError
from services.evaluation.settings import Settings as EvaluationSettings
from services.jobs.settings import Settings as JobsSettings
from services.memory.settings import Settings as MemorySettings
from services.sessions.settings import Settings as SessionsSettings


def test_one_server_is_read() -> None:
    read = read_url("rediss://bob:p%40ss%2Fword@cache.example.com:6380/3?socket_connect_timeout=7")
    assert (read.shape, read.hosts, read.tls) == (Shape.SERVER, [("cache.example.com", 6380)], True)
    assert read.options == {"username": "bob", "password": "p@ss/word", "db": 3, "socket_connect_timeout": 7.0}


def test_sentinels_are_read_with_their_own_login_and_the_primarys_name() -> None:
    read = read_url("redis+sentinel://:pass@one:1,two,[::1]:3/main/2?sentinel_password=their")
    assert (read.shape, read.primary, read.tls) == (Shape.SENTINEL, "main", False)
    assert read.hosts == [("one", 1), ("two", 26379), ("::1", 3)]
    assert read.options == {"password": "pass", "db": 2}
    assert read.sentinel_login == {"username": None, "password": "their"}


def test_a_cluster_is_read() -> None:
    read = read_url("rediss+cluster://u:p@one:1,two?ssl_ca_certs=/ca.pem")
    assert (read.shape, read.hosts, read.tls) == (Shape.CLUSTER, [("one", 1), ("two", 6379)], True)
    assert read.options == {"username": "u", "password": "p", "ssl_ca_certs": "/ca.pem"}


@pytest.mark.parametrize(
    "url",
    [
        "redis://h", "redis://h:1/2", "rediss://h?ssl_cert_reqs=none", "unix:///run/redis.sock?db=3",
        "redis+sentinel://a,b/main", "REDISS+Sentinel://a:1/main/0?ssl_ca_certs=/ca.pem", "redis+cluster://a:1,b:2/0",
    ],
)  # fmt: skip
def test_what_can_be_read_makes_a_client(url: str) -> None:
    assert known_url(url) == url


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://:geheim@h", "must begin with redis://"),
        ("geheim", "must begin with redis://"),
        ("redis+ring://:geheim@h", "sentinel:// or cluster://"),
        ("unix+cluster:///geheim", "sentinel:// or cluster://"),
        ("redis://:geheim@h/names", "the number of a database"),
        ("redis://:geheim@h/0/1", "the number of a database"),
        ("redis://:geheim@a,b/0", "names several servers"),
        ("redis://:geheim@h:99999", "no host:port"),
        ("redis://:geheim/@h:1/0", "number of a database"),
        ("redis://:geheim#@h:1/0", "percent-encoded"),
        ("redis://:geheim@h?socket_timeout=soon", "an option that cannot be read"),
        ("redis://:geheim@h?tiemout=1", "does not take"),
        ("redis+sentinel://:geheim@a,b", "the primary's name"),
        ("redis+sentinel://:geheim@a/main/x", "number of a database"),
        ("redis+sentinel://:geheim@a/main?tiemout=1", "does not take"),
        ("redis+sentinel://:geheim@,/main", "no host:port"),
        ("redis+cluster://:geheim@a/1", "one database"),
        ("redis+cluster://:geheim@a?db=1", "one database"),
        ("redis+cluster://:geheim@a?tiemout=1", "does not take"),
    ],
)
@pytest.mark.parametrize("settings", [JobsSettings, EvaluationSettings, SessionsSettings, MemorySettings])
def test_what_cannot_be_read_ends_the_start_with_a_line_that_names_the_setting_and_no_password(
    settings: type[ServerSettings], url: str, says: str
) -> None:
    variable = f"{settings.prefix}REDIS_URL"
    with pytest.raises(SettingsError, match=says) as refused:
        settings.from_environment({variable: url})
    assert str(refused.value).startswith(f"{variable}: ")
    assert "geheim" not in str(refused.value)
    assert "\n" not in str(refused.value)
