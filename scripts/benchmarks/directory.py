"""What the mesh costs a node: beside 20 peers when idle, and with a directory of 2000 nodes, at steady state.

One real node in a process of its own; its neighbours are real hosts in another one, which speak the real protocols over
loopback sockets and feed it the signed words of simulated nodes at the pace that a network of that size has. Each
neighbour hears most words elsewhere too, as in a network of many paths, and an eighth of them from the node alone.
CPU is user and system time of the node's process, bytes are those of its TCP sockets, both ways together.
How many rounds a change needs to be known everywhere is ``scripts/bench spreading``.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog
import trio
from rich.console import Console
from rich.table import Table

from peernode.mesh.mesh import Mesh
from peernode.mesh.pace import lease_ms, renew_every_s
from peernode.wire.advert import Advert, ModelCard, SignedAdvert, sign_advert
from peernode.wire.identity import Identity
from peernode.wire.renewal import Renewal, SignedRenewal, sign_renewal

NETWORK = "bench"
LOOPBACK = "/ip4/127.0.0.1/tcp/0"
DELAY_S = 3.0
# Looking costs, too.
SAMPLE_S = 5.0
CASES = {"idle beside 20 peers": (20, 0, 1.0, 5.0), "directory of 2000 nodes": (8, 2000, 5.0, 50.0)}


def clock_ms() -> int:
    return time.time_ns() // 1_000_000


class Simulated:
    """A node that exists only by its word: a signed advert, and renewals of it."""

    def __init__(self, rng: random.Random, identity: Identity | None = None, addresses: tuple[str, ...] = ()) -> None:
        self.identity = identity or Identity.from_seed(rng.randbytes(32))
        self.addresses = addresses or (f"/ip4/10.0.0.1/tcp/4001/p2p/{self.identity.peer_id}",)
        self.advert: SignedAdvert | None = None
        self.seq = 0

    def state(self, live: int) -> SignedAdvert:
        self.seq = max(self.seq + 1, clock_ms())
        card = ModelCard("SmolLM2-135M-Instruct", bytes(32), "llama", 135_000_000, "Q4_1", 8192, ("chat", "tools"))
        body = Advert(
            NETWORK, self.identity.peer_id, self.seq, clock_ms(), lease_ms(live), self.addresses, "0", 8, 8, 0, (card,)
        )
        self.advert = sign_advert(body, self.identity)
        return self.advert

    def renew(self, live: int) -> SignedRenewal:
        assert self.advert is not None
        self.seq = max(self.seq + 1, clock_ms())
        body = Renewal(NETWORK, self.identity.peer_id, self.seq, clock_ms(), lease_ms(live), 8, 0, self.advert.digest)
        return sign_renewal(body, self.identity)


def a_mesh(rng: random.Random, join: list[str]) -> tuple[Mesh, Identity]:
    identity = Identity.from_seed(rng.randbytes(32))
    mesh = Mesh(identity=identity, network=NETWORK, listen=[LOOPBACK], join=join, clock_ms=clock_ms, rng=rng)
    return mesh, identity


def socket_bytes() -> int:
    """Bytes acknowledged and received on all TCP sockets of this process (struct tcp_info of Linux)."""
    total = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if not str(entry.readlink()).startswith("socket:"):
                continue
            with socket.fromfd(int(entry.name), socket.AF_INET, socket.SOCK_STREAM) as one:
                info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
        except OSError:
            continue  # closed since, or no TCP
        if len(info) >= 136:
            total += sum(struct.unpack_from("=QQ", info, 120))
    return total


async def run_node() -> None:
    """The node that is measured: tells its address, then every five seconds what it has used so far."""
    mesh, identity = a_mesh(random.Random(1), [])
    async with trio.open_nursery() as nursery:
        await nursery.start(mesh.run)
        own = Simulated(random.Random(1), identity, tuple(mesh.addresses()))
        await mesh.publish(own.state(1))
        print(json.dumps(mesh.addresses()[0]), flush=True)
        renewed_s = trio.current_time()
        while True:
            await trio.sleep(SAMPLE_S)
            live = len(mesh.directory.snapshot().adverts)
            if trio.current_time() - renewed_s >= renew_every_s(live):
                renewed_s = trio.current_time()
                mesh.renew(own.renew(live))
            sync = sum(flow.bytes_in + flow.bytes_out for name, flow in mesh.traffic.flows.items() if "sync" in name)
            used = [time.monotonic(), time.process_time(), socket_bytes(), sync, live, len(mesh.peers())]
            print(json.dumps(used), flush=True)


class Elsewhere:
    """A neighbour's session with the rest of the network, of which only the effect exists here."""

    def ask(self, peer: str) -> None:
        """The rest of the network answers by itself."""

    def say_enough(self, peer: str) -> None:
        """The rest of the network goes on."""

    def gather(self) -> None:
        """The rest of the network needs nothing from here."""


async def run_neighbours(address: str, count: int, nodes: int) -> None:
    """The neighbours and the network behind them."""
    rng = random.Random(2)
    meshes = [a_mesh(rng, [address]) for _ in range(count)]
    async with trio.open_nursery() as nursery:
        for mesh, _ in meshes:
            mesh._sync.sessions["elsewhere"] = Elsewhere()  # type: ignore[assignment]
            await nursery.start(mesh.run)
        own = [Simulated(rng, identity, tuple(mesh.addresses())) for mesh, identity in meshes]
        others = [Simulated(rng) for _ in range(nodes)]
        for number, simulated in enumerate(own + others):
            nursery.start_soon(_live, simulated, number, [mesh for mesh, _ in meshes], count + nodes, rng)
        await trio.sleep_forever()


async def _live(simulated: Simulated, number: int, meshes: list[Mesh], live: int, rng: random.Random) -> None:
    """Say one simulated node's words to the neighbours for ever."""
    first = simulated.state(live)
    own = meshes[number] if number < len(meshes) else None
    deaf = meshes[number % len(meshes)] if own is None else None

    async def hear(mesh: Mesh, renewal: SignedRenewal | None, delay_s: float) -> None:
        await trio.sleep(delay_s)
        if renewal is None:
            mesh.directory.offer(first, age_ms=int(delay_s * 1000))
        else:
            mesh.directory.renew(renewal, age_ms=int(delay_s * 1000))
        if mesh is not own:
            mesh._sync.brought(first.advert.peer, mesh.directory.latest_seq(first.advert.peer), "elsewhere")

    async with trio.open_nursery() as nursery:
        for mesh in meshes:
            nursery.start_soon(hear, mesh, None, 0.0)
        await trio.sleep(rng.random() * renew_every_s(live))
        while True:
            renewal = simulated.renew(live)
            for mesh in meshes:
                if mesh is not deaf:
                    nursery.start_soon(hear, mesh, renewal, 0.0 if mesh is own else rng.random() * DELAY_S)
            await trio.sleep(renew_every_s(live))


@dataclass(frozen=True)
class Cost:
    """What one second costs: part of a core, KB on sockets, KB of sync messages; and what was there."""

    cpu: float
    kilobytes: float
    sync_kilobytes: float
    live: int
    peers: int


def samples(process: subprocess.Popen[str]) -> Iterator[list[float]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def measure(neighbours: int, nodes: int, warm_up_s: float, seconds: float) -> Cost:
    me = [sys.executable, "-P", __file__]
    started: list[subprocess.Popen[str]] = []
    try:
        node = subprocess.Popen([*me, "--role", "node"], stdout=subprocess.PIPE, text=True)
        started.append(node)
        assert node.stdout is not None
        address = json.loads(node.stdout.readline())
        started.append(
            subprocess.Popen(
                [*me, "--role", "neighbours", "--address", address, "--shape", str(neighbours), str(nodes)], text=True
            )
        )
        first: list[float] | None = None
        begin = time.monotonic()
        for sample in samples(node):
            if first is None and sample[0] - begin >= warm_up_s:
                first = sample
            elif first is not None and sample[0] - first[0] >= seconds:
                took = sample[0] - first[0]
                cpu, total, sync = ((now - before) / took for now, before in zip(sample[1:4], first[1:4], strict=True))
                return Cost(cpu, total / 1000, sync / 1000, int(sample[4]), int(sample[5]))
        raise RuntimeError("the node ended early")
    finally:
        for process in started:
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="not used")
    parser.add_argument("--warm-up", type=float, default=120.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    parser.add_argument("--json", type=argparse.FileType("w"))
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--role", choices=("node", "neighbours"), help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    parser.add_argument("--shape", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    if options.role == "node":
        trio.run(run_node)
        return
    if options.role == "neighbours":
        trio.run(run_neighbours, options.address, *options.shape)
        return
    if options.quick:
        options.warm_up, options.seconds = 5.0, 5.0
    table = Table("case", "live", "peers", "CPU", "allowed", "sockets", "allowed", "of that sync")
    results = {}
    for name, (neighbours, nodes, allowed_cpu, allowed_kb) in CASES.items():
        if options.case not in (None, name):
            continue
        cost = measure(neighbours, nodes, options.warm_up, options.seconds)
        results[name] = vars(cost)
        table.add_row(
            name,
            str(cost.live),
            str(cost.peers),
            f"{cost.cpu:.2%}",
            f"{allowed_cpu:g} %",
            f"{cost.kilobytes:.1f} KB/s",
            f"{allowed_kb:g} KB/s",
            f"{cost.sync_kilobytes:.1f} KB/s",
        )
    Console(width=110).print(table)
    if options.json:
        json.dump(results, options.json, indent=1)


if __name__ == "__main__":
    main()
