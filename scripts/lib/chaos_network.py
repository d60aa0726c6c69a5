"""Real nodes without models, each in a network namespace of its own, that can be killed, frozen and cut off.

Owns the processes and how their admin APIs are reached: those listen on loopback inside the namespaces, so that a
thread for each node lives in there. Needs root.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import proc
from namespaces import Internet, NetHost
from nodes import NodeProcess

CLONE_NEWNET = 0x40000000
PORT = 4701
BOOTSTRAPS = 3
ANSWER_S = 5.0
# The halves of the segment, so that one rule each keeps them apart.
HALVES = ("198.51.100.0/25", "198.51.100.128/25")
_CONFIG = '[mesh]\nmdns = false\nupnp = false\nnat = "off"\nrelay = "off"\n'


def enter(namespace: str) -> None:
    """Move the calling thread into a network namespace. Raises OSError."""
    handle = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
    finally:
        os.close(handle)


class ChaosNode:
    """One node. ``starts`` counts how often it was started; ``half`` is 0 or 1."""

    def __init__(self, number: int, host: NetHost, half: int, scratch: Path, joins: list[str]) -> None:
        config = scratch / "chaos.toml"
        config.write_text(_CONFIG)
        join = [part for address in joins for part in ("--join", address)]
        self.number, self.host, self.half, self.starts = number, host, half, 0
        self.process = NodeProcess(
            scratch / f"node{number}",
            *("--network", "chaos", "--no-http", "--config", str(config), *join),
            name=f"node{number}",
            listen=f"/ip4/{host.address}/tcp/{PORT}",
            inside=host.command(),
        )
        self._inside = ThreadPoolExecutor(1, f"in-{host.name}", enter, (host.name,))

    def spawn(self) -> None:
        self.starts += 1
        self.process.spawn()

    @property
    def ready(self) -> bool:
        """True once it said that it started, since it was last spawned."""
        return any(line.get("event") == "node_started" for line in [*self.process.log])

    @property
    def complaints(self) -> list[str]:
        """What it logged as an error, or let out past its log, since it was last spawned."""
        lines = [line for line in [*self.process.log] if line.get("level") in ("error", "critical")]
        lines += [line for line in [*self.process.log] if line.get("event") in ("stderr", "host_failed", "host_ended")]
        return [json.dumps(line)[:400] for line in lines]

    def ask(self, path: str) -> Future[bytes]:
        """One admin route's body, asked from inside."""
        return self._inside.submit(self._ask, path)

    def _ask(self, path: str) -> bytes:
        access = json.loads((self.process.home / "admin.json").read_text())
        address = urlsplit(access["url"])
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=ANSWER_S)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {access['token']}"})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise OSError(f"HTTP {answer.status} from {self.process.name}")
            return body
        finally:
            connection.close()

    def measures(self) -> dict[str, float]:
        """Tasks, descriptors, memory in MiB and CPU seconds, now."""
        text = self.ask("/admin/metrics").result(ANSWER_S * 2).decode()
        tasks = next(line for line in text.splitlines() if line.startswith("peernode_tasks "))
        pid = self.process.pid
        return {
            "tasks": float(tasks.split()[1]),
            "descriptors": float(proc.descriptors(pid)),
            "MiB": proc.rss_mib(pid),
            "cpu_s": proc.cpu_s(pid),
        }

    def close(self) -> None:
        self.process.kill()
        self._inside.shutdown(wait=False, cancel_futures=True)


class ChaosNetwork:
    """``count`` nodes; use ``start`` once. ``say`` shows progress."""

    def __init__(self, internet: Internet, count: int, scratch: Path, say: Callable[[str], None]) -> None:
        self._internet, self._scratch, self._say = internet, scratch, say
        self.nodes: list[ChaosNode] = []
        self._count = count
        self.peer_ids: dict[str, int] = {}

    def start(self, *, timeout_s: float) -> None:
        """Start all; the first few are who the others are told to join. Raises NodeFailed."""
        joins: list[str] = []
        for number in range(self._count):
            half = number % 2
            host = self._internet.public(f"n{number}", 2 + number // 2 + 128 * half)
            node = ChaosNode(number, host, half, self._scratch, joins)
            self.nodes.append(node)
            node.spawn()
            if number < BOOTSTRAPS:
                node.process.wait_for("node_started", timeout_s=timeout_s)
                joins = [*joins, node.process.address]
        for node in self.nodes:
            node.process.wait_for("node_started", timeout_s=timeout_s)
            self.peer_ids[node.process.peer_id] = node.number
            self._say(f"node {node.number} listens at {node.host.address}")

    def table(self, body: bytes) -> set[int]:
        """The nodes with a running lease in one node's answer about its peers."""
        rows: list[dict[str, Any]] = json.loads(body)
        return {self.peer_ids[row["peer_id"]] for row in rows if row["lease_age_s"] is not None and not row["suspect"]}

    def tables(self) -> dict[int, set[int]]:
        """Every node's table now; all of them must run."""
        asked = {node.number: node.ask("/admin/peers") for node in self.nodes}
        return {number: self.table(answer.result(ANSWER_S * 2)) for number, answer in asked.items()}

    def begin(self, kind: str, node: ChaosNode) -> None:
        """Start one trouble."""
        if kind == "kill":
            node.process.kill()
        elif kind == "freeze":
            node.process.signal(signal.SIGSTOP)
        else:
            self._internet.cut(node.host)

    def end(self, kind: str, node: ChaosNode) -> None:
        """Undo it; a killed node still has to start then."""
        if kind == "kill":
            node.spawn()
        elif kind == "freeze":
            node.process.signal(signal.SIGCONT)
        else:
            self._internet.mend(node.host)

    def split(self, *, heal: bool = False) -> None:
        """Drop everything between the halves, silently; or no longer."""
        change = "-D" if heal else "-I"
        for node in self.nodes:
            if node.half == 0:
                node.host.run("iptables", change, "INPUT", "-s", HALVES[1], "-j", "DROP")
                node.host.run("iptables", change, "OUTPUT", "-d", HALVES[1], "-j", "DROP")

    def close(self) -> None:
        for node in self.nodes:
            node.close()


def wait_until(holds: Callable[[], bool], *, within_s: float, every_s: float = 0.5) -> float | None:
    """Seconds until ``holds`` was true; None if it never was."""
    began = time.monotonic()
    while True:
        if holds():
            return time.monotonic() - began
        if time.monotonic() - began > within_s:
            return None
        time.sleep(every_s)
