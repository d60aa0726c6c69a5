"""Faults that a provider of the chaos scripts and tests commits on demand, and the file that asks for one.

Kinds, each in place of the first frame that would bring the coordinator more than so many tokens; the end of the answer
counts as one token more:

- ``reset``: the job's stream is reset; ``drop``: the whole connection is, by TCP.
- ``black_hole``: the socket swallows whatever goes through it either way, while it stays open.
- ``silence``: nothing more comes on the job's stream, while the connection is well.
- ``garbage``: a frame that is none of a job; ``noise``: random bytes on the socket, where an
  encrypted message should be.
"""

from __future__ import annotations

import json
from pathlib import Path

FAULTS = ("reset", "drop", "black_hole", "silence", "garbage", "noise")


def plan_fault(path: Path, kind: str, after: int) -> None:
    """Let the node that looks into ``path`` break its next job behind ``after`` tokens."""
    whole = path.with_suffix(".new")
    whole.write_text(json.dumps({"kind": kind, "after": after}))
    whole.rename(path)


def take_fault(path: Path, tokens: int) -> str:
    """The kind of the fault that is due at so many tokens, which is then taken; empty when none is."""
    try:
        fault = json.loads(path.read_text())
    except FileNotFoundError:
        return ""
    if tokens <= fault["after"]:
        return ""
    path.unlink()
    return str(fault["kind"])
