"""Hostile traffic on a node's mesh port; after each kind the node still answers a chat through the mesh."""

from __future__ import annotations

import os
import random
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import proc
import pytest
import trio
from attack_watch import attacking, limited_by, shown_of
from mesh_attacks import ATTACKS
from nodes import NodeProcess

from peernode.mesh import Mesh
from peernode.wire.identity import Identity
from peernode.wire.job_frames import PROTOCOL
from tests.market.scripted import now_ms
from tests.network.conftest import MODEL_ID

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def victims(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    """(edge, provider): both are attacked, and chat goes from one to the other."""
    folder = tmp_path_factory.mktemp("victims")
    provider = NodeProcess(folder / "provider", "--network", "test", "--model", str(model_path), name="provider")
    provider.start()
    edge = NodeProcess(folder / "edge", "--network", "test", "--join", provider.address, name="edge").start()
    edge.wait_for_offer(provider.peer_id)
    yield edge, provider
    for node in (edge, provider):
        node.kill()


def assert_still_answers(victims: tuple[NodeProcess, NodeProcess]) -> None:
    edge, provider = victims
    body = {"model": MODEL_ID, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
    answer = httpx.post(f"{edge.url}/v1/chat/completions", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.json()["provider"] == provider.peer_id


def address_of(node: NodeProcess) -> tuple[str, int]:
    parts = node.address.split("/")
    return parts[2], int(parts[4])


def test_garbage_on_the_port(victims: tuple[NodeProcess, NodeProcess]) -> None:
    for node in victims:
        for payload in (os.urandom(4096), b"\x13/multistream/1.0.0\n" + os.urandom(2048), b"GET / HTTP/1.1\r\n\r\n"):
            with socket.create_connection(address_of(node), timeout=5) as raw:
                raw.sendall(payload)
    assert_still_answers(victims)


def test_five_hundred_connections_opened_and_dropped(victims: tuple[NodeProcess, NodeProcess]) -> None:
    for node in victims:
        for number in range(500):
            with socket.create_connection(address_of(node), timeout=10) as raw:
                if number % 2:
                    raw.sendall(b"\x13/multistream/1.0.0\n")
                if number % 5 == 0:  # with a reset instead of an orderly close
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert_still_answers(victims)


async def attack(node: NodeProcess, number: int, payload: bytes, ending: str) -> None:
    """Connect as a proper peer, open the job protocol, send bytes that are no frame, and leave in some way."""
    identity = Identity.from_seed(os.urandom(32))  # nobody pays for the attack before
    mesh = Mesh(
        identity=identity,
        network="test",
        listen=["/ip4/127.0.0.1/tcp/0"],
        join=[node.address],
        clock_ms=now_ms,
        rng=random.Random(number),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(mesh.run)
        snapshot = mesh.directory.snapshot()
        while node.peer_id not in snapshot.adverts:
            snapshot = await mesh.directory.wait_change(snapshot.version)
        for _ in range(3):  # one more giant, and the peer is banned
            async with mesh.open(node.peer_id, PROTOCOL, timeout_s=10) as stream:
                await stream._stream.write(payload)
                if ending == "reset":
                    await stream.abort()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("payload", "ending"),
    [
        pytest.param(os.urandom(2000), "end", id="garbage after the handshake"),
        pytest.param(struct.pack(">I", 1000) + b"only this much", "end", id="stops in mid-frame"),
        pytest.param(struct.pack(">I", 1000) + b"only this much", "reset", id="resets in mid-frame"),
        pytest.param(struct.pack(">I", 0xFFFFFFFF) + b"x" * 1000, "end", id="announces four gigabytes"),
    ],
)
async def test_a_hostile_peer(victims: tuple[NodeProcess, NodeProcess], payload: bytes, ending: str) -> None:
    for number, node in enumerate(victims, start=11):
        with trio.fail_after(60):
            await attack(node, number, payload, ending)
    await trio.to_thread.run_sync(assert_still_answers, victims)


@pytest.mark.parametrize("kind", ATTACKS)
def test_chat_goes_on_while_an_attack_lasts_and_the_attacker_is_shown(
    victims: tuple[NodeProcess, NodeProcess], kind: str
) -> None:
    """Banned, or limited in the metrics, as ``ATTACKS`` says. How fast chat is meanwhile: ``scripts/chaos attacks``."""
    _, provider = victims
    assert_still_answers(victims)
    before, mib = limited_by(provider), proc.rss_mib(provider.pid)
    with attacking(kind, provider) as attacker:
        deadline = time.monotonic() + 120  # on a busy machine an attacker takes long to start
        while not shown_of(kind, provider, before):
            assert attacker.poll() is None, "the attacker ended by itself"
            assert time.monotonic() < deadline, "the node shows nothing of the attacker"
            assert_still_answers(victims)
        for _ in range(3):
            assert_still_answers(victims)
    assert proc.rss_mib(provider.pid) < mib + 64


def test_the_nodes_never_restarted_or_leaked(victims: tuple[NodeProcess, NodeProcess]) -> None:
    """Runs last in this file: after all of the above, the processes are the same and hold few descriptors."""
    for node in victims:
        assert node.running
        deadline = time.monotonic() + 30  # the attackers' last connections close in the background
        while len(os.listdir(f"/proc/{node.pid}/fd")) >= 100 and time.monotonic() < deadline:  # noqa: PTH208
            time.sleep(0.1)
        assert len(os.listdir(f"/proc/{node.pid}/fd")) < 100  # noqa: PTH208
