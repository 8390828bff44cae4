"""The embedded Valkey: private, durable, ready only when it has read everything back."""

import os
import socket
from pathlib import Path

import psutil
import pytest

from deploy.local.binaries import find_valkey
from deploy.local.errors import AlreadyRunning, MissingBinaries, StoreFailed
from deploy.local.valkey import EmbeddedValkey

from .conftest import is_gone


def server_pid(server: EmbeddedValkey) -> int:
    pid = server.server_pid()
    assert pid is not None
    return pid


def test_it_answers_and_data_persists(folder: Path) -> None:
    with EmbeddedValkey(folder) as server:
        assert server.ask("SET", "kept", "1") == "+OK"
    with EmbeddedValkey(folder) as server:
        assert server.ask("INCR", "kept") == ":2"


def test_without_or_with_a_wrong_password_it_tells_nothing(folder: Path) -> None:
    with EmbeddedValkey(folder, fast=True) as server:
        for attempt in (b"PING\r\n", b"AUTH wrong\r\n"):
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
                connection.sendall(attempt)
                assert connection.recv(100).startswith((b"-NOAUTH", b"-WRONGPASS"))


def test_it_listens_on_loopback_only(folder: Path) -> None:
    with EmbeddedValkey(folder, fast=True) as server:
        sockets = psutil.Process(server_pid(server)).net_connections("inet")
        listening = {connection.laddr[0] for connection in sockets if connection.status == psutil.CONN_LISTEN}
        assert listening == {"127.0.0.1"}


def test_its_password_is_in_private_files_and_not_on_the_command_line(folder: Path) -> None:
    with EmbeddedValkey(folder, fast=True) as server:
        for path in (folder / "secrets" / "valkey.password", server.folder / "valkey.conf"):
            assert path.stat().st_mode & 0o777 == 0o600
        process = psutil.Process(server_pid(server))
        parent = process.parent()
        assert parent is not None
        assert not any(server.password() in word for word in process.cmdline() + parent.cmdline())


def test_an_acknowledged_write_survives_kill_9_of_server_and_supervisor(folder: Path) -> None:
    server = EmbeddedValkey(folder)
    server.start()
    assert server.ask("SET", "kept", "1") == "+OK"
    assert server._supervisor is not None
    for process in (psutil.Process(server._supervisor.pid), psutil.Process(server_pid(server))):
        process.kill()
    server.stop()
    with EmbeddedValkey(folder) as successor:
        assert successor.ask("GET", "kept") == "$1"


def test_every_write_is_on_the_disk_before_it_is_acknowledged(folder: Path) -> None:
    with EmbeddedValkey(folder) as server:
        configuration = (server.folder / "valkey.conf").read_text()
        assert {"appendonly yes", "appendfsync always"} <= set(configuration.splitlines())
        assert any((server.folder / "appendonlydir").iterdir())


def test_ready_means_everything_is_loaded(folder: Path) -> None:
    many = "for n = 1, 300000 do redis.call('SET', 'key' .. n, string.rep('x', 100)) end"
    with EmbeddedValkey(folder, fast=True) as server:
        assert server.ask("EVAL", many, "0") == "$-1"
    with EmbeddedValkey(folder, fast=True) as server:
        assert server.ask("DBSIZE") == ":300000"


def test_a_second_start_on_the_same_folder_is_refused(folder: Path) -> None:
    with EmbeddedValkey(folder, fast=True) as server:
        with pytest.raises(AlreadyRunning, match=f"in use by pid {os.getpid()}"):
            EmbeddedValkey(folder, fast=True).start()
        assert server.ask("PING") == "+PONG"


def test_a_server_that_lost_its_supervisor_is_stopped_by_the_next_start(folder: Path) -> None:
    server = EmbeddedValkey(folder)
    server.start()
    assert server.ask("SET", "kept", "1") == "+OK"
    orphan = server_pid(server)
    assert server._supervisor is not None
    server._supervisor.kill()
    server._supervisor.communicate(timeout=5)
    server._lock.release()
    with EmbeddedValkey(folder) as successor:
        assert is_gone(orphan)
        assert successor.ask("GET", "kept") == "$1"


def test_a_strange_data_path_works(folder: Path) -> None:
    with EmbeddedValkey(folder / 'it\'s my "data" {here}' / ("d" * 110), fast=True) as server:
        assert server.ask("PING") == "+PONG"


def test_a_failed_start_shows_the_servers_last_lines(folder: Path) -> None:
    with EmbeddedValkey(folder, fast=True) as server:
        manifest = server.folder / "appendonlydir" / "appendonly.aof.manifest"
    manifest.write_text("damaged\n")
    with pytest.raises(StoreFailed, match="AOF"):
        EmbeddedValkey(folder, fast=True).start()


def test_a_server_on_path_stands_in_for_the_wheel(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "redis-server").symlink_to(find_valkey())
    program = find_valkey(package="no_such_wheel", path=str(tmp_path))
    assert program == tmp_path / "redis-server"
    with EmbeddedValkey(folder, fast=True, program=program) as server:
        assert server.ask("PING") == "+PONG"


def test_missing_binaries_name_the_variable_to_set() -> None:
    with pytest.raises(MissingBinaries, match="REDIS_URL"):
        find_valkey(package="no_such_wheel", path="/nowhere")


def test_each_test_gets_an_empty_redis(redis_url: str, valkey_server: EmbeddedValkey) -> None:
    assert redis_url == valkey_server.url
    assert valkey_server.ask("DBSIZE") == ":0"
