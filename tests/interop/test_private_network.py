"""A private network is the one of libp2p's specification: js-libp2p joins with the key, and not with another."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from peernode.mesh import Mesh
from peernode.mesh.settings import MeshSettings
from peernode.wire.advert import sign_advert
from peernode.wire.identity import Identity
from tests.interop.js_process import JsNode, prepare
from tests.market.scripted import now_ms
from tests.samples import PROVIDER, advert

pytestmark = pytest.mark.real

KEY = bytes(range(32))


@pytest.fixture(scope="module")
def js_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("interop") / "js")


@asynccontextmanager
async def private_mesh() -> AsyncIterator[Mesh]:
    """A mesh with a key, and an advert of its own."""
    mesh = Mesh(
        identity=PROVIDER,
        network="test",
        listen=["/ip4/127.0.0.1/tcp/0"],
        join=[],
        clock_ms=now_ms,
        rng=random.Random(1),
        settings=MeshSettings(shared_key=KEY),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(mesh.run)
        word = advert(seq=now_ms(), issued_ms=now_ms(), lease_ms=300_000, addresses=())
        await mesh.publish(sign_advert(word, PROVIDER))
        yield mesh
        nursery.cancel_scope.cancel()


def js_node(folder: Path, mesh: Mesh, key: bytes | None) -> JsNode:
    return JsNode(
        folder,
        network="test",
        join=mesh.addresses()[0],
        listen="/ip4/127.0.0.1/tcp/0",
        seed="07" * 32,
        model="none of these",
        others=[],
        shared_key=key.hex() if key else None,
    )


async def test_with_the_key_adverts_go_both_ways(js_folder: Path) -> None:
    async with private_mesh() as mesh:
        js = js_node(js_folder, mesh, KEY)
        try:
            await trio.to_thread.run_sync(
                lambda: js.wait_for("peer_joined", where=lambda line: line["peer"] == PROVIDER.peer_id)
            )
            snapshot = mesh.directory.snapshot()
            with trio.fail_after(30):
                while Identity.from_seed(b"\x07" * 32).peer_id not in snapshot.adverts:
                    snapshot = await mesh.directory.wait_change(snapshot.version)
        finally:
            js.kill()


@pytest.mark.parametrize("key", [None, bytes(32)], ids=["none", "another"])
async def test_without_the_key_nobody_gets_in(js_folder: Path, key: bytes | None) -> None:
    async with private_mesh() as mesh:
        js = js_node(js_folder, mesh, key)
        try:
            await trio.to_thread.run_sync(lambda: js.wait_for("failed", timeout_s=60))
        finally:
            js.kill()
        assert [line for line in js.said if line["event"] == "peer_joined"] == []
        assert mesh.peers() == []
