"""A million mutated messages against everything a node reads from others, and what became of them."""

from __future__ import annotations

import logging
import random
import sys
import time
from collections import Counter
from dataclasses import replace

import structlog
import trio
from gossip_mutations import attack
from mutations import Broken, run
from vector_values import ADVERT, PROVIDER, STRANGER

from peernode.mesh import Mesh
from peernode.mesh.gossip import topic_of
from peernode.wire.advert import sign_advert

MESSAGES, SEED = 1_000_000, 1
GOSSIP_SHARE = 100
NETWORK = "fuzz"


async def _gossip(rounds: int, seed: int) -> Counter[str]:
    now_ms = time.time_ns() // 1_000_000
    mesh = Mesh(
        identity=STRANGER,
        network=NETWORK,
        listen=["/ip4/127.0.0.1/tcp/0"],
        join=[],
        clock_ms=lambda: time.time_ns() // 1_000_000,
        rng=random.Random(seed),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(mesh.run)
        advert = replace(ADVERT, network=NETWORK, issued_ms=now_ms, seq=now_ms, lease_ms=600_000)
        raw = sign_advert(advert, PROVIDER).raw
        sent = await attack(
            mesh, address=mesh.addresses()[0], topic=topic_of(NETWORK), advert=raw, rounds=rounds, seed=seed
        )
        nursery.cancel_scope.cancel()
    return sent


async def _fuzz(messages: int, seed: int) -> Counter[str]:
    over_sockets = messages // GOSSIP_SHARE
    ends = await run(messages - over_sockets, seed)
    sent = await _gossip(over_sockets, seed)
    ends.update({f"gossip: {kind}": number for kind, number in sent.items()})
    return ends


def main() -> int:
    """Print how the messages ended; 1 if a promise was broken."""
    messages, seed = (int(value) for value in [*sys.argv[1:3], *(str(MESSAGES), str(SEED))[len(sys.argv[1:3]) :]])
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    started = time.monotonic()
    try:
        ends = trio.run(_fuzz, messages, seed)
    except Broken as broken:
        sys.stdout.write(f"BROKEN: {broken}\n")
        return 1
    for end, number in sorted(ends.items()):
        sys.stdout.write(f"{number:>9}  {end}\n")
    sys.stdout.write(f"{messages} messages in {time.monotonic() - started:.0f} s, seed {seed}: none accepted\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
