"""One network for all clients: an edge without a model, a provider of four models elsewhere, and one that is frail."""

from __future__ import annotations

import base64
import io
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from nodes import NodeProcess
from PIL import Image

from peernode.ledger import Database
from peernode.ledger.client_key import KeyLimits
from peernode.ledger.keys import Keys
from tests.models import demo_model, write_tiny_embedder
from tests.projectors import write_seeing_model

CHAT, EMBEDDER, SEEING, FRAIL = "test/chat", "test/embedder", "test/seeing", "test/frail"
FRAIL_PROGRAM = str(Path(__file__).parent / "frail_provider.py")
# Well formed, and nobody's.
UNKNOWN_KEY = "sk-pn-" + "a" * 10 + "A" * 43
KEYS = {
    "good": KeyLimits(unlimited=True),
    "poor": KeyLimits(),
    "narrow": KeyLimits(unlimited=True, models=("other/*",)),
    "slow": KeyLimits(unlimited=True, requests_per_minute=1),
}


@dataclass(frozen=True)
class Place:
    """The network as clients see it. ``hasty`` is an edge that waits for no first token longer than two seconds."""

    edge: NodeProcess
    hasty: NodeProcess
    keys: dict[str, str]
    gates: Path

    @property
    def base(self) -> str:
        return f"{self.edge.url}/v1"

    def open(self, gate: str) -> None:
        """Let go on what pauses until ``gate``."""
        (self.gates / gate).touch()

    def settings(self) -> dict[str, Any]:
        """What client programs in other environments get to know."""
        return {
            "url": self.edge.url,
            "base": self.base,
            "hasty": f"{self.hasty.url}/v1",
            "models": {"chat": CHAT, "embedder": EMBEDDER, "seeing": SEEING, "frail": FRAIL},
            "keys": self.keys,
            "gates": str(self.gates),
            "images": {colour: image_url(colour) for colour in ("red", "blue")},
        }


def image_url(colour: str) -> str:
    """A data URL of a picture of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (48, 40), colour).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("clients")
    gates = folder / "gates"
    gates.mkdir()
    nodes: list[NodeProcess] = []

    def spawn(name: str, config: str, *args: str, program: tuple[str, ...] = ("-m", "peernode")) -> NodeProcess:
        file = folder / f"{name}.toml"
        file.write_text(config)
        ours = ("--network", "clients", "--config", str(file), *args)
        nodes.append(NodeProcess(folder / name, *ours, name=name, program=program))
        nodes[-1].spawn()
        return nodes[-1]

    try:
        provider = spawn("provider", _models(folder), "--no-http")
        # What says nothing would be waited for at its end.
        fragile = "drain_s = 0\n" + _model(FRAIL, demo_model(), context=1024)
        frail = spawn("frail", fragile, "--no-http", program=(FRAIL_PROGRAM, str(gates)))
        joins = [part for node in (provider, frail) for part in ("--join", node.address)]
        edge = spawn("edge", "", *joins)
        hasty = spawn("hasty", "[limits]\nfirst_token_s = 2\n", *joins)
        frail.wait_for_model()
        for model in (CHAT, EMBEDDER, SEEING):
            provider.wait_for("model_ready", timeout_s=90, where=lambda line, model=model: line["model"] == model)
        for node in (edge, hasty):
            node.wait_for("node_started", timeout_s=90)
            node.wait_for("peer_offers", where=lambda line: {CHAT, EMBEDDER, SEEING} <= set(line["models"]))
            node.wait_for_offer(frail.peer_id)
        yield Place(edge, hasty, _keys(edge), gates)
        with ThreadPoolExecutor() as pool:
            codes = list(pool.map(NodeProcess.stop, nodes))
        assert codes == [0] * len(nodes)
    finally:
        for node in nodes:
            node.kill()


def _models(folder: Path) -> str:
    seeing, projector = write_seeing_model(folder, "gemma3")
    embedder = write_tiny_embedder(folder / "embedder.gguf")
    return "\n".join(
        (
            _model(CHAT, demo_model(), context=2048),
            _model(EMBEDDER, embedder),
            _model(SEEING, seeing) + f"projector = '{projector}'\n",
        )
    )


def _model(name: str, path: Path, *, context: int | None = None) -> str:
    limit = f"context = {context}\n" if context else ""
    return f"[[model]]\nid = '{name}'\npath = '{path}'\n{limit}"


def _keys(edge: NodeProcess) -> dict[str, str]:
    """The texts of ``KEYS``, straight into the ledger of a running node, as ``peernode keys create`` does it."""
    database = Database.open(edge.home / "ledger.db", own=edge.peer_id)
    try:
        made = {
            name: Keys(database).create(name, limits, now_ms=time.time_ns() // 10**6, random_bytes=secrets.token_bytes)
            for name, limits in KEYS.items()
        }
    finally:
        database.close()
    return {"unknown": UNKNOWN_KEY, **{name: text.text for name, (_, text) in made.items()}}
