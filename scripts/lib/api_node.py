"""One node with a random model that answers in milliseconds, which lets in only who has a key; and such a key."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
from nodes import NodeProcess

from tests.models import write_tiny_embedder, write_tiny_model

CHATS, EMBEDS = "tiny", "embedder"
_CONFIG = """
network = "test"
[access]
anonymous = "no"
[[model]]
path = "{chats}"
id = "tiny"
[[model]]
path = "{embeds}"
id = "embedder"
embeddings = true
"""
_KEY = ("--unlimited", "--json", "--home")
# What a node writes when it met a defect of its own.
_DEFECTS = ("request_met_a_defect", "worker_died", "stderr")


class ApiNode:
    """A context: the node runs inside it."""

    def __init__(self, folder: Path) -> None:
        config = folder / "node.toml"
        chats = write_tiny_model(folder / "tiny.gguf", context=4096)
        config.write_text(_CONFIG.format(chats=chats, embeds=write_tiny_embedder(folder / "embedder.gguf")))
        self._node = NodeProcess(folder / "home", "--config", str(config), name="api")
        self.key = ""

    def __enter__(self) -> ApiNode:
        self._node.start()
        for model in (CHATS, EMBEDS):
            self._node.wait_for("model_ready", where=lambda line, model=model: line["model"] == model)
        made = subprocess.run(
            [sys.executable, "-m", "peernode", "keys", "create", "fuzz", *_KEY, str(self._node.home)],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
            env={name: value for name, value in os.environ.items() if not name.startswith("PEERNODE_")},
        )
        self.key = json.loads(made.stdout)["key"]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._node.running:
            self._node.stop()

    @property
    def url(self) -> str:
        return self._node.url

    @property
    def peer_id(self) -> str:
        return self._node.peer_id

    def ask(self, path: str, **body: object) -> Any:
        """The JSON of a good answer."""
        answer = httpx.post(self.url + path, json=body, headers={"Authorization": f"Bearer {self.key}"}, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def is_alive(self) -> bool:
        """Whether it still answers, and its models do."""
        try:
            self.ask("/v1/chat/completions", model=CHATS, messages=[{"role": "user", "content": "x"}], max_tokens=2)
            self.ask("/v1/embeddings", model=EMBEDS, input="x")
        except httpx.HTTPError:
            return False
        return self._node.running

    def defects(self) -> list[str]:
        """What its log holds of defects."""
        return [json.dumps(line)[:2000] for line in list(self._node.log) if line.get("event") in _DEFECTS]
