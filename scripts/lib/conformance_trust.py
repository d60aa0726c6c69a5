"""Rows 73 to 92: receipts and their proof, and the network beneath."""

from __future__ import annotations

import subprocess
import sys

from conformance_asking import Asker, Rows

ROWS = Rows()


def receipt_of(it: Asker) -> dict[str, object]:
    return it.get(f"/v1/receipts/{it.chat()['request_id']}")


@ROWS.row(73, "A signed receipt", "of every answer")
def _(it: Asker) -> None:
    assert receipt_of(it)["verified"]["ok"]


@ROWS.row(74, "The node's own signature", "and the edge's")
def _(it: Asker) -> None:
    assert {each["role"] for each in receipt_of(it)["signatures"]} == {"node", "edge"}


@ROWS.row(75, "It covers model, node, tokens, prompt, reply", "fields under the signature")
def _(it: Asker) -> None:
    fields = receipt_of(it)["receipt"].keys()
    assert {"model_id", "provider", "prompt_tokens", "completion_tokens", "request_digest"} <= fields


@ROWS.row(76, "An offline verifier", "peernode receipts verify")
def _(it: Asker) -> None:
    name = it.chat()["request_id"]
    command = [sys.executable, "-m", "peernode", "receipts", "verify", name, "--home", str(it.edge.home)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr[-100:]


ROWS.not_yet(77, "Requests that the client signs", "a client's key is checked, not a signature of his")
ROWS.not_yet(78, "Attestation of an enclave", "none")
ROWS.not_yet(79, "The prompt encrypted to the edge", "TLS is for a proxy to add")
ROWS.not_yet(80, "The prompt encrypted to the node", "the mesh's own encryption, hop by hop")
ROWS.not_yet(81, "Reputation", "the router's own records; to be checked through peernode peers")
ROWS.not_yet(82, "Encrypted memory of sessions", "nothing is kept between two calls")
ROWS.not_yet(83, "Receipts kept elsewhere", "both sides have them; peernode receipts export")


@ROWS.row(84, "Anyone can run a node", "three run here")
def _(it: Asker) -> None:
    assert len(it.get("/v1/nodes")) >= 3


ROWS.not_yet(85, "Behind NAT", "tests/network/test_nat_namespaces.py")


@ROWS.row(86, "Peer to peer, no centre", "the edge's answers come from both providers")
def _(it: Asker) -> None:
    for node in it.providers:
        assert it.chat(provider={"only": [node.peer_id]})["provider"] == node.peer_id


ROWS.not_yet(87, "Discovery on a LAN, AutoNAT", "tests/network/test_discovery_lan.py")
ROWS.not_yet(88, "Sessions with and without state", "without; the client sends the conversation")


@ROWS.row(89, "Slots and lines", "shown for each node")
def _(it: Asker) -> str:
    return f"{max(node['max_concurrent_jobs'] for node in it.get('/v1/nodes'))} slots"


ROWS.not_yet(90, "A setup command", "none yet")
ROWS.not_yet(91, "Dashboard and chat pages", "none yet")
ROWS.not_yet(92, "504 when no token comes in time", "tests/edge; here a provider has to be slow")
