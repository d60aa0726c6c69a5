"""Networks of real processes with the real model. ``network`` is shared by tests that break nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from nodes import NodeProcess

from tests.models import demo_model

MODEL_ID = "SmolLM2-135M-Instruct.Q4_1"
Launch = Callable[..., NodeProcess]


@dataclass
class Network:
    """An edge without a model and two providers that it knows."""

    edge: NodeProcess
    providers: tuple[NodeProcess, NodeProcess]


@pytest.fixture(scope="session")
def model_path() -> Path:
    return demo_model()


def _launcher(folder: Path, nodes: list[NodeProcess]) -> Launch:
    def launch(name: str, *args: str, joins: tuple[NodeProcess, ...] = (), start: bool = True) -> NodeProcess:
        join = [part for node in joins for part in ("--join", node.address)]
        node = NodeProcess(folder / name, "--network", "test", *join, *args, name=name)
        nodes.append(node)
        return node.start() if start else node

    return launch


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """``launch(name, *args, joins=nodes)`` starts a node that this test may break; all are gone afterwards."""
    nodes: list[NodeProcess] = []
    yield _launcher(tmp_path, nodes)
    for node in nodes:
        node.kill()


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Iterator[Network]:
    nodes: list[NodeProcess] = []
    start = _launcher(tmp_path_factory.mktemp("network"), nodes)
    first = start("first", "--model", str(model_path), "--no-http")
    second = start("second", "--model", str(model_path), joins=(first,))
    edge = start("edge", joins=(first, second))
    for provider in (first, second):
        provider.wait_for_model()
        edge.wait_for_offer(provider.peer_id)
    yield Network(edge, (first, second))
    codes = [node.stop() for node in nodes]
    assert codes == [0, 0, 0]
