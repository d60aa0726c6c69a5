"""How many rounds a change needs until every node of a network knows it: the node's own sync on simulated connections.

Each node has its directory, leases, sync sessions and choice of neighbours as they run in a node; only sockets, keys of
bystanders and time are made up, so that two thousand nodes fit into one process and each run is the same. A round is
one pause of a sync session with few neighbours. Gossip, which is faster, is left out: this is the slow way.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import trio
import trio.testing

from peernode.mesh.directory import Directory
from peernode.mesh.errors import FrameTimeout, StreamClosed
from peernode.mesh.frames import FrameStream
from peernode.mesh.pace import lease_ms
from peernode.mesh.recruiting import Picture, recruits
from peernode.mesh.sync import Sync
from peernode.mesh.sync_session import BATCH_S
from peernode.wire.advert import Advert, SignedAdvert, sign_advert
from peernode.wire.identity import Identity
from peernode.wire.renewal import Renewal, SignedRenewal, sign_renewal

NETWORK = "simulated"
EPOCH_MS = 1_800_000_000_000
# One way, between any two.
DELAY_S = 0.05
GIVE_UP_S = 120.0
BETWEEN_S = 3.0


def clock_ms() -> int:
    """Unix time in the simulation."""
    return EPOCH_MS + int(trio.current_time() * 1000)


class End:
    """One side of a conversation over memory, with what ``FrameStream`` offers to a sync session."""

    def __init__(self, peer_id: str) -> None:
        self.peer_id = peer_id
        self._into, self._frames = trio.open_memory_channel[tuple[float, bytes]](math.inf)
        self._other = self

    @classmethod
    def pair(cls, one: str, two: str) -> tuple[End, End]:
        """What ``one`` holds, whose peer is ``two``, and the other way round."""
        left, right = cls(two), cls(one)
        left._other, right._other = right, left
        return left, right

    async def send(self, payload: bytes) -> None:
        await trio.lowlevel.checkpoint()
        try:
            self._other._into.send_nowait((trio.current_time() + DELAY_S, payload))
        except trio.BrokenResourceError:
            raise StreamClosed("The other side is gone.") from None

    async def receive(self, timeout_s: float) -> bytes:
        try:
            with trio.fail_after(timeout_s):
                arrives_s, payload = await self._frames.receive()
        except trio.TooSlowError:
            raise FrameTimeout("The other side is quiet.") from None
        except trio.EndOfChannel:
            raise StreamClosed("The other side ended.") from None
        await trio.sleep_until(arrives_s)
        return payload

    async def abort(self) -> None:
        self._frames.close()
        self._other._into.close()


def neighbours(count: int, rng: random.Random) -> list[tuple[int, int]]:
    """Who is connected to whom: each node chooses as a node does, knowing all others, in the order of their numbers."""
    names = [str(number) for number in range(count)]
    edges: list[tuple[int, int]] = []
    around: list[set[str]] = [set() for _ in names]
    for number, name in enumerate(names):
        others = [other for other in names if other != name]
        picture = Picture(
            kept={}, connected=around[number], outbound=set(), known=(), strangers=others, passed_over=set()
        )
        for chosen in recruits(picture, rng):
            if chosen in around[number]:
                continue
            edges.append((number, int(chosen)))
            around[number].add(chosen)
            around[int(chosen)].add(name)
    return edges


@dataclass(frozen=True)
class Spread:
    """``rounds`` until everybody knew, for each change one after the other; ``degree`` is the mean of neighbours."""

    nodes: int
    degree: float
    rounds: tuple[float, ...]

    @property
    def allowed(self) -> float:
        """Twice the logarithm of the size."""
        return 2 * math.log2(self.nodes)


class Originator:
    """The node whose word changes."""

    def __init__(self, directory: Directory, identity: Identity, nodes: int) -> None:
        self._directory, self._identity, self._nodes = directory, identity, nodes
        self._advert: SignedAdvert | None = None

    def change(self, number: int) -> int:
        """Say something new: an advert first, then renewals with another load, an advert again, and so on."""
        if number % 4 == 0:
            body = Advert(
                NETWORK, self._identity.peer_id, clock_ms(), clock_ms(), lease_ms(self._nodes), (), "0", 8, 8, 0
            )
            self._advert = sign_advert(body, self._identity)
            self._directory.offer(self._advert)
        else:
            self._directory.renew(self._renewal(number))
        return self._directory.latest_seq(self._identity.peer_id)

    def _renewal(self, number: int) -> SignedRenewal:
        assert self._advert is not None
        own, now_ms = self._identity.peer_id, clock_ms()
        body = Renewal(NETWORK, own, now_ms, now_ms, lease_ms(self._nodes), number % 8, 0, self._advert.digest)
        return sign_renewal(body, self._identity)


async def _simulate(count: int, changes: int, seed: int) -> Spread:
    rng = random.Random(seed)
    identities = [Identity.from_seed(rng.randbytes(32)) for _ in range(count)]
    directories = [Directory(network=NETWORK, clock_ms=clock_ms, own=each.peer_id) for each in identities]
    syncs = [
        Sync(peer_id=identity.peer_id, directory=directory, rng=random.Random(rng.random()))
        for identity, directory in zip(identities, directories, strict=True)
    ]
    edges = neighbours(count, rng)
    rounds = []
    async with trio.open_nursery() as nursery:
        for one, two in edges:
            ends = End.pair(identities[one].peer_id, identities[two].peer_id)
            for number, end in zip((one, two), ends, strict=True):
                # As much of a stream as a session uses.
                stream: FrameStream = end  # type: ignore[assignment]
                nursery.start_soon(syncs[number].serve, stream)
        await trio.sleep(3 * BATCH_S)
        source = rng.randrange(count)
        originator = Originator(directories[source], identities[source], count)
        for number in range(changes):
            began_s = trio.current_time()
            seq = originator.change(number)
            with trio.fail_after(GIVE_UP_S):
                for directory in directories:
                    while directory.latest_seq(identities[source].peer_id) < seq:
                        await directory.wait_word(directory.version)
            rounds.append((trio.current_time() - began_s) / BATCH_S)
            await trio.sleep(BETWEEN_S)
        nursery.cancel_scope.cancel()
    return Spread(count, 2 * len(edges) / count, tuple(rounds))


def simulate(count: int, *, changes: int = 6, seed: int = 1) -> Spread:
    """A network of ``count`` nodes, one of which says ``changes`` new things. Raises TooSlowError if one is lost."""
    spread: Spread = trio.run(_simulate, count, changes, seed, clock=trio.testing.MockClock(autojump_threshold=0))
    return spread
