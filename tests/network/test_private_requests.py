"""A real edge without a model: who it says it is, requests sealed to that key, and conversations kept under another."""

from __future__ import annotations

import base64
import importlib.util
import json
import secrets
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.network.conftest import MODEL_ID, Network

pytestmark = pytest.mark.real

CHAT = "/v1/chat/completions"
WORDS = "The parrot's name is Quetzalcoatl."


def peernode(*args: str) -> str:
    command = [sys.executable, "-m", "peernode", *args]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def body(words: str, **changes: object) -> dict[str, object]:
    return {"model": MODEL_ID, "messages": [{"role": "user", "content": words}], "max_tokens": 4, **changes}


@pytest.fixture(scope="module")
def key(network: Network) -> dict[str, str]:
    made = json.loads(peernode("keys", "create", "x", "--credits", "1", "--json", "--home", str(network.edge.home)))
    return {"authorization": f"Bearer {made['key']}"}


def test_the_node_states_its_key_and_models_and_the_command_believes_nothing_else(network: Network, tmp_path: Path):
    provider, nonce, file = network.providers[1], secrets.token_hex(16), tmp_path / "identity.json"
    file.write_text(httpx.get(f"{provider.url}/v1/identity", params={"nonce": nonce}).text)
    said = peernode("identity", str(file), "--nonce", nonce, "--peer", provider.peer_id)
    assert MODEL_ID in said
    with pytest.raises(subprocess.CalledProcessError):
        peernode("identity", str(file), "--nonce", nonce, "--peer", network.edge.peer_id)


def test_a_sealed_stream_comes_back_whole_and_neither_words_nor_key_are_logged(network: Network, key: dict[str, str]):
    path = Path(__file__).resolve().parents[2] / "docs" / "sealed_client.py"
    spec = importlib.util.spec_from_file_location("sealed_client", path)
    reader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reader)
    (_, head), *pieces = reader.post(network.edge.url, network.edge.peer_id, CHAT, body(WORDS, stream=True), **key)
    assert json.loads(head)["status"] == 200
    assert b"".join(piece for _, piece in pieces).endswith(b"data: [DONE]\n\n")
    logged = json.dumps(network.edge.log)
    assert WORDS not in logged
    assert key["authorization"][7:] not in logged


def test_a_conversation_is_remembered_under_the_clients_key(network: Network, key: dict[str, str]):
    session_key = base64.b64encode(secrets.token_bytes(32)).decode()
    url = network.edge.url + CHAT
    first = httpx.post(url, json=body(WORDS, session_key=session_key), headers=key, timeout=60).json()
    more = body("And then?", session_key=session_key, session_id=first["session_id"])
    second = httpx.post(url, json=more, headers=key, timeout=60).json()
    assert second["usage"]["prompt_tokens"] > first["usage"]["prompt_tokens"] + 4
    (kept,) = (network.edge.home / "sessions").rglob(first["session_id"])
    assert WORDS.encode() not in kept.read_bytes()
    assert session_key not in json.dumps(network.edge.log)
