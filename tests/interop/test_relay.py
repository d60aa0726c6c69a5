"""Our relay carries a js-libp2p node: it reserves there, is called through the circuit, and answers."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from peernode.mesh import Mesh
from peernode.mesh.ping import PROTOCOL as PING
from peernode.mesh.ping import measure
from peernode.mesh.settings import MeshSettings
from peernode.wire.identity import Identity
from tests.interop.js_process import JsNode, prepare
from tests.market.scripted import now_ms

pytestmark = pytest.mark.real

SEED = bytes(range(80, 112))
JS = Identity.from_seed(SEED).peer_id


@asynccontextmanager
async def running(number: int, *, join: tuple[str, ...] = (), settings: MeshSettings) -> AsyncIterator[Mesh]:
    mesh = Mesh(
        identity=Identity.from_seed(bytes([number]) * 32),
        network="test",
        listen=["/ip4/127.0.0.1/tcp/0"],
        join=join,
        clock_ms=now_ms,
        rng=random.Random(number),
        settings=settings,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(mesh.run)
        yield mesh
        nursery.cancel_scope.cancel()


async def test_a_js_node_behind_our_relay_is_reached(tmp_path: Path) -> None:
    folder = await trio.to_thread.run_sync(prepare, tmp_path / "js")
    async with running(1, settings=MeshSettings(relay="on")) as relay:
        address = relay.addresses()[0]
        js = JsNode(
            folder, network="test", join=address, listen=f"{address}/p2p-circuit", seed=SEED.hex(), provides=True
        )
        try:
            told = await trio.to_thread.run_sync(js.wait_for, "waiting")
            assert told["addresses"] == [f"{address}/p2p-circuit/p2p/{JS}"]
            async with running(2, join=(address,), settings=MeshSettings()) as caller:
                snapshot = caller.directory.snapshot()
                with trio.fail_after(30):
                    while JS not in snapshot.adverts:
                        snapshot = await caller.directory.wait_change(snapshot.version)
                assert snapshot.adverts[JS].advert.addresses == tuple(told["addresses"])
                async with caller.open(JS, PING, timeout_s=20) as stream:
                    trips = await measure(stream, count=2, interval_s=0)
                assert len(trips.answered) == 2
        finally:
            js.kill()
