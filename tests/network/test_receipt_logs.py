"""The log of receipts on real nodes: in adverts and departures, through restarts, and from the command line."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from typing import Any

import pytest
from nodes import NodeProcess, chat_stream

from peernode.ledger import Database
from peernode.ledger.log import ReceiptLog
from peernode.ledger.log_heads import LogHeads
from peernode.node.home import Home
from peernode.node.keyfile import load
from peernode.wire.checkpoint import Checkpoint, sign_checkpoint
from peernode.wire.log_head import head_of_checkpoint

pytestmark = pytest.mark.real
MODEL_ID = "SmolLM2-135M-Instruct.Q4_1"


def peernode(*words: object) -> tuple[int, Any]:
    command = [sys.executable, "-m", "peernode", *(str(word) for word in words), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def ask(node: NodeProcess, count: int) -> None:
    body = {"model": MODEL_ID, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4}
    for _ in range(count):
        for _ in chat_stream(node.url, body):
            pass


def restart(node: NodeProcess) -> None:
    """Stop it, and start it where the others know it."""
    node.listen = node.address.split("/p2p/")[0]
    assert node.stop() == 0
    node.start()


def newest_of(home, peer):
    """Size and root that the node of a closed home remembers of a peer."""
    database = Database.open_readonly(Home(home).ledger_file, own=load(Home(home).key_file).peer_id)
    try:
        return LogHeads(database).newest().get(peer), database.own
    finally:
        database.close()


def test_the_log_of_a_real_provider(launch, model_path, tmp_path):
    provider = launch("provider", "--model", str(model_path), "--no-http")
    edge = launch("edge", joins=(provider,))
    edge.wait_for_offer(provider.peer_id)
    ask(edge, 3)
    provider_id = provider.peer_id
    # Started again: the log is checked, and the first advert states it.
    before = edge.mark
    restart(provider)
    provider.wait_for_model()
    checked = provider.wait_for("log_verified")
    edge.wait_for_offer(provider.peer_id, since=before)
    ask(edge, 2)
    log = provider.admin("/admin/status")["receipts_log"]
    assert (checked["size"], log["size"]) == (3, 3)
    assert checked["root"] == log["root"]
    before = edge.mark
    assert provider.stop() == 0
    edge.wait_for("peer_departed", where=lambda line: line["peer"] == provider_id, since=before)
    assert edge.stop() == 0

    homes = {"provider": tmp_path / "provider", "edge": tmp_path / "edge"}
    # The departure stated all five.
    database = Database.open_readonly(Home(homes["provider"]).ledger_file, own=provider_id)
    size, root = ReceiptLog(database).head()
    database.close()
    assert size == 5
    assert newest_of(homes["edge"], provider_id)[0] == (size, root)

    code, report = peernode("receipts", "verify", "--all", "--home", homes["provider"])
    assert (code, report["receipts"], report["log"]) == (0, 5, {"size": 5, "root": root.hex()})
    request = peernode("receipts", "list", "--home", homes["edge"])[1][-1]["request_id"]
    file = tmp_path / "first.proof"
    code, (proof,) = peernode("receipts", "prove", request, "--file", file, "--home", homes["provider"])
    assert (code, proof["number"], proof["size"]) == (0, 1, 5)
    assert peernode("receipts", "verify", file)[0] == 0


def test_a_provider_that_keeps_two_logs_is_avoided_and_shown(launch, model_path, tmp_path):
    """Its earlier life signed another log of the size that this one has."""
    provider = launch("provider", "--model", str(model_path), "--no-http")
    edge = launch("edge", joins=(provider,))
    edge.wait_for_offer(provider.peer_id)
    ask(edge, 1)
    assert edge.stop() == 0
    home = Home(tmp_path / "edge")
    forked = Checkpoint("test", provider.peer_id, 1, b"f" * 32, 1)
    other = sign_checkpoint(forked, load(Home(tmp_path / "provider").key_file))
    database = Database.open(home.ledger_file, own=load(home.key_file).peer_id)
    LogHeads(database).see([head_of_checkpoint(other)], now_ms=1)
    database.close()
    restart(provider)
    provider.wait_for_model()
    edge.start()
    caught = edge.wait_for("peer_keeps_two_logs")
    assert (caught["peer"], caught["reason"]) == (provider.peer_id, "two logs of 1 receipts")
    (row,) = (row for row in edge.admin("/admin/peers") if row["peer_id"] == provider.peer_id)
    assert row["two_logs"] == "two logs of 1 receipts"
    route = subprocess.run(
        [sys.executable, "-m", "peernode", "route", MODEL_ID, "--explain", "--home", str(home.path)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "two logs of 1 receipts" in route.stdout
    file = tmp_path / "two.proof"
    assert peernode("receipts", "prove", provider.peer_id, "--file", file, "--home", home.path)[0] == 0
    assert peernode("receipts", "verify", file)[0] == 0


def test_a_node_whose_log_was_harmed_does_not_start(launch, model_path, tmp_path):
    node = launch("node", "--model", str(model_path))
    node.wait_for_model()
    ask(node, 2)
    assert node.stop() == 0
    with sqlite3.connect(Home(tmp_path / "node").ledger_file) as db:
        db.execute("DROP TRIGGER log_nodes_no_update")
        db.execute("UPDATE log_nodes SET hash = zeroblob(32)")
    db.close()
    command = [sys.executable, "-m", "peernode", "serve", "--home", str(tmp_path / "node"), "--network", "test",
               "--listen", "/ip4/127.0.0.1/tcp/0", "--http", "127.0.0.1:0"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "This node's log of receipts is not what it signed." in done.stderr
