"""``receipts prove``, ``export``, ``import`` and ``verify`` in bulk, on ledgers of two nodes that worked together."""

from __future__ import annotations

import base64
import json
import sqlite3
from dataclasses import replace

import pytest

from peernode.ledger import Books, Database, ReceiptStore
from peernode.ledger.log import ReceiptLog
from peernode.ledger.log_heads import LogHeads
from peernode.node.home import Home
from peernode.node.keyfile import load_or_create
from peernode.wire.advert import sign_advert
from peernode.wire.countersignature import Countersignature, sign_countersignature
from peernode.wire.identity import Identity
from peernode.wire.log_head import head_of_advert
from peernode.wire.proof import open_proof
from peernode.wire.receipt import sign_receipt
from tests import samples

SIZE = 7


class Party:
    """A home with a key and a ledger."""

    def __init__(self, path):
        self.home = Home(path)
        self.home.prepare()
        self.identity: Identity = load_or_create(self.home.key_file)

    @property
    def id(self):
        return self.identity.peer_id

    def store(self):
        return ReceiptStore.open(self.home.ledger_file, own=self.id)


def work(provider, coordinator, count, *, first=1, countersigned=True):
    """Jobs of ``coordinator`` at ``provider``, in both ledgers."""
    giving, taking = provider.store(), coordinator.store()
    for number in range(first, first + count):

        def build(seq, previous, number=number):
            body = samples.receipt(
                request_id=f"req_{number}", coordinator=coordinator.id, provider=provider.id, seq=seq, previous=previous
            )
            return sign_receipt(body, provider.identity)

        signed = giving.append(build, now_ms=number)

        def total(cumulative, signed=signed):
            body = Countersignature("test", coordinator.id, provider.id, signed.digest, cumulative, 1)
            return sign_countersignature(body, coordinator.identity)

        if countersigned:
            giving.add_countersignature(taking.countersign(signed, total, now_ms=number), now_ms=number)
    giving.close()
    taking.close()


@pytest.fixture
def provider(tmp_path):
    return Party(tmp_path / "provider")


@pytest.fixture
def coordinator(tmp_path):
    return Party(tmp_path / "coordinator")


@pytest.fixture
def worked(provider, coordinator):
    work(provider, coordinator, SIZE)


def run(peernode, party, *words):
    return peernode("receipts", *words, "--home", party.home.path)


def exported(peernode, party, file, *words):
    answer = run(peernode, party, "export", file, *words)
    assert answer.code == 0
    return file


def verified(peernode, *words):
    answer = peernode("receipts", "verify", *words, "--json")
    return answer.code, json.loads(answer.out)


def test_a_receipt_is_proven_to_be_in_the_log(peernode, worked, provider, tmp_path):
    file = tmp_path / "it.proof"
    (said,) = json.loads(run(peernode, provider, "prove", "req_3", "--file", file, "--json").out)
    assert (said["kind"], said["number"], said["size"], said["peer"]) == ("inclusion", 3, SIZE, provider.id)
    proof = open_proof(file.read_bytes())
    assert len(file.read_bytes()) - len(proof.receipt.raw) < 1024
    answer = peernode("receipts", "verify", file)
    assert answer.code == 0
    assert answer.out.splitlines()[0] == f"✓ proof holds (req_3 is number 3 of {SIZE} in the log of {provider.id})"
    assert answer.out.splitlines()[-1] == "proof verified"


def test_a_changed_proof_is_refused(peernode, worked, provider, tmp_path):
    file = tmp_path / "it.proof"
    run(peernode, provider, "prove", "req_3", "--file", file)
    raw = bytearray(file.read_bytes())
    raw[60] ^= 1
    file.write_bytes(raw)
    answer = peernode("receipts", "verify", file)
    assert (answer.code, answer.out.splitlines()[-1]) == (1, "proof NOT verified: proof holds")


def test_growth_is_proven_between_any_two_sizes(peernode, worked, provider, tmp_path):
    file = tmp_path / "growth.proof"
    assert run(peernode, provider, "prove", "--since", "3", "--file", file).code == 0
    answer = peernode("receipts", "verify", file)
    assert f"only grew, from 3 to {SIZE} receipts" in answer.out
    assert "has not grown" in run(peernode, provider, "prove", "--since", str(SIZE), "--file", file).err


def test_only_the_provider_proves_and_only_what_there_is(peernode, worked, coordinator, provider):
    assert provider.id in run(peernode, coordinator, "prove", "req_3").err
    assert "no such receipt" in run(peernode, provider, "prove", "req_99").err
    assert "Nothing is known" in run(peernode, provider, "prove", coordinator.id).err
    assert run(peernode, provider, "prove").code == 2


def test_a_proof_of_two_logs_is_exported_and_verifies_anywhere(peernode, worked, coordinator, provider, tmp_path):
    heads = []
    for seq, root in ((5, b"a" * 32), (6, b"b" * 32)):
        body = replace(samples.advert(), peer=provider.id, seq=seq, receipts_log_size=9, receipts_log_root=root)
        heads.append(head_of_advert(sign_advert(body, provider.identity)))
    database = Database.open(coordinator.home.ledger_file, own=coordinator.id)
    LogHeads(database).see(heads, now_ms=1)
    database.close()
    file = tmp_path / "two.proof"
    assert run(peernode, coordinator, "prove", provider.id, "--file", file).code == 0
    answer = peernode("receipts", "verify", file)
    assert f"{provider.id} contradicts itself: two logs of 9 receipts" in answer.out
    # Whoever is given the file may keep it, and avoids that peer from then on.
    other = Party(tmp_path / "other")
    other.store().close()
    assert json.loads(run(peernode, other, "import", file, "--json").out)["restored"] == 1
    assert json.loads(run(peernode, other, "import", file, "--json").out)["known"] == 1
    database = Database.open_readonly(other.home.ledger_file, own=other.id)
    assert [proof.peer for proof in LogHeads(database).proofs()] == [provider.id]
    database.close()
    file.write_bytes(file.read_bytes()[:-1])
    assert run(peernode, other, "import", file).code == 1


def test_an_export_of_everything_verifies_with_its_log(peernode, worked, provider, tmp_path):
    file = exported(peernode, provider, tmp_path / "all.jsonl")
    code, report = verified(peernode, file)
    assert (code, report["receipts"], report["countersigned"], report["logs"]) == (0, SIZE, SIZE, 1)
    said = peernode("receipts", "verify", file)
    assert said.out.splitlines()[-1] == f"{SIZE} receipts, {SIZE} of them countersigned, a whole log: all verified"


def test_filters_of_an_export(peernode, worked, provider, coordinator, tmp_path):
    work(provider, provider, 1, first=50)
    for words, count in (
        (("--request", "req_2"), 1),
        (("--peer", coordinator.id), SIZE),
        (("--since", "6"), 3),
        (("--since", "2031-01-01"), 0),
    ):
        file = exported(peernode, provider, tmp_path / "some.jsonl", *words)
        assert len(file.read_bytes().splitlines()) == 1 + count
        code, report = verified(peernode, file)
        assert (code, report["receipts"], report["logs"]) == (0, count, 0)
    assert run(peernode, provider, "export", tmp_path / "x", "--since", "soon").code == 2


def test_receipts_without_countersignatures_are_counted_and_no_failure(peernode, provider, coordinator, tmp_path):
    work(provider, coordinator, 2, countersigned=False)
    code, report = verified(peernode, exported(peernode, provider, tmp_path / "all.jsonl"))
    assert (code, report["receipts"], report["countersigned"]) == (0, 2, 0)


def rewrite(file, change):
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(change(lines)))


def edited(line, **changes):
    return (json.dumps({**json.loads(line), **changes}, separators=(",", ":")) + "\n").encode()


def flipped(text):
    raw = bytearray(base64.b64decode(text))
    raw[len(raw) // 2] ^= 1
    return base64.b64encode(raw).decode()


def third(lines, **changes):
    """The lines with the third receipt edited; a function is given what the field was."""
    old = json.loads(lines[3])
    new = {name: change(old.get(name)) if callable(change) else change for name, change in changes.items()}
    return [*lines[:3], edited(lines[3], **new), *lines[4:]]


def headed(lines, **changes):
    return [edited(lines[0], **changes), *lines[1:]]


CHANGES = {
    "a space more": lambda lines: [lines[0], lines[1].replace(b'","', b'", "'), *lines[2:]],
    "no header": lambda lines: lines[1:],
    "another format": lambda lines: headed(lines, format="peernode-export/2"),
    "a bit of the checkpoint": lambda lines: headed(lines, checkpoint=flipped(json.loads(lines[0])["checkpoint"])),
    "a bit of a receipt": lambda lines: third(lines, receipt=flipped),
    "a bit of a countersignature": lambda lines: third(lines, countersignature=flipped),
    "another's countersignature": lambda lines: third(lines, countersignature=json.loads(lines[4])["countersignature"]),
    "a field more": lambda lines: third(lines, note="paid"),
    "half a line": lambda lines: [*lines[:3], lines[3][:100]],
    "not text": lambda lines: [*lines[:3], b"\xff\xfe\n"],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_export_is_refused(peernode, worked, provider, tmp_path, change):
    file = exported(peernode, provider, tmp_path / "all.jsonl")
    rewrite(file, CHANGES[change])
    answer = peernode("receipts", "verify", tmp_path, "--json")
    assert answer.code == 1
    assert json.loads(answer.out)["failures"]


def test_receipts_are_held_against_each_other(peernode, worked, provider, coordinator, tmp_path):
    """Each of these verifies alone."""
    store = provider.store()
    signed = [store.find(f"req_{number}")[0].receipt for number in (2, 3)]
    store.close()
    fork = sign_receipt(replace(signed[1].receipt, request_id="req_fork"), provider.identity)
    strange = sign_receipt(replace(signed[1].receipt, previous=b"x" * 32, seq=9), provider.identity)
    again = sign_receipt(replace(strange.receipt, seq=10), provider.identity)
    lines = [b'{"format":"peernode-export/1","checkpoint":null}\n']
    for number, each in enumerate((*signed, fork, strange, again), start=1):
        total = 6 if number > 3 else 6 * number
        body = Countersignature("test", coordinator.id, provider.id, each.digest, total, 1)
        made = sign_countersignature(body, coordinator.identity)
        lines.append(edited(b"{}", receipt=text(each.raw), countersignature=text(made.raw)))
    file = tmp_path / "all.jsonl"
    file.write_bytes(b"".join(lines))
    code, report = verified(peernode, file)
    said = {(failure["check"], failure["where"].split(":")[-1]) for failure in report["failures"]}
    assert code == 1
    # Two have number 3; which of them is the one too many depends on their digests.
    assert said & {("receipts of one provider are one chain", line) for line in ("3", "4")}
    assert ("receipts of one provider are one chain", "6") in said  # 10 does not follow 9
    assert any(check == "cumulative totals grow by what they are signed for" for check, _ in said)


def text(raw):
    return base64.b64encode(raw).decode()


def test_directories_files_and_ids_are_verified_in_bulk(peernode, worked, provider, coordinator, tmp_path):
    folder = tmp_path / "evidence"
    (folder / "below").mkdir(parents=True)
    exported(peernode, provider, folder / "all.jsonl")
    run(peernode, provider, "prove", "req_2", "--file", folder / "below" / "2.proof")
    run(peernode, provider, "show", "req_3", "--export", folder / "below" / "3.json")
    (folder / ".hidden").write_text("nothing of ours")
    code, report = verified(peernode, folder, "req_4", "--home", provider.home.path)
    assert (code, report["receipts"], report["proofs"], report["logs"]) == (0, SIZE + 2, 1, 1)
    (folder / "notes.txt").write_text("nothing of ours")
    code, report = verified(peernode, folder)
    assert code == 1
    assert [failure["where"] for failure in report["failures"]] == [str(folder / "notes.txt")]


def test_the_whole_home_verifies_from_its_first_receipt(peernode, worked, provider):
    store = provider.store()
    root = ReceiptLog(store.database).head()[1].hex()
    store.close()
    code, report = verified(peernode, "--all", "--home", provider.home.path)
    assert (code, report["receipts"], report["log"]) == (0, SIZE, {"size": SIZE, "root": root})
    with sqlite3.connect(provider.home.ledger_file) as db:
        db.execute("DROP TRIGGER log_nodes_no_update")
        db.execute("UPDATE log_nodes SET hash = zeroblob(32) WHERE level = 1 AND position = 1")
    db.close()
    code, report = verified(peernode, "--from-first", "--home", provider.home.path)
    assert code == 1
    assert [failure["check"] for failure in report["failures"]] == ["log of this node is what it signed"]


@pytest.mark.parametrize("who", ["provider", "coordinator"])
@pytest.mark.usefixtures("worked")
def test_a_lost_ledger_is_restored_from_an_export(peernode, provider, coordinator, tmp_path, who):
    party = {"provider": provider, "coordinator": coordinator}[who]
    store = party.store()
    head, balances = ReceiptLog(store.database).head(), Books(store.database).balances("")
    store.close()
    file = exported(peernode, party, tmp_path / "all.jsonl")
    for rest in party.home.path.glob("ledger.db*"):
        rest.unlink()
    answer = run(peernode, party, "import", file, "--json")
    assert json.loads(answer.out) == {"restored": SIZE, "known": 0, "refused": []}
    assert json.loads(run(peernode, party, "import", file, "--json").out)["known"] == SIZE
    store = party.store()
    assert ReceiptLog(store.database).head() == head
    assert Books(store.database).balances("") == balances
    assert store.owed(coordinator=coordinator.id, provider=provider.id) > 0
    store.close()
    assert run(peernode, party, "verify", "--all").code == 0


def test_what_does_not_belong_is_refused_by_name(peernode, worked, provider, coordinator, tmp_path):
    stranger, other = Party(tmp_path / "stranger"), Party(tmp_path / "other")
    file = exported(peernode, provider, tmp_path / "all.jsonl")
    answer = run(peernode, stranger, "import", file)
    assert answer.code == 1
    assert answer.out.splitlines()[-1] == f"0 restored, 0 were here already, {SIZE} refused"
    assert "req_1: This node is neither side of that receipt." in answer.out

    for rest in provider.home.path.glob("ledger.db*"):
        rest.unlink()
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:3], *lines[4:]]))
    answer = run(peernode, provider, "import", file)
    assert answer.code == 1
    assert "does not follow the last one" in answer.out
    assert answer.out.splitlines()[-1] == f"2 restored, 0 were here already, {SIZE - 3} refused"
    assert other.id not in answer.out


def test_nothing_is_imported_while_the_node_runs(peernode, worked, provider, tmp_path):
    file = exported(peernode, provider, tmp_path / "all.jsonl")
    with provider.home.occupied():
        answer = run(peernode, provider, "import", file)
    assert (answer.code, "Another node runs in this home" in answer.err) == (1, True)
