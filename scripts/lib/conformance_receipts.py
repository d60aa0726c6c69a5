"""Rows 73 to 83 about receipts: whose they are, what they cover, who can check them, and what follows from them."""

from __future__ import annotations

import base64
import hashlib
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
import trio
from conformance_asking import CHAT, USER, Asker, Rows
from conformance_further import peernode, told
from nacl.signing import VerifyKey
from nodes import NodeProcess

from peernode.wire.receipt import Receipt
from tests.market.scripted import ScriptedEngine, party
from tests.market.test_dishonest_peers import LyingProvider, signed
from tests.samples import CARD

ROWS = Rows()


def receipt_of(it: Asker, **changes: Any) -> dict[str, Any]:
    return it.get(f"/v1/receipts/{it.chat(**changes)['request_id']}")


def blake2b(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()


@ROWS.row(73, "A signed receipt", "of every answer, whole or streamed: every check of it passes")
def _(it: Asker) -> str:
    found = receipt_of(it)["verified"]
    streamed = it.get(f"/v1/receipts/{it.chunks()[0]['request_id']}")["verified"]
    assert found["ok"]
    assert streamed["ok"]
    return f"{len(found['checks'])} checks"


@ROWS.row(74, "The node's own signature on its work", "checked here by hand, with the key in the provider's peer id")
def _(it: Asker) -> str:
    found = receipt_of(it)
    assert {each["role"] for each in found["signatures"]} == {"node", "edge"}
    (node,) = [each for each in found["signatures"] if each["role"] == "node"]
    assert node["peer"] in {provider.peer_id for provider in it.providers}
    by_hand(node, found["canonical"])
    return f"…{node['peer'][-8:]}"


def by_hand(signature: dict[str, str], canonical: str) -> None:
    """Raises BadSignatureError."""
    VerifyKey(bytes.fromhex(signature["key"])).verify(base64.b64decode(canonical), bytes.fromhex(signature["sig"]))


@ROWS.row(
    75, "It covers model, node, tokens, prompt, reply", "the reply's digest made anew here; the model's is its file's"
)
def _(it: Asker) -> str:
    answer = it.chat()
    found = it.get(f"/v1/receipts/{answer['request_id']}")["receipt"]
    assert found["text_digest"] == blake2b(answer["choices"][0]["message"]["content"])
    assert found["provider"] == answer["provider"]
    assert (found["prompt_tokens"], found["completion_tokens"]) == tuple(
        answer["usage"][name] for name in ("prompt_tokens", "completion_tokens")
    )
    other = receipt_of(it, messages=[USER, {"role": "assistant", "content": "Red."}, USER])["receipt"]
    assert found["request_digest"] != other["request_digest"]
    served = next(each for each in it.providers[0].admin("/admin/status")["models"] if each["id"] == it.model)
    assert found["model_digest"] == other["model_digest"] == served["digest"]
    return f"{len(found)} fields"


@ROWS.row(76, "An offline verifier", "peernode receipts verify: passes; a changed export does not")
def _(it: Asker) -> None:
    name = it.chat()["request_id"]
    peernode(it.edge.home, "receipts", "verify", name)
    file = it.edge.home.parent / "one.export"
    peernode(it.edge.home, "receipts", "export", str(file), "--request", name)
    peernode(it.edge.home, "receipts", "verify", str(file))
    raw = file.read_text()
    spoilt = raw.rstrip()[:-20] + ("A" if raw.rstrip()[-20] != "A" else "B") + raw.rstrip()[-19:] + "\n"
    file.write_text(spoilt)
    peernode(it.edge.home, "receipts", "verify", str(file), code=1)


@ROWS.row(77, "The asking side signs, too", "the edge countersigns what it accepts; who runs a node is his own edge")
def _(it: Asker) -> str:
    found = receipt_of(it)
    (edge,) = [each for each in found["signatures"] if each["role"] == "edge"]
    assert edge["peer"] == it.edge.peer_id == found["receipt"]["coordinator"]
    by_hand(edge, found["countersignature_canonical"])
    assert found["countersignature"]["receipt_digest"] == found["digest"]
    return f"over {found['digest'][:12]}…"


@ROWS.row(
    81, "Reputation", "by the edge's own receipts: who bills a credit too much is not paid, marked, and not asked again"
)
def _(it: Asker) -> str:
    folder = it.edge.home.parent / "liar"
    folder.mkdir()
    node = NodeProcess(folder / "edge", "--network", "test", name="edge of a liar")
    try:
        node.start()
        return trio.run(_lied_to, it, node, folder)
    finally:
        node.kill()


def _dearer(receipt: Receipt) -> bytes:
    return signed(replace(receipt, credits=receipt.credits + 1))


async def _lied_to(it: Asker, node: NodeProcess, folder: Path) -> str:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))  # the liar runs in here
    liar = LyingProvider(_dearer)
    # The request of tests.samples, for which the liar's receipt is made.
    body = {"model": CARD.id, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 16, "stop": ["END"]}
    async with party(folder, 1, engine=ScriptedEngine(), join=[node.address], service=liar.handle) as provider:
        await trio.to_thread.run_sync(node.wait_for_offer, provider.peer_id)
        with Asker(node, ()) as edge:

            def ask() -> tuple[int, dict[str, Any]]:
                answer = edge.send(CHAT, {**body, "temperature": 0.8})
                return answer.status_code, answer.json()

            first, said = await trio.to_thread.run_sync(ask)
            second, refused = await trio.to_thread.run_sync(ask)
        (row,) = await trio.to_thread.run_sync(told, node.home, "credits", "peers")
    assert (first, said["provider"]) == (200, provider.peer_id)
    assert said["receipt"]["error"]
    assert (second, refused["error"]["code"]) == (503, 503)
    assert row["marks"][0]["request_id"] == said["request_id"]
    return f"marked: {row['marks'][0]['reason']}"


@ROWS.row(83, "Receipts kept elsewhere", "both sides have each; an export restores a ledger that was lost")
def _(it: Asker) -> str:
    found = receipt_of(it)
    (provider,) = [node for node in it.providers if node.peer_id == found["node_id"]]
    theirs = Asker(provider, ()).get(f"/v1/receipts/{found['request_id']}")
    assert (theirs["digest"], theirs["verified"]["ok"], theirs["role"]) == (found["digest"], True, "provider")
    file, lost = it.edge.home.parent / "all.export", it.edge.home.parent / "lost"
    peernode(it.edge.home, "receipts", "export", str(file))
    lost.mkdir(mode=0o700)
    shutil.copy2(it.edge.home / "node.key", lost / "node.key")
    restored = told(lost, "receipts", "import", str(file))
    assert restored["refused"] == []
    peernode(lost, "receipts", "verify", found["request_id"])
    return f"{restored['restored']} restored"
