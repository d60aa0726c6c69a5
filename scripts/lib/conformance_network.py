"""The network that the table of conformance is checked on: an edge without a model and two providers that differ.

Both have the real model at one price. ``tiny`` is random: the first's is slow, cheap, says Q4_1, promises no tools and
answers one at a time; the second's is fast, dear, says F32 and keeps nothing. The second alone has ``sees``, a random
model with a random projector.
"""

from __future__ import annotations

from pathlib import Path

from conformance_asking import SEES, TINY
from nodes import NodeProcess

from tests.models import write_tiny_model
from tests.projectors import write_seeing_model

Q4_1 = 3
# Micro-credits per million tokens of ``tiny``; the real model costs what is usual, which lies between.
CHEAP, DEAR = 10_000, 4_000_000
# So that what is too long for it is soon computed.
SHORT = "context = 2048"
# Nobody is asked beside a late provider: it would answer in place of the one that is looked at.
EDGE = "[routing]\nhedge = false\n"


def start_network(model: Path, scratch: Path, nodes: list[NodeProcess]) -> NodeProcess:
    """The edge, which knows both providers: the first two of ``nodes``, which gets every node before it runs.

    Providers keep their keys and ports when they are started again. Raises NodeFailed.
    """
    slow = write_tiny_model(scratch / "slow.gguf", layers=64, file_type=Q4_1, context=8192)
    fast = write_tiny_model(scratch / "fast.gguf", context=8192)
    seeing, projector = write_seeing_model(scratch, "mlp")
    first = "[engine]\nqueue_limit = 2\n" + _table(model, SHORT)
    first += _table(slow, *_tiny(CHEAP), "slots = 1", 'withhold = ["tools"]')
    second = _table(model, SHORT) + _table(fast, *_tiny(DEAR), "keeps_nothing = true")
    second += _table(seeing, f'id = "{SEES}"', f'projector = "{projector}"', SHORT, "threads = 1")
    edge = _node(scratch, "edge", EDGE)
    nodes += [_node(scratch, "provider-1", first), _node(scratch, "provider-2", second), edge]
    edge.start()
    for provider in nodes[:2]:
        provider.args += ["--join", edge.address]
        provider.spawn()
    for provider, wanted in zip(nodes[:2], ({model.stem, TINY}, {model.stem, TINY, SEES}), strict=True):
        _wait_for_offers(edge, provider.peer_id, wanted)
        provider.listen = "/".join(provider.address.split("/")[:5])
    return edge


def _wait_for_offers(edge: NodeProcess, peer: str, models: set[str]) -> None:
    edge.wait_for("peer_offers", where=lambda line: line["peer"] == peer and models <= {*line["models"]})


def _node(scratch: Path, name: str, config: str) -> NodeProcess:
    file = scratch / f"{name}.toml"
    file.write_text(config)
    return NodeProcess(scratch / name, "--network", "conformance", "--config", str(file), name=name)


def _tiny(price: int) -> list[str]:
    prices = [f"price_{part} = {price}" for part in ("prompt", "cached", "completion")]
    return [f'id = "{TINY}"', "threads = 1", "context = 8192", *prices]


def _table(path: Path, *lines: str) -> str:
    return "\n".join(["[[model]]", f'path = "{path}"', *lines, ""])
