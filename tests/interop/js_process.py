"""The js-libp2p node of ``js/`` as a process, and the JSON lines that it says."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import npm_packages
from tests.npm_packages import NODE

SOURCES = Path(__file__).parent / "js"


class JsFailed(Exception):
    """The node did not do what was waited for; carries the end of what it said."""


def prepare(folder: Path) -> Path:
    """The sources beside the packages, in a folder of the test's own."""
    return npm_packages.prepare(SOURCES, folder)


class JsNode:
    """``node.mjs`` with its settings. ``said`` is what it told so far."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.said: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            [NODE, "node.mjs", json.dumps(settings)],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(
        self, event: str, *, timeout_s: float = 120.0, where: Callable[[dict[str, Any]], bool] = lambda line: True
    ) -> dict[str, Any]:
        """The first line of that event for which ``where`` holds."""
        deadline = time.monotonic() + timeout_s
        with self._news:
            while True:
                found = next((line for line in self.said if line["event"] == event and where(line)), None)
                if found is not None:
                    return found
                left = deadline - time.monotonic()
                if left <= 0 or self._process.poll() is not None:
                    tail = "\n".join(json.dumps(line)[:2000] for line in self.said[-25:])
                    raise JsFailed(f"no '{event}' within {timeout_s} s; it said last:\n{tail}")
                self._news.wait(min(left, 0.5))

    def tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def stop(self) -> int:
        """Its exit code after an orderly stop."""
        self.tell("stop")
        return self._process.wait(30)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(30)
        self._reader.join(5)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            try:
                line = json.loads(text)
            except ValueError:
                line = {"event": "text", "line": text.rstrip()}
            with self._news:
                self.said.append(line)
                self._news.notify_all()
