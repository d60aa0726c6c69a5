"""docs/protocol.md names the fields, the frames and the bounds that the code has."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from vectors import FIELDS

from peernode.chat.request import ChatRequest
from peernode.market.advertising import LOG_PAUSE_S, RATES_PAUSE_RENEWALS
from peernode.market.failures import _BY_CODE
from peernode.market.patience import (
    ACCEPT_S,
    ACK_EVERY,
    ACK_S,
    COUNTERSIGN_S,
    END_S,
    MOST_UNACKNOWLEDGED,
    OFFER_S,
    RECEIPT_S,
    STALL_S,
)
from peernode.mesh.leases import CLOCK_TOLERANCE_MS
from peernode.mesh.pace import LEASE_RENEWALS, MAX_RENEW_S, RENEW_S, UNSTRETCHED_NODES
from peernode.mesh.sync_messages import MAX_PEERS, MAX_RECORDS
from peernode.wire import bounds
from peernode.wire.acknowledgement import MAX_ACKNOWLEDGEMENT_BYTES
from peernode.wire.advert import MAX_ADVERT_BYTES, ModelCard
from peernode.wire.checkpoint import MAX_CHECKPOINT_BYTES
from peernode.wire.countersignature import MAX_COUNTERSIGNATURE_BYTES
from peernode.wire.job_frames import _DECODERS, MAX_FRAME_BYTES
from peernode.wire.log_frames import LOG_DECODERS
from peernode.wire.merkle import MAX_PATH
from peernode.wire.proof import FORMAT, MAX_PROOF_BYTES
from peernode.wire.receipt import MAX_RECEIPT_BYTES
from peernode.wire.receipt_frames import DECODERS as RECEIPT_DECODERS
from peernode.wire.receipt_frames import MAX_RECORDS as MOST_RECEIPTS
from peernode.wire.renewal import MAX_RENEWAL_BYTES
from peernode.wire.settlement_note import MAX_NOTE_BYTES

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
TABLES = {
    "advert": FIELDS["advert"].split(),
    "renewal": FIELDS["renewal"].split(),
    "model": [field.name for field in fields(ModelCard)],
    "offer": FIELDS["offer"].split(),
    "request": [field.name for field in fields(ChatRequest)],
    "receipt": FIELDS["receipt"].split(),
    "countersignature": FIELDS["countersignature"].split(),
    "checkpoint": FIELDS["checkpoint"].split(),
    "acknowledgement": FIELDS["acknowledgement"].split(),
    "settlement": FIELDS["settlement"].split(),
}


def _numbered_tables() -> list[list[str]]:
    """The second columns of all tables whose first column counts from one."""
    found: list[list[str]] = []
    for number, name in re.findall(r"^\| (\d+) \| (\w+) \|", TEXT, re.MULTILINE):
        if number == "1":
            found.append([])
        assert int(number) == len(found[-1]) + 1
        found[-1].append(name)
    return found


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_has_the_fields_of_the_code_in_their_order(kind: str) -> None:
    assert TABLES[kind] in _numbered_tables()


def test_the_frames_of_a_job_are_all_there() -> None:
    assert len(_DECODERS) in map(len, _numbered_tables())


def test_the_frames_about_receipts_are_all_there() -> None:
    assert len(RECEIPT_DECODERS) - len(LOG_DECODERS) in map(len, _numbered_tables())
    assert f"| ≤ {MOST_RECEIPTS} |" in TEXT


@pytest.mark.parametrize(
    "bound",
    [
        MAX_ADVERT_BYTES,
        bounds.MAX_OFFER_BYTES,
        bounds.MAX_OFFER_FRAME_BYTES,
        bounds.MAX_IMAGES_BYTES,
        MAX_RECEIPT_BYTES,
        MAX_COUNTERSIGNATURE_BYTES,
        MAX_NOTE_BYTES,
        MAX_ACKNOWLEDGEMENT_BYTES,
        MAX_FRAME_BYTES,
        MAX_RENEWAL_BYTES,
        MAX_CHECKPOINT_BYTES,
        MAX_PROOF_BYTES,
    ],
)
def test_a_bound_is_named(bound: int) -> None:
    assert f"{bound:,}".replace(",", " ") in TEXT


def test_the_bounds_of_sync_are_named() -> None:
    assert f"≤ {MAX_PEERS} entries" in TEXT
    assert f"≤ {MAX_RECORDS} entries" in TEXT


@pytest.mark.parametrize("code", _BY_CODE)
def test_an_error_code_is_named(code: str) -> None:
    assert f"`{code}`" in TEXT


@pytest.mark.parametrize(
    "words",
    [
        f"the provider {OFFER_S:g} s for the offer and {COUNTERSIGN_S:g} s for the countersignature",
        f"the coordinator {ACCEPT_S:g} s for accept or busy, at most {STALL_S:g} s between two frames of tokens",
        f"at the latest every {ACK_EVERY} tokens",
        f"no more than {MOST_UNACKNOWLEDGED} tokens beyond the last one",
        f"when it has waited {ACK_S:g} s for the next",
        f"{RECEIPT_S:g} s for the receipt after finished, {END_S:g} s for end",
        f"renews every {RENEW_S:g} s × max(1, *n* ÷ {UNSTRETCHED_NODES}), at most every {MAX_RENEW_S:g} s",
        f"issued more than {CLOCK_TOLERANCE_MS // 1000} s in its own future",
        {2: "twice", 3: "three times"}[LEASE_RENEWALS] + " that",
    ],
)
def test_times_are_those_of_the_code(words: str) -> None:
    assert words in " ".join(TEXT.split())


def test_the_log_is_described_as_it_is_kept() -> None:
    text = " ".join(TEXT.split())
    assert f"`{FORMAT}`" in text
    assert f"at most {MAX_PATH} hashes" in text
    assert f"is at least {LOG_PAUSE_S:g} s old" in text
    # Where so many renewals take longer than that pause.
    assert f"more than {LOG_PAUSE_S / (RATES_PAUSE_RENEWALS * RENEW_S) * UNSTRETCHED_NODES:g} nodes twelve" in text
    assert RATES_PAUSE_RENEWALS == 12
