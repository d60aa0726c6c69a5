"""What an operator is told of peers: whose clock is wrong, who is banned, who is meant by a part of an id."""

from __future__ import annotations

import pytest
import trio

from peernode.edge.errors import UnknownPeer
from peernode.mesh.directory import Directory
from peernode.mesh.limits.bans import Ban
from peernode.node.peer_view import PeerView
from peernode.wire.advert import Advert, sign_advert
from peernode.wire.identity import Identity

OWN, NEAR, FAR = (Identity.from_seed(bytes([number]) * 32) for number in (1, 2, 3))
NOW_MS = 1_700_000_000_000


class Mesh:
    """A mesh with a real directory and nobody connected."""

    peer_id = OWN.peer_id

    def __init__(self):
        self.directory = Directory(network="test", clock_ms=lambda: NOW_MS, own=OWN.peer_id)
        self.joined = frozenset({FAR.peer_id})
        self.banned = []

    def peers(self):
        return []

    def bans(self):
        return self.banned

    def hear(self, identity, *, ahead_ms=0, age_ms=0, direct=True):
        advert = Advert(
            network="test", peer=identity.peer_id, seq=1, issued_ms=NOW_MS + ahead_ms - age_ms, lease_ms=15_000,
            addresses=(), version="0", slots=0, free_slots=0, queued=0, models=(),
        )  # fmt: skip
        self.directory.offer(sign_advert(advert, identity), age_ms=age_ms, direct=direct)


@pytest.fixture
def mesh():
    return Mesh()


async def test_a_clock_that_is_wrong_is_told_from_a_word_that_is_old(mesh, mock_clock):
    view = PeerView(mesh)
    mesh.hear(NEAR, ahead_ms=20_000, age_ms=4_000)
    mesh.hear(FAR, ahead_ms=-12_500)
    rows = {row["peer_id"]: row for row in view.rows()}
    assert rows[NEAR.peer_id]["skew_ms"] == pytest.approx(20_000, abs=2)
    assert rows[NEAR.peer_id]["lease_age_s"] == 4.0
    assert rows[FAR.peer_id]["skew_ms"] == pytest.approx(-12_500, abs=2)


async def test_of_a_peer_that_others_told_of_the_clock_is_not_known(mesh, mock_clock):
    mesh.hear(NEAR, ahead_ms=20_000, direct=False)
    rows = {row["peer_id"]: row for row in PeerView(mesh).rows()}
    assert rows[NEAR.peer_id]["skew_ms"] is None
    assert rows[NEAR.peer_id]["lease_age_s"] == 0.0


async def test_joined_and_banned_peers_are_shown_though_nothing_is_heard_of_them(mesh, mock_clock):
    mesh.banned = [Ban(NEAR.peer_id, "192.0.2.1", "bad gossip", trio.current_time() + 42)]
    rows = {row["peer_id"]: row for row in PeerView(mesh).rows()}
    assert rows[NEAR.peer_id]["banned"] == {"reason": "bad gossip", "left_s": 42.0}
    assert rows[FAR.peer_id]["banned"] is None
    assert rows[FAR.peer_id]["lease_age_s"] is rows[FAR.peer_id]["skew_ms"] is rows[FAR.peer_id]["version"] is None


@pytest.mark.parametrize("name", [OWN.peer_id, "", "12D3KooW", "nobody"])
async def test_a_name_of_nobody_or_of_several_is_refused(mesh, mock_clock, name):
    mesh.hear(NEAR)
    with pytest.raises(UnknownPeer) as refused:
        await PeerView(mesh).ping(name, 1)
    assert refused.value.remedy
