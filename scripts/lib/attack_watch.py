"""An attacker in a process of its own, and what the node that it attacks shows its operator of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
from mesh_attacks import ATTACKS
from nodes import NodeProcess
from prometheus_client.parser import text_string_to_metric_families

LIB = Path(__file__).parent


@contextmanager
def attacking(kind: str, node: NodeProcess, *, nice: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """A process that attacks ``node`` while the body runs, at the rate that ``ATTACKS`` bounds it to.

    At ``nice`` 19 it takes no CPU from whoever is measured, and on a busy machine it hardly gets to attack.
    """
    command = [
        "nice",
        "-n",
        str(nice),
        sys.executable,
        str(LIB / "mesh_attacks.py"),
        kind,
        node.address,
        str(ATTACKS[kind].per_second),
    ]
    path = os.pathsep.join((str(LIB.parents[1]), str(LIB)))
    attacker = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})
    try:
        yield attacker
    finally:
        attacker.kill()
        attacker.wait()


def limited_by(node: NodeProcess) -> dict[str, float]:
    """How often the node refused or slowed somebody down so far, by reason: its metrics say so."""
    access = json.loads((node.home / "admin.json").read_text())
    headers = {"Authorization": f"Bearer {access['token']}"}
    text = httpx.get(f"{access['url']}/admin/metrics", headers=headers, timeout=30).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {each.labels["reason"]: each.value for each in samples if each.name == "peernode_mesh_limited_total"}


def shown_of(kind: str, node: NodeProcess, before: Mapping[str, float]) -> str:
    """What the node shows of the attacker; empty if nothing. ``before`` is what ``limited_by`` said earlier."""
    attack = ATTACKS[kind]
    if attack.banned:
        rows = node.admin("/admin/peers")
        banned = sum(attack.banned in row["banned"]["reason"] for row in rows if row["banned"])
        return f"{banned} banned: {attack.banned}" if banned else ""
    now = limited_by(node)
    more = {reason: now.get(reason, 0) - before.get(reason, 0) for reason in attack.limited}
    return ", ".join(f"{times:.0f} {reason}" for reason, times in more.items() if times > 0)
