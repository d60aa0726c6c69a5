"""What is remembered of peers over restarts, for how long, and what a damaged file does: nothing."""

import json
import stat

import pytest
import structlog
import trio

from peernode.mesh.known_peers import MAX_ADDRESSES, MAX_AGE_MS, MAX_FILE_BYTES, MAX_PEERS, KnownPeers
from peernode.wire.identity import Identity

PEERS = [Identity.from_seed(number.to_bytes(32, "big")).peer_id for number in range(MAX_PEERS + 3)]


class Clock:
    now_ms = 1_700_000_000_000

    def __call__(self):
        return self.now_ms


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "peers.json"


def address(port):
    return f"/ip4/203.0.113.7/tcp/{port}"


def test_reached_peers_are_known_after_a_restart_the_latest_first(path, clock):
    known = KnownPeers(path, network="n", clock_ms=clock)
    for number, peer in enumerate(PEERS[:3]):
        known.reached(peer, address(4000 + number))
        clock.now_ms += 1000
    known.seen(PEERS[0])
    known.save()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = KnownPeers(path, network="n", clock_ms=clock)
    assert again.latest() == [PEERS[0], PEERS[2], PEERS[1]]
    assert again.addresses(PEERS[2]) == [address(4002)]


def test_the_address_that_worked_last_comes_first_and_only_a_few_are_kept(clock):
    known = KnownPeers(None, network="n", clock_ms=clock)
    for port in range(1, 10):
        known.reached(PEERS[0], address(port))
    known.reached(PEERS[0], address(8))
    assert known.addresses(PEERS[0]) == [address(port) for port in (8, 9, 7, 6)]
    assert len(known.addresses(PEERS[0])) == MAX_ADDRESSES


def test_after_a_start_old_acquaintances_are_dialled_beside_the_latest(path, clock):
    known = KnownPeers(path, network="n", clock_ms=clock)
    for peer in PEERS[:20]:
        known.reached(peer, address(4001))
        clock.now_ms += 1000
    known.save()
    again = KnownPeers(path, network="n", clock_ms=clock)
    assert again.choose(6) == [PEERS[19], PEERS[0], PEERS[18], PEERS[1], PEERS[17], PEERS[2]]
    assert set(again.choose(100)) == set(PEERS[:20])
    assert KnownPeers(None, network="n", clock_ms=clock).choose(8) == []


def test_what_was_never_reached_is_not_remembered(clock):
    known = KnownPeers(None, network="n", clock_ms=clock)
    known.seen(PEERS[0])
    known.reached(PEERS[1], "/dns4/node.example/tcp/4001")
    assert known.latest() == []


def test_the_number_is_bounded_and_the_old_are_forgotten(path, clock):
    known = KnownPeers(path, network="n", clock_ms=clock)
    for peer in PEERS:
        known.reached(peer, address(4001))
        clock.now_ms += 1
    assert len(known.latest()) == MAX_PEERS
    assert PEERS[0] not in known.latest()
    known.save()
    assert path.stat().st_size < MAX_FILE_BYTES / 4
    clock.now_ms += MAX_AGE_MS - 1
    assert KnownPeers(path, network="n", clock_ms=clock).latest() == [PEERS[-1]]


def test_a_time_in_the_future_does_not_keep_a_peer_for_ever(path, clock):
    known = KnownPeers(path, network="n", clock_ms=clock)
    clock.now_ms += 10 * MAX_AGE_MS
    known.reached(PEERS[0], address(4001))
    known.save()
    clock.now_ms -= 10 * MAX_AGE_MS
    again = KnownPeers(path, network="n", clock_ms=clock)
    assert again.latest() == [PEERS[0]]
    clock.now_ms += MAX_AGE_MS + 1
    assert again.latest() == []


def entry(**changes):
    return {"id": PEERS[0], "addresses": [address(4001)], "seen_ms": Clock.now_ms, **changes}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"format": 1, "network": "n", "peers": [',
        b"[" * 100_000,
        b" " * (MAX_FILE_BYTES + 1),
        json.dumps({"format": 2, "network": "n", "peers": []}).encode(),
        *(
            json.dumps({"format": 1, "network": "n", "peers": [bad]}).encode()
            for bad in (
                None,
                entry(id="12D3KooNobody"),
                entry(id=7),
                entry(addresses=["/ip4/203.0.113.7/udp/1"]),
                entry(addresses=[7]),
                entry(addresses=[address(port) for port in range(1, 50)]),
                entry(seen_ms="yesterday"),
                {"id": PEERS[0]},
            )
        ),
    ],
)
def test_a_damaged_file_is_set_aside_and_told(path, clock, content):
    path.write_bytes(content)
    with structlog.testing.capture_logs() as logs:
        known = KnownPeers(path, network="n", clock_ms=clock)
    assert [line["event"] for line in logs] == ["known_peers_damaged"]
    assert known.latest() == []
    assert path.with_suffix(".damaged").read_bytes() == content
    known.reached(PEERS[1], address(4001))
    known.save()
    assert KnownPeers(path, network="n", clock_ms=clock).latest() == [PEERS[1]]


def test_the_peers_of_another_network_are_not_ours(path, clock):
    known = KnownPeers(path, network="theirs", clock_ms=clock)
    known.reached(PEERS[0], address(4001))
    known.save()
    assert KnownPeers(path, network="ours", clock_ms=clock).latest() == []


def test_a_file_that_cannot_be_written_or_read_is_told_and_nothing_else(tmp_path, clock):
    path = tmp_path / "peers.json"
    path.mkdir()
    with structlog.testing.capture_logs() as logs:
        known = KnownPeers(path, network="n", clock_ms=clock)
        known.reached(PEERS[0], address(4001))
        known.save()
    assert [line["event"] for line in logs] == ["known_peers_not_read", "known_peers_not_saved"]
    assert known.latest() == [PEERS[0]]


async def test_a_change_is_on_disk_at_once_and_the_last_one_when_the_node_stops(path, clock):
    known = KnownPeers(path, network="n", clock_ms=clock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(known.keep_saved)
        known.reached(PEERS[0], address(4001))
        with trio.fail_after(60):
            while not path.exists():
                await trio.sleep(0.01)
        assert KnownPeers(path, network="n", clock_ms=clock).latest() == [PEERS[0]]
        known.reached(PEERS[1], address(4001))
        nursery.cancel_scope.cancel()
    assert set(KnownPeers(path, network="n", clock_ms=clock).latest()) == set(PEERS[:2])
