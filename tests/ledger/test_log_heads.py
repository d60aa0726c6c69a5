"""What others signed of their logs: remembered within bounds, and held against whoever contradicts himself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from peernode.ledger import Database
from peernode.ledger import log_heads as module
from peernode.ledger.log_heads import MAX_OF_A_PEER, LogHeads
from peernode.wire.advert import sign_advert
from peernode.wire.identity import Identity
from peernode.wire.log_head import LogHead, head_of_advert
from peernode.wire.proof import open_proof
from tests.samples import COORDINATOR, PROVIDER, STRANGER, advert


@pytest.fixture
def database(where: str) -> Iterator[Database]:
    opened = Database.open(where, own=COORDINATOR.peer_id)
    yield opened
    opened.close()


def said(seq: int, size: int, root: bytes, who: Identity = PROVIDER, **changes: object) -> LogHead:
    body = replace(advert(), peer=who.peer_id, seq=seq, receipts_log_size=size, receipts_log_root=root * 32, **changes)
    head = head_of_advert(sign_advert(body, who))
    assert head is not None
    return head


def test_a_log_that_grows_is_remembered(database: Database) -> None:
    heads = LogHeads(database)
    for seq in range(1, 4):
        assert heads.see([said(seq, seq, bytes([seq]))], now_ms=seq) == []
    assert heads.see([said(9, 3, b"\x03")], now_ms=9) == []
    assert heads.newest() == {PROVIDER.peer_id: (3, b"\x03" * 32)}
    assert [head.size for head in heads.of(PROVIDER.peer_id)] == [1, 2, 3]
    assert heads.proofs() == []


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (said(6, 9, b"b"), "two logs of 9 receipts"),
        (said(6, 8, b"b"), "its log shrank from 9 to 8 receipts"),
        (said(4, 10, b"b"), "its log shrank from 10 to 9 receipts"),
    ],
)
def test_who_contradicts_himself_is_caught_once_and_for_good(database: Database, second: LogHead, reason: str) -> None:
    heads = LogHeads(database)
    assert heads.see([said(5, 9, b"a"), said(5, 2, b"x", STRANGER)], now_ms=1) == []
    (proof,) = heads.see([second], now_ms=2)
    assert (proof.peer, proof.reason) == (PROVIDER.peer_id, reason)
    assert open_proof(proof.raw) == proof
    assert heads.see([said(7, 1, b"c")], now_ms=3) == []
    assert LogHeads(database).proofs() == [proof]


def test_a_proof_that_somebody_else_found_is_kept(database: Database, where: str) -> None:
    other = Database.open(where, own=STRANGER.peer_id)  # nodes that share a database know each for itself
    (proof,) = LogHeads(other).see([said(5, 9, b"a"), said(6, 9, b"b")], now_ms=1)
    other.close()
    heads = LogHeads(database)
    assert [heads.add(proof, now_ms=1), heads.add(proof, now_ms=2)] == [True, False]
    assert heads.proofs() == [proof]


def test_no_proof_against_oneself_is_kept(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "own.db", own=PROVIDER.peer_id)
    heads = LogHeads(database)
    assert heads.see([said(5, 9, b"a"), said(6, 9, b"b")], now_ms=1) == []
    assert heads.proofs() == []
    database.close()


def test_the_memory_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_IN_ALL", 12)
    heads = LogHeads(database)
    heads.see([said(seq, seq, bytes([seq])) for seq in range(1, MAX_OF_A_PEER + 5)], now_ms=1)
    assert [head.size for head in heads.of(PROVIDER.peer_id)] == list(range(5, MAX_OF_A_PEER + 5))
    heads.see([said(seq, seq, bytes([seq]), STRANGER) for seq in range(1, MAX_OF_A_PEER + 1)], now_ms=2)
    assert len(heads.of(PROVIDER.peer_id)) == 12 - MAX_OF_A_PEER
    assert len(heads.of(STRANGER.peer_id)) == MAX_OF_A_PEER


def test_a_very_long_advert_is_compared_but_not_kept(database: Database) -> None:
    long = said(
        6, 9, b"b", version="v" * 64, addresses=tuple(f"/ip4/1.2.3.4/tcp/{n}/p2p/{'x' * 990}" for n in range(16))
    )
    heads = LogHeads(database)
    assert heads.see([replace(long, raw=long.raw + bytes(16 * 1024))], now_ms=1) == []
    assert heads.of(PROVIDER.peer_id) == []
    heads.see([said(5, 9, b"a")], now_ms=1)
    (proof,) = heads.see([long], now_ms=2)
    assert proof.reason == "two logs of 9 receipts"
