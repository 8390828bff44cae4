"""`up` and its companions over fake services: start, readiness, failure, every way to end, and nothing left."""

import http.client
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from deploy.local.files import read_variables
from deploy.local.reload import concerned
from deploy.local.state import RunState

from .conftest import NO_STORES, Launcher, is_gone, wait_until
from .fake_stack import ROWS

NewLauncher = Callable[..., Launcher]


def environment_of(state: RunState, name: str) -> dict[str, str]:
    """What a fake service was told, by itself."""
    url = state.processes[name].url
    assert url is not None
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
    connection.request("GET", "/environment")
    told: dict[str, str] = json.loads(connection.getresponse().read())
    connection.close()
    return told


def family(launcher: Launcher) -> list[int]:
    """Pids of everything below the launcher, itself included."""
    assert launcher.process is not None
    top = psutil.Process(launcher.process.pid)
    return [top.pid, *(child.pid for child in top.children(recursive=True))]


def test_the_whole_stack_comes_up_says_so_and_leaves_nothing_at_ctrl_c(launcher: Launcher) -> None:
    state = launcher.up().until_ready()
    assert {name: process.state for name, process in state.processes.items()} == {row.name: "ready" for row in ROWS}
    wait_until(lambda: "Bureau is ready" in launcher.text(), 5, "the welcome")
    assert f"Bureau is ready at http://127.0.0.1:{launcher.port}" in launcher.text()
    assert "curl -s $BUREAU_URL/agent/chat" in launcher.text()
    pids = family(launcher)
    assert len(pids) >= 1 + 4 + 2 * 2  # launcher, services, two supervisors with their servers

    assert launcher.end(signal.SIGINT) == 0
    assert all(is_gone(pid) for pid in pids)
    assert not (launcher.data / "postgres" / "postmaster.pid").exists()
    assert sorted(path.name for path in (launcher.data / "run").iterdir()) == ["lock", "postgres.lock", "valkey.lock"]


def test_the_first_start_makes_the_key_and_the_second_keeps_it(launcher: Launcher) -> None:
    launcher.up(*NO_STORES).until_ready()
    client = read_variables(launcher.data / "client.env")
    assert client["BUREAU_URL"] == f"http://127.0.0.1:{launcher.port}"
    wait_until(lambda: client["BUREAU_API_KEY"] in launcher.text(), 5, "the key on the console")
    for private in ("client.env", "keys.json", "secrets/identity.key", "secrets/identity.pub"):
        assert (launcher.data / private).stat().st_mode & 0o777 == 0o600
    assert launcher.data.stat().st_mode & 0o077 == 0
    assert client["BUREAU_API_KEY"] not in (launcher.data / "keys.json").read_text()
    launcher.end()

    launcher.up(*NO_STORES).until_ready()
    assert read_variables(launcher.data / "client.env") == client
    launcher.end()
    assert client["BUREAU_API_KEY"] not in launcher.text()


def test_kill_9_of_up_leaves_no_process_within_two_seconds_and_the_next_up_works(launcher: Launcher) -> None:
    launcher.up().until_ready()
    pids = family(launcher)
    assert launcher.end(signal.SIGKILL) == -signal.SIGKILL
    wait_until(lambda: all(is_gone(pid) for pid in pids), 2, "everything to be gone")
    assert '"event": "stopped"' in launcher.log("beta-worker").splitlines()[-1]
    assert "database system is shut down" in launcher.log("postgres").splitlines()[-1]

    launcher.up().until_ready()
    assert launcher.end(signal.SIGTERM) == 0


def test_an_up_right_after_a_kill_9_waits_for_what_is_left_and_works(new_launcher: NewLauncher) -> None:
    launcher = new_launcher(ALPHA_BEHAVIOUR="slow")
    launcher.up().until_ready()
    launcher.end(signal.SIGKILL)
    launcher.up().until_ready()
    assert launcher.end() == 0


def test_with_parent_leaves_no_process_within_two_seconds_of_its_parents_kill_9(new_launcher: NewLauncher) -> None:
    launcher = new_launcher(ALPHA_BEHAVIOUR="deaf")
    parent = launcher.up_through_a_parent("--with-parent")
    launcher.until_ready()
    pids = [child.pid for child in psutil.Process(parent.pid).children(recursive=True)]
    parent.kill()
    parent.wait(5)
    wait_until(lambda: all(is_gone(pid) for pid in pids), 2, "everything to be gone")
    assert not (launcher.data / "postgres" / "postmaster.pid").exists()


def test_the_console_shows_each_line_behind_its_process_and_the_file_has_it_as_written(launcher: Launcher) -> None:
    launcher.up(*NO_STORES).until_ready()
    launcher.end()
    assert f"alpha   | 00:00:00 info  started port={launcher.port - 77}" in launcher.text()
    assert json.loads(launcher.log("alpha").splitlines()[0])["event"] == "started"


def test_one_failing_process_stops_all_and_its_last_lines_are_shown(new_launcher: NewLauncher) -> None:
    launcher = new_launcher(BETA_BEHAVIOUR="fail").up()
    assert launcher.process is not None
    assert launcher.process.wait(20) == 1
    assert re.search(r"beta(-worker)? stopped by itself \(exit code 3\)", launcher.text())
    assert "about_to_fail" in launcher.text().split("error: ")[-1]
    assert not (launcher.data / "postgres" / "postmaster.pid").exists()


def test_a_process_killed_later_stops_all(launcher: Launcher) -> None:
    state = launcher.up(*NO_STORES).until_ready()
    pid = state.processes["alpha"].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert launcher.process is not None
    assert launcher.process.wait(10) == 1
    assert "alpha stopped by itself (SIGKILL)" in launcher.text()


def test_a_store_that_dies_stops_all_and_recovers_at_the_next_up(launcher: Launcher) -> None:
    launcher.up("--only", "beta").until_ready()
    os.kill(int((launcher.data / "postgres" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    assert launcher.process is not None
    assert launcher.process.wait(15) == 1
    assert "postgres stopped by itself" in launcher.text()
    launcher.up("--only", "beta").until_ready()
    launcher.end()


def test_a_stop_while_starting_leaves_nothing(new_launcher: NewLauncher) -> None:
    launcher = new_launcher(GATEWAY_BEHAVIOUR="unready").up()
    wait_until(lambda: (launcher.data / "run" / "stores.env").exists(), 15, "a store")
    pids = family(launcher)
    assert launcher.end(signal.SIGTERM) == 0
    assert all(is_gone(pid) for pid in pids)
    assert "Bureau is ready" not in launcher.text()


def test_a_second_ctrl_c_ends_at_once_what_ignores_the_first(new_launcher: NewLauncher) -> None:
    launcher = new_launcher(ALPHA_BEHAVIOUR="deaf").up(*NO_STORES)
    pid = launcher.until_ready().processes["alpha"].pid
    assert pid is not None
    assert launcher.process is not None
    launcher.process.send_signal(signal.SIGINT)
    wait_until(lambda: (s := launcher.state()) and s.state == "stopping", 5, "the stop to begin")
    wait_until(lambda: '"event": "stopped"' in launcher.log("gateway"), 5, "the gateway to stop first")
    assert not is_gone(pid)
    assert launcher.end(signal.SIGINT) == 0
    assert is_gone(pid)


def test_a_port_in_use_is_an_error_that_says_by_whom(launcher: Launcher) -> None:
    with socket.create_server(("127.0.0.1", launcher.port - 77)):
        done = launcher.run("up", *NO_STORES)
    assert done.returncode == 1
    assert f"port {launcher.port - 77}, wanted by alpha, is in use by pid {os.getpid()}: " in done.stdout
    assert Path(sys.executable).name in done.stdout
    assert "BUREAU_PORT" in done.stdout


def test_a_second_up_on_the_same_folder_is_refused(launcher: Launcher) -> None:
    launcher.up(*NO_STORES).until_ready()
    assert launcher.process is not None
    done = launcher.run("up", *NO_STORES)
    assert done.returncode == 1
    assert f"already in use by pid {launcher.process.pid}" in done.stdout


def test_two_stacks_run_side_by_side(new_launcher: NewLauncher) -> None:
    one, other = new_launcher("one"), new_launcher("other")
    one.up()
    other.up()
    first, second = (environment_of(each.until_ready(), "beta") for each in (one, other))
    assert first["BETA_DATABASE_URL"] != second["BETA_DATABASE_URL"]
    assert one.end() == other.end() == 0


def test_detach_returns_when_ready_and_down_stops_it(launcher: Launcher) -> None:
    done = launcher.run("up", *NO_STORES, "--detach")
    assert done.returncode == 0, done.stdout
    assert "Bureau is ready at" in done.stdout
    key = read_variables(launcher.data / "client.env")["BUREAU_API_KEY"]
    assert key in done.stdout
    assert key not in launcher.log("launcher")
    pids = [launcher.until_ready().pid, *(p.pid for p in launcher.until_ready().processes.values() if p.pid)]

    status = launcher.run("status").stdout
    assert f"Bureau ready at http://127.0.0.1:{launcher.port}" in status
    assert status.count("healthy") == 2
    assert "alpha" in launcher.run("logs", "alpha").stdout
    assert "gateway" not in launcher.run("logs", "alpha").stdout

    assert launcher.run("down").stdout == "stopped\n"
    assert all(is_gone(pid) for pid in pids)
    assert launcher.run("down").stdout == f"nothing runs on {launcher.data}\n"
    assert launcher.run("status").returncode == 1


def test_a_detached_start_that_fails_says_why(new_launcher: NewLauncher) -> None:
    done = new_launcher(ALPHA_BEHAVIOUR="fail").run("up", *NO_STORES, "--detach")
    assert done.returncode == 1
    assert "alpha stopped by itself (exit code 3)" in done.stdout
    assert "about_to_fail" in done.stdout


@pytest.mark.parametrize("how", [(), ("--hard",)])
def test_restart_replaces_what_was_named_and_nothing_else(launcher: Launcher, how: tuple[str, ...]) -> None:
    before = launcher.up(*NO_STORES).until_ready()
    done = launcher.run("restart", "alpha", *how)
    assert done.stdout == "restarted alpha\n"
    after = launcher.until_ready()
    assert before.processes["alpha"].pid != after.processes["alpha"].pid
    assert before.processes["gateway"].pid == after.processes["gateway"].pid
    assert launcher.end() == 0


def test_services_get_the_stores_of_this_run_and_others_find_them_in_a_private_file(launcher: Launcher) -> None:
    state = launcher.up("--only", "alpha,beta").until_ready()
    told, stores = environment_of(state, "beta"), launcher.data / "run" / "stores.env"
    assert read_variables(stores) == {"DATABASE_URL": told["BETA_DATABASE_URL"], "REDIS_URL": told_worker(launcher)}
    assert stores.stat().st_mode & 0o777 == 0o600
    assert "BUREAU_IDENTITY_PRIVATE_KEY_FILE" in told
    assert "BUREAU_IDENTITY_PRIVATE_KEY_FILE" not in environment_of(state, "alpha")
    launcher.end()


def told_worker(launcher: Launcher) -> str:
    """A process without a port tells nothing over HTTP; its URL is made of the store's own files."""
    password = (launcher.data / "secrets" / "valkey.password").read_text()
    configuration = (launcher.data / "valkey" / "valkey.conf").read_text()
    port = next(line.split()[1] for line in configuration.splitlines() if line.startswith("port "))
    return f"redis://:{password}@127.0.0.1:{port}/0"


def test_with_stores_of_the_users_nothing_embedded_starts(new_launcher: NewLauncher) -> None:
    mine = {"DATABASE_URL": "postgresql://mine", "REDIS_URL": "redis://mine"}
    launcher = new_launcher(**mine)
    state = launcher.up().until_ready()
    assert environment_of(state, "beta")["BETA_DATABASE_URL"] == mine["DATABASE_URL"]
    assert not (launcher.data / "postgres").exists()
    assert not (launcher.data / "valkey").exists()
    launcher.end()


def test_reload_restarts_what_changed_and_survives_what_fails(new_launcher: NewLauncher, tmp_path: Path) -> None:
    source = tmp_path / "services" / "alpha" / "api.py"
    source.parent.mkdir(parents=True)
    (tmp_path / "gateway").mkdir()
    launcher = new_launcher(FAKE_ROOT=str(tmp_path))
    first = launcher.up(*NO_STORES, "--reload").until_ready()
    written = 0.0

    def alpha_is_new_since(old: RunState) -> bool:
        # Written again until it is seen, as the watcher tells nobody when it has begun to watch; but not so often that
        # after a restart there is another one.
        nonlocal written
        if time.monotonic() > written + 2:
            source.write_text(source.read_text() + "#\n" if source.exists() else "#\n")
            written = time.monotonic()
        now = launcher.state()
        assert now is not None
        return now.processes["alpha"].state == "ready" and now.processes["alpha"].pid != old.processes["alpha"].pid

    wait_until(lambda: alpha_is_new_since(first), 60, "alpha to be restarted")
    second = launcher.until_ready()
    assert second.processes["gateway"].pid == first.processes["gateway"].pid

    pid = second.processes["alpha"].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: "Waiting for a change" in launcher.text() or alpha_is_new_since(second), 60, "the failure shown")
    wait_until(lambda: alpha_is_new_since(second), 60, "alpha to be back")
    assert launcher.end() == 0


def test_a_changed_file_concerns_its_service_and_a_shared_one_concerns_all() -> None:
    root = Path("/repo")
    assert concerned(root, ROWS, [root / "services/beta/store.py"]) == ["beta", "beta-worker"]
    assert concerned(root, ROWS, [root / "gateway/app.py"]) == ["gateway"]
    assert concerned(root, ROWS, [root / "kit/web.py"]) == [row.name for row in ROWS]
    assert concerned(root, ROWS, [root / "docs/x.py", Path("/elsewhere/kit/a.py")]) == []
