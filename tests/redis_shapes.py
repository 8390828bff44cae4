"""Redis as production has it, with real servers: a primary and two replicas behind three Sentinels, and a cluster."""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import AuthenticationError, RedisError

from deploy.local.binaries import find_valkey
from deploy.local.ports import free_port
from tests.waiting import eventually

PASSWORD = "geheim/@:#"
LOGIN = ":geheim%2F%40%3A%23@"
NAME = "main"
SLOTS = 16384

_SERVER = f"""
bind 127.0.0.1
save ""
appendonly yes
appendfsync no
maxmemory-policy noeviction
repl-diskless-sync-delay 0
requirepass "{PASSWORD}"
masterauth "{PASSWORD}"
"""
_CAREFUL = "min-replicas-to-write 1\nmin-replicas-max-lag 10\n"
_CLUSTERED = "cluster-enabled yes\ncluster-node-timeout 1000\ncluster-replica-validity-factor 0\n"
_SENTINEL = f"""
bind 127.0.0.1
sentinel monitor {NAME} 127.0.0.1 {{port}} 2
sentinel auth-pass {NAME} "{PASSWORD}"
sentinel down-after-milliseconds {NAME} 500
sentinel failover-timeout {NAME} 3000
"""


class Node:
    """One process."""

    def __init__(self, folder: Path, text: str, *, sentinel: bool = False) -> None:
        self.port = free_port()
        self._password = None if sentinel else PASSWORD
        home = folder / str(self.port)
        home.mkdir(parents=True)
        (home / "server.conf").write_text(f"port {self.port}\n{text}")
        command = [str(find_valkey()), "server.conf", *(["--sentinel"] if sentinel else [])]
        self.process = subprocess.Popen(command, cwd=home, stdout=subprocess.DEVNULL)

    def ask(self, *words: str | int) -> Any:
        with Redis(
            port=self.port, password=self._password, decode_responses=True, socket_timeout=2, protocol=2
        ) as client:
            return client.execute_command(*words)

    def answers(self) -> bool:
        try:
            return bool(self.ask("PING"))
        except AuthenticationError:
            raise
        except RedisError:
            return False

    def says(self, *words: str, expected: str) -> bool:
        return expected in str(self.ask(*words))

    def kill(self) -> None:
        """As if the machine went."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """It keeps its connections, takes new ones, and answers nobody."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)


class Sentinels:
    """A primary, two replicas, three Sentinels. The primary takes a write only while a replica keeps up."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.primary = Node(folder, _SERVER + _CAREFUL)
        follow = f"replicaof 127.0.0.1 {self.primary.port}\n"
        self.replicas = [Node(folder, _SERVER + _CAREFUL + follow) for _ in range(2)]
        self.sentinels: list[Node] = []

    @property
    def nodes(self) -> list[Node]:
        return [self.primary, *self.replicas, *self.sentinels]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
        return f"redis+sentinel://{LOGIN}{hosts}/{NAME}/0"

    async def ready(self) -> None:
        await _all_answer(self.nodes)
        await eventually(lambda: self.primary.says("INFO", "replication", expected="'min_slaves_good_slaves': 2"))
        text = _SENTINEL.format(port=self.primary.port)
        self.sentinels = [Node(self._folder, text, sentinel=True) for _ in range(3)]
        await _all_answer(self.sentinels)
        await eventually(lambda: all(self._knows_all(each) for each in self.sentinels))

    def _knows_all(self, sentinel: Node) -> bool:
        found = sentinel.ask("SENTINEL MASTER", NAME)
        return bool((found["num-other-sentinels"], found["num-slaves"]) == (2, 2))


class Cluster:
    """Three primaries with a third of the slots each. With a `spare` there is a fourth node, for `add_replica`."""

    def __init__(self, folder: Path, *, spare: bool = False) -> None:
        self._buses = [free_port() for _ in range(4 if spare else 3)]
        self.nodes = [Node(folder, f"{_SERVER}{_CLUSTERED}cluster-port {bus}\n") for bus in self._buses]

    @property
    def url(self) -> str:
        return f"redis+cluster://{LOGIN}" + ",".join(f"127.0.0.1:{each.port}" for each in self.nodes[:3])

    async def ready(self) -> None:
        await _all_answer(self.nodes)
        for number, (node, bus) in enumerate(zip(self.nodes, self._buses, strict=True)):
            if number < 3:
                node.ask("CLUSTER ADDSLOTSRANGE", number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1)
            node.ask("CLUSTER SET-CONFIG-EPOCH", number + 1)
            if number:
                self.nodes[0].ask("CLUSTER MEET", "127.0.0.1", node.port, bus)
        await eventually(lambda: all(self._is_whole(each) for each in self.nodes), seconds=20)

    async def add_replica(self, key: str) -> Node:
        """Makes the spare node a replica of the one that holds `key`, and gives that one."""
        slot: int = self.nodes[0].ask("CLUSTER KEYSLOT", key)
        owner, spare = self.nodes[slot * 3 // SLOTS], self.nodes[3]
        spare.ask("CLUSTER REPLICATE", owner.ask("CLUSTER MYID"))
        await eventually(lambda: spare.says("INFO", "replication", expected="'master_link_status': 'up'"), seconds=20)
        return owner

    def _is_whole(self, node: Node) -> bool:
        found = node.ask("CLUSTER INFO")
        return (found["cluster_state"], found["cluster_known_nodes"]) == ("ok", str(len(self.nodes)))


async def _all_answer(nodes: Sequence[Node]) -> None:
    await eventually(lambda: all(node.answers() for node in nodes), seconds=20)


@contextmanager
def ending(shape: Sentinels | Cluster) -> Iterator[None]:
    try:
        yield
    finally:
        for node in shape.nodes:
            node.kill()
