"""What rows need beside the three nodes: the operator's commands, keys, and nodes with other settings for a while."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conformance_asking import Asker
from nodes import NodeProcess

SOON_S = 20.0


def peernode(home: Path, *args: str, code: int = 0) -> str:
    """What the command says, or if it is to fail, what it complains of."""
    command = [sys.executable, "-m", "peernode", *args, "--home", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == code, (
        f"{args[:2]} exits with {done.returncode}: {done.stderr[-200:] or done.stdout[-200:]}"
    )
    return done.stderr if code else done.stdout


def told(home: Path, *args: str) -> Any:
    return json.loads(peernode(home, *args, "--json"))


def new_key(it: Asker, balance: str, *limits: str) -> dict[str, str]:
    """Headers with a key of the edge's that has so many credits."""
    made = told(it.edge.home, "keys", "create", "row", "--credits", balance, *limits)
    return {"Authorization": f"Bearer {made['key']}"}


@contextmanager
def another(it: Asker, name: str, config: str = "", *args: str, joins: bool = True) -> Iterator[NodeProcess]:
    """A node of the same network, which knows both providers and has settings of its own."""
    folder = it.edge.home.parent
    file = folder / f"{name}.toml"
    file.write_text(config)
    join = [part for each in it.providers for part in ("--join", each.address)] if joins else []
    node = NodeProcess(folder / name, "--network", "conformance", "--config", str(file), *join, *args, name=name)
    try:
        node.start()
        for each in it.providers if joins else ():
            node.wait_for_offer(each.peer_id)
        yield node
    finally:
        node.kill()


@contextmanager
def another_edge(it: Asker, name: str, config: str) -> Iterator[Asker]:
    """The same, asked as the edge is."""
    with another(it, name, config) as node, Asker(node, it.providers) as asker:
        yield asker


def soon(look: Callable[[], Any]) -> Any:
    """What ``look`` gives as soon as it is something; another node learns what it asks for a moment later."""
    deadline = time.monotonic() + SOON_S
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {SOON_S:g} s"
        time.sleep(0.1)
    return found
