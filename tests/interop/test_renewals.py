"""Renewals of a js-libp2p node and of ours keep each other's leases alive, without the adverts."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import trio

from peernode.mesh import Mesh
from peernode.wire.advert import sign_advert
from peernode.wire.identity import Identity
from peernode.wire.renewal import Renewal, sign_renewal
from tests.interop.js_process import JsNode, prepare
from tests.market.scripted import now_ms
from tests.samples import PROVIDER, advert

pytestmark = pytest.mark.real

SEED = bytes(range(70, 102))
JS = Identity.from_seed(SEED).peer_id


async def test_both_sides_believe_renewals(tmp_path: Path) -> None:
    folder = await trio.to_thread.run_sync(prepare, tmp_path / "js")
    mesh = Mesh(
        identity=PROVIDER,
        network="test",
        listen=["/ip4/127.0.0.1/tcp/0"],
        join=[],
        clock_ms=now_ms,
        rng=random.Random(1),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(mesh.run)
        word = sign_advert(advert(seq=now_ms(), issued_ms=now_ms(), lease_ms=60_000, addresses=()), PROVIDER)
        await mesh.publish(word)
        js = JsNode(
            folder,
            network="test",
            join=mesh.addresses()[0],
            listen="/ip4/127.0.0.1/tcp/0",
            seed=SEED.hex(),
            model="none of these",
            others=[],
        )
        try:
            await trio.to_thread.run_sync(lambda: js.wait_for("peer_joined", where=_is_ours))
            now = now_ms()
            mesh.renew(sign_renewal(Renewal("test", PROVIDER.peer_id, now, now, 60_000, 3, 1, word.digest), PROVIDER))
            await trio.to_thread.run_sync(lambda: js.wait_for("peer_renewed", where=_is_ours))
            with trio.fail_after(60):
                await _renewal_of(mesh, JS)
            held = mesh.directory.holding(JS)
            assert held is not None
            assert held.standing.renewal is not None
            assert held.standing.advert.seq > held.standing.signed.advert.seq
        finally:
            js.kill()
        nursery.cancel_scope.cancel()


async def _renewal_of(mesh: Mesh, peer: str) -> None:
    version = -1
    while (held := mesh.directory.holding(peer)) is None or held.standing.renewal is None:
        version = (await mesh.directory.wait_word(version)).version


def _is_ours(line: dict[str, str]) -> bool:
    return line["peer"] == PROVIDER.peer_id
