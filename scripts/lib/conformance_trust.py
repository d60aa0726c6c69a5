"""Rows 78 to 88 about privacy: who the node is, and what nobody else may read."""

from __future__ import annotations

import base64
import importlib.util
import json
import secrets
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from conformance_asking import CHAT, USER, Asker, Rows
from conformance_further import another, new_key
from conformance_tap import tapped
from nodes import NodeProcess

ROWS = Rows()
ROOT = Path(__file__).resolve().parents[2]
SECRET = "The parrot's name is Quetzalcoatl."


def reader() -> ModuleType:
    """The client of docs/sealed_client.py, which shares no code with us."""
    spec = importlib.util.spec_from_file_location("sealed_client", ROOT / "docs" / "sealed_client.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@ROWS.row(
    78,
    "A statement of identity, attested where the hardware can",
    "GET /v1/identity with a nonce; peernode identity checks it",
)
def _(it: Asker) -> str:
    nonce, file = secrets.token_hex(32), it.edge.home.parent / "identity.json"
    provider = it.providers[0]
    answer = it.client.get(f"{provider.url}/v1/identity", params={"nonce": nonce})
    file.write_text(answer.text)
    checked = json.loads(_identity(file, nonce, provider, code=0))
    assert checked["ok"]
    _identity(file, "00" * 32, provider, code=1)
    _identity(file, nonce, it.edge, code=1)
    said = answer.json()
    assert it.model in {model["id"] for model in said["models"]}
    if said["attestation"] is None:
        return f"signed; no report: {said['attestation_reason']}"
    return f"signed, with a report by {said['attestation']['provider']}"


def _identity(file: Path, nonce: str, node: NodeProcess, *, code: int) -> str:
    # The command needs no home.
    command = ["identity", str(file), "--nonce", nonce, "--peer", node.peer_id, "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "peernode", *command], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == code, done.stderr[-200:]
    return done.stdout


@ROWS.row(
    79,
    "The prompt encrypted to the edge",
    "sealed over plain HTTP by docs/sealed_client.py: the same answer; once only",
)
def _(it: Asker) -> str:
    key, sealed = new_key(it, "1"), reader()
    plain = it.says()
    asked = sealed.Sealed(it.edge.peer_id, CHAT, json.dumps(it.body()).encode(), authorization=key["Authorization"])
    answer = it.client.post(CHAT, content=asked.body, headers={"Content-Type": sealed.TYPE})
    (_, head), *pieces = asked.read(iter([answer.content]))
    body = json.loads(b"".join(piece for _, piece in pieces))
    assert json.loads(head)["status"] == 200
    assert body["choices"][0]["message"]["content"] == plain
    wire = asked.body + answer.content
    assert not any(word.encode() in wire for word in (USER["content"], plain, key["Authorization"][7:], "usage"))
    again = it.client.post(CHAT, content=asked.body, headers={"Content-Type": sealed.TYPE})
    assert again.json()["error"]["metadata"]["reason"] == "seal_repeated"
    return f"{len(asked.body)} bytes there, {len(answer.content)} back"


@ROWS.row(
    80,
    "The prompt encrypted to the node",
    "a tap on the wire between edge and provider hears the handshake of Noise and no word",
)
def _(it: Asker) -> str:
    first = it.providers[0]
    with tapped(first.address) as (tap, address), another(it, "tapped", "", "--join", address, joins=False) as node:
        node.wait_for_offer(first.peer_id)
        before = len(tap.heard)
        with Asker(node, it.providers) as edge:
            says = edge.says(
                messages=[{"role": "user", "content": SECRET}], provider={"only": [first.peer_id]}, max_tokens=24
            )
        heard = bytes(tap.heard)
    assert b"/noise" in heard
    assert len(heard) > before, "it went another way"
    assert says
    assert not any(word.encode() in heard for word in (SECRET, SECRET[:12], says))
    return f"{len(heard) - before} bytes of ciphertext"


@ROWS.row(
    82,
    "Encrypted memory of sessions",
    "what was said comes back with the session's key alone, and lies sealed on the disk",
)
def _(it: Asker) -> str:
    key, session_key = new_key(it, "1"), base64.b64encode(secrets.token_bytes(32)).decode()
    session = in_session(it, key, session_key, SECRET)["session_id"]
    (file,) = (path for path in (it.edge.home / "sessions").rglob(session))
    assert SECRET.encode() not in file.read_bytes()
    wrong = base64.b64encode(secrets.token_bytes(32)).decode()
    assert (
        in_session(it, key, wrong, "?", 403, session_id=session)["error"]["metadata"]["reason"] == "session_key_refused"
    )
    stranger = new_key(it, "1")
    assert in_session(it, stranger, session_key, "?", 404, session_id=session)["error"]["code"] == 404
    first = in_session(it, key, session_key, "What is its name?", session_id=session)
    plain = [{"role": "user", "content": "What is its name?"}]
    alone = it.send(CHAT, it.body(messages=plain), **key).json()
    assert first["usage"]["prompt_tokens"] > alone["usage"]["prompt_tokens"] + 10
    return f"{file.stat().st_size} bytes sealed"


def in_session(
    it: Asker, key: dict[str, str], session_key: str, words: str, status: int = 200, **more: Any
) -> dict[str, Any]:
    body = it.body(messages=[{"role": "user", "content": words}], session_key=session_key, **more)
    answer = it.send(CHAT, body, **key)
    assert answer.status_code == status, answer.text[:200]
    found: dict[str, Any] = answer.json()
    return found


@ROWS.row(
    88,
    "Sessions with and without state",
    "without a session_key nothing is kept; with one a turn later goes on; deleted is gone",
)
def _(it: Asker) -> None:
    key, session_key = new_key(it, "1"), base64.b64encode(secrets.token_bytes(32)).decode()
    stateless = it.send(CHAT, it.body(), **key)
    assert "x-session-id" not in stateless.headers
    assert it.get("/v1/sessions", **key)["data"] == []
    first = in_session(it, key, session_key, "One.")
    second = in_session(it, key, session_key, "Two.", session_id=first["session_id"])
    assert second["usage"]["prompt_tokens"] > first["usage"]["prompt_tokens"]
    (listed,) = it.get("/v1/sessions", **key)["data"]
    assert listed["session_id"] == first["session_id"]
    gone = it.client.delete(f"/v1/sessions/{listed['session_id']}", headers=key)
    assert gone.json()["deleted"]
    in_session(it, key, session_key, "Three.", 404, session_id=first["session_id"])
