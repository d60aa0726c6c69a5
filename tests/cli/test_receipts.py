"""Receipts offline: listing, exporting, verifying, and that no change of an exported file's meaning goes unseen."""

from __future__ import annotations

import base64
import copy
import json
import subprocess
import sys

import pytest

from peernode.cli.receipt_export import render
from peernode.cli.receipts_verify import verify_file

REQUEST = "req_01ARZ3NDEKTSV4RRFFQ69G5FAV"


@pytest.fixture
def exported(peernode, put, tmp_path):
    put(REQUEST)
    file = tmp_path / "receipt.json"
    assert peernode("receipts", "show", REQUEST, "--export", file).code == 0
    return file


def fails(file):
    return [check.name for group in verify_file(file) for check in group if not check.passed]


def test_list_shows_the_newest_receipts(peernode, put):
    put(REQUEST)
    (row,) = json.loads(peernode("receipts", "list", "--json").out)
    assert (row["request_id"], row["role"], row["state"], row["credits"]) == (
        REQUEST,
        "coordinator",
        "countersigned",
        "0.000002",
    )
    assert REQUEST in peernode("receipts", "list").out
    assert peernode("receipts", "list", "--before", "5").out == "No receipts yet.\n"


def test_show_names_every_signed_field(peernode, put):
    put(REQUEST)
    said = peernode("receipts", "show", REQUEST)
    assert "model_digest" in said.out
    assert "cumulative" in said.out
    document = json.loads(peernode("receipts", "show", REQUEST, "--json").out)
    assert document["format"] == "peernode-receipts/1"
    assert document["receipts"][0]["view"]["receipt"]["request_id"] == REQUEST


def test_a_receipt_verifies_from_the_ledger_and_from_a_file(peernode, exported):
    for what in (REQUEST, exported):
        answer = peernode("receipts", "verify", what)
        assert answer.code == 0
        lines = answer.out.splitlines()
        assert lines[-1] == "receipt verified"
        assert all(line.startswith("✓ ") for line in lines[:-1])
        for name in ("provider's signature", "coordinator's signature", "credits are tokens times prices"):
            assert any(name in line for line in lines)


def test_verifying_a_file_needs_no_home_and_no_node(exported, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "peernode", "receipts", "verify", str(exported), "--home", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "receipt verified")


def test_a_wrong_bill_is_named_and_exits_with_1(peernode, put):
    put(REQUEST, credits=1)
    answer = peernode("receipts", "verify", REQUEST)
    assert answer.code == 1
    assert answer.out.splitlines()[-1] == "receipt NOT verified: credits are tokens times prices"
    assert any(line.startswith("✗ credits are tokens times prices") for line in answer.out.splitlines())
    report = json.loads(peernode("receipts", "verify", REQUEST, "--json").out)
    assert (report["verified"], report["failed"]) == (False, "credits are tokens times prices")


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    else:
        yield path


def changed(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return ("x" if value[:1] != "x" else "y") + value[1:]


def test_every_field_of_the_view_is_held_against_the_signed_bytes(exported):
    document = json.loads(exported.read_text())
    paths = list(leaves(document["receipts"][0]["view"]))
    assert len(paths) > 30
    for path in paths:
        edited = copy.deepcopy(document)
        inner = edited["receipts"][0]["view"]
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = changed(inner[path[-1]])
        exported.write_bytes(render(edited))
        assert fails(exported) == ["view matches the signed fields"], path


def test_a_view_of_other_types_or_with_more_in_it_is_refused(exported):
    document = json.loads(exported.read_text())
    for edit in (
        lambda view: view["receipt"].update(transformed=0),
        lambda view: view["receipt"].update(part=0.0),
        lambda view: view["receipt"].update(note="paid twice"),
        lambda view: view.update(countersignature=None),
        lambda view: view["receipt"].pop("credits"),
    ):
        edited = copy.deepcopy(document)
        edit(edited["receipts"][0]["view"])
        exported.write_bytes(render(edited))
        assert fails(exported) == ["view matches the signed fields"]


@pytest.mark.parametrize("key", ["receipt", "countersignature"])
def test_every_byte_of_what_was_signed_counts(exported, key):
    document = json.loads(exported.read_text())
    raw = base64.b64decode(document["receipts"][0][key])
    for at in range(len(raw)):
        damaged = bytearray(raw)
        damaged[at] ^= 1
        edited = copy.deepcopy(document)
        edited["receipts"][0][key] = base64.b64encode(bytes(damaged)).decode()
        del edited["receipts"][0]["view"]
        exported.write_bytes(render(edited))
        assert fails(exported), at


@pytest.mark.real
def test_any_one_changed_byte_of_the_file_is_refused(exported):
    good = exported.read_bytes()
    for at, byte in enumerate(good):
        damaged = bytearray(good)
        damaged[at] ^= 0x29 if byte == 0x20 else 0x01  # a space becomes a tab, which JSON would not mind
        exported.write_bytes(bytes(damaged))
        assert fails(exported), at


def test_a_file_that_says_the_same_in_another_form_is_refused(exported):
    document = json.loads(exported.read_text())
    for text in (json.dumps(document), json.dumps(document, indent=4), exported.read_text() + "\n"):
        exported.write_text(text)
        assert fails(exported) == ["file is a receipt export"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        '{"format": "peernode-receipts/1", "receipts": []}',
        '{"format": "peernode-receipts/2", "receipts": [{}]}',
        '{"format": "peernode-receipts/1", "receipts": [{"receipt": 5, "countersignature": null}]}',
        '{"format": "peernode-receipts/1", "receipts": [{"receipt": "=", "countersignature": null}]}',
        '{"format": "peernode-receipts/1", "receipts": [{}], "paid": true}',
        '{"format": "x", "format": "peernode-receipts/1", "receipts": [{}]}',
    ],
)
def test_what_is_no_export_is_not_verified(peernode, tmp_path, text):
    file = tmp_path / "x.json"
    file.write_text(text)
    answer = peernode("receipts", "verify", file)
    assert answer.code == 1
    assert answer.out.splitlines()[-1] == "receipt NOT verified: file is a receipt export"


def test_a_receipt_that_was_never_countersigned_is_not_verified(exported):
    document = json.loads(exported.read_text())
    document["receipts"][0]["countersignature"] = None
    del document["receipts"][0]["view"]
    exported.write_bytes(render(document))
    assert fails(exported) == ["countersignature is present"]


def test_what_is_not_there_is_a_typed_error(peernode, put, tmp_path):
    assert "code: ledger" in peernode("receipts", "list", "--home", tmp_path / "none").err
    put(REQUEST)
    assert "code: unknown_receipt" in peernode("receipts", "verify", "req_none").err
    assert "code: bad_export" in peernode("receipts", "verify", tmp_path / "none.json").err
    assert "code: export_failed" in peernode("receipts", "show", REQUEST, "--export", tmp_path / "no" / "x").err
