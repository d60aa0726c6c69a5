"""Client programs in other environments: run once with their settings, and what each of their checks saw.

A program prints one JSON line for each check: ``{"check": name, "saw": …}``, or ``{"check": name, "error": text}``.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RUN_S = 300.0


class Seen:
    """What the checks of one program saw, by their names."""

    def __init__(self, said: str, errors: str) -> None:
        lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        self._lines = {line["check"]: line for line in lines}
        self._errors = errors

    def __getitem__(self, check: str) -> Any:
        line = self._lines.get(check)
        assert line is not None, f"no check {check}; the program's errors:\n{self._errors[-4000:]}"
        assert "error" not in line, line["error"]
        return line["saw"]


def run_program(
    command: Sequence[str | Path], settings: Mapping[str, Any], *, cwd: Path, more: Mapping[str, str] | None = None
) -> Seen:
    """Run ``command`` with its settings as JSON; ``more`` goes into its environment."""
    done = subprocess.run(
        [*command, json.dumps(settings)],
        cwd=cwd,
        env=clean_environment() | dict(more or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    return Seen(done.stdout, done.stderr)


def clean_environment() -> dict[str, str]:
    """Ours, without what would change a client: keys, addresses, proxies."""
    lower = ("http_proxy", "https_proxy", "all_proxy")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OPENAI_", "LITELLM_", "LANGCHAIN_", "LANGSMITH_", "LLM_", "PEERNODE_"))
        and name.lower() not in lower
    }
