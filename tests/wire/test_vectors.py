"""The test vectors in docs/vectors: the code makes and reads exactly these bytes, and refuses what is to be refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from vector_values import NETWORK
from vectors import FOLDER, as_text, from_json, make_vectors

from peernode.wire import canonical
from peernode.wire.acknowledgement import open_acknowledgement
from peernode.wire.advert import open_advert
from peernode.wire.checkpoint import open_checkpoint
from peernode.wire.countersignature import open_countersignature
from peernode.wire.envelope import unseal
from peernode.wire.errors import WireError
from peernode.wire.identity import Identity, public_key_of
from peernode.wire.job_frames import decode_frame, encode_frame
from peernode.wire.merkle import check_consistency, check_inclusion, leaf_hash
from peernode.wire.offer import open_offer
from peernode.wire.prices import Prices
from peernode.wire.proof import open_proof
from peernode.wire.receipt import open_receipt, text_digest
from peernode.wire.renewal import open_renewal
from peernode.wire.settlement_note import open_settlement_note

MADE = make_vectors()
SIGNED = [name for name, vectors in MADE.items() if "envelope" in vectors]
READERS: dict[str, Callable[[bytes, str], Any]] = {
    "canonical": lambda raw, _: canonical.decode(raw),
    "advert": lambda raw, network: open_advert(raw, network=network).advert.to_fields(),
    "renewal": lambda raw, network: open_renewal(raw, network=network).renewal.to_fields(),
    "offer": lambda raw, network: open_offer(raw, network=network).to_fields(),
    "receipt": lambda raw, _: open_receipt(raw).receipt.to_fields(),
    "countersignature": lambda raw, _: open_countersignature(raw).countersignature.to_fields(),
    "acknowledgement": lambda raw, network: open_acknowledgement(raw, network=network).body.to_fields(),
    "settlement": lambda raw, network: open_settlement_note(raw, network=network).note.to_fields(),
    "checkpoint": lambda raw, _: open_checkpoint(raw).checkpoint.to_fields(),
    "proof": lambda raw, _: open_proof(raw),
    "job frame": lambda raw, _: decode_frame(raw),
}


def _load(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def test_the_folder_holds_exactly_these_files() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {*MADE, "README.md"}


@pytest.mark.parametrize("name", MADE)
def test_the_code_makes_exactly_what_the_file_holds(name: str) -> None:
    assert as_text(MADE[name]) == (FOLDER / name).read_text(encoding="utf-8")


def test_identities() -> None:
    for entry in _load("identity.json"):
        assert Identity.from_seed(bytes.fromhex(entry["seed"])).peer_id == entry["peer_id"]
        assert public_key_of(entry["peer_id"]).hex() == entry["public_key"]


def test_canonical_values() -> None:
    for entry in _load("canonical.json"):
        value = from_json(entry["value"])
        assert canonical.encode(value).hex() == entry["hex"]
        assert canonical.decode(bytes.fromhex(entry["hex"])) == value


@pytest.mark.parametrize("name", SIGNED)
def test_signed_bodies(name: str) -> None:
    file = _load(name)
    raw, kind = bytes.fromhex(file["envelope"]), file["kind"]
    fields = from_json(list(file["fields"].values()))
    assert canonical.encode(fields).hex() == file["body"]
    assert canonical.encode(READERS[kind](raw, NETWORK)).hex() == file["body"]
    envelope, _ = unseal(kind, raw)
    assert envelope.signature.hex() == file["signature"]
    assert envelope.digest.hex() == file["digest"]
    assert file["signed_bytes"] == (b"peernode/" + kind.encode() + b"/1\0").hex() + file["body"]


def test_digests() -> None:
    for entry in _load("digests.json"):
        if "text" in entry:
            assert text_digest(entry["text"]).hex() == entry["digest"]
        else:
            assert canonical.digest(canonical.encode(from_json(entry["value"]))).hex() == entry["digest"]


def test_credits() -> None:
    for entry in _load("credits.json"):
        counts = {name: entry[name] for name in ("prompt_tokens", "cached_tokens", "completion_tokens", "embedded")}
        assert Prices(*entry["prices"]).amount(**counts) == from_json(entry["credits"])


def test_merkle_trees() -> None:
    file = _load("merkle.json")
    entries, roots = (
        [bytes.fromhex(entry) for entry in file["entries"]],
        [bytes.fromhex(root) for root in file["roots"]],
    )
    for proof in file["inclusion"]:
        index, size, path = proof["index"], proof["size"], [bytes.fromhex(each) for each in proof["path"]]
        check_inclusion(leaf_hash(entries[index]), index, size, path, roots[size])
    for proof in file["consistency"]:
        old, new, path = proof["old"], proof["new"], [bytes.fromhex(each) for each in proof["path"]]
        check_consistency(old, new, path, roots[old], roots[new])


def test_proofs() -> None:
    for entry in _load("proofs.json"):
        raw = bytes.fromhex(entry["hex"])
        assert open_proof(raw).raw == raw
        assert type(open_proof(raw)).__name__.lower() == f"{entry['kind']}proof"


def test_job_frames() -> None:
    for entry in _load("job_frames.json"):
        payload = canonical.encode(from_json(entry["fields"]))
        assert payload.hex() == entry["payload"]
        assert encode_frame(decode_frame(payload)) == payload
        assert bytes.fromhex(entry["on_the_stream"]) == len(payload).to_bytes(4, "big") + payload


@pytest.mark.parametrize("entry", _load("refused.json"), ids=lambda entry: f"{entry['read_as']}: {entry['why']}")
def test_refused(entry: dict[str, str]) -> None:
    with pytest.raises(WireError) as refusal:
        READERS[entry["read_as"]](bytes.fromhex(entry["hex"]), entry["network"])
    assert refusal.value.code == entry["code"]
