"""An answer on its way to the terminal: printed as it comes, timed, and summed up in a footer."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from peernode.cli.terminal import harmless


class Answer:
    """Feed it the chunks of a stream. ``text`` is the answer so far, as the model gave it."""

    def __init__(self, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out or sys.stdout
        self._clock = clock
        self._first: float | None = None
        self._last = 0.0
        self._usage: dict[str, Any] = {}
        self._provider = ""
        self._receipt: dict[str, Any] = {}
        self.text = ""

    def take(self, chunk: dict[str, Any]) -> None:
        """Print the chunk's text and remember what the footer says."""
        for choice in chunk.get("choices", []):
            self._print(choice.get("delta", {}).get("content") or "")
        self._usage = chunk.get("usage") or self._usage
        self._provider = chunk.get("provider") or self._provider
        self._receipt = chunk.get("receipt") or self._receipt

    def end_line(self) -> None:
        """Leave the cursor at the start of a line."""
        if self.text and not self.text.endswith("\n"):
            self._out.write("\n")
        self._out.flush()

    def footer(self) -> str:
        """Who served it, how fast, and the receipt's id."""
        count = int(self._usage.get("completion_tokens", 0))
        parts = [f"served by {self._provider or 'an unnamed node'}", f"{count} tokens"]
        spent = self._last - (self._first or self._last)
        if count > 1 and spent > 0:  # from the first token to the last there are count - 1 steps
            parts.append(f"{(count - 1) / spent:.1f} tokens/s")
        if "error" in self._receipt:
            parts.append(f"no receipt: {self._receipt['error'].get('message', '')}")
        elif self._receipt:
            parts.append(f"receipt {self._receipt.get('id')}")
        return " · ".join(parts)

    def _print(self, text: str) -> None:
        if not text:
            return
        self._last = self._clock()
        if self._first is None:
            self._first = self._last
        self.text += text
        self._out.write(harmless(text) if self._out.isatty() else text)
        self._out.flush()
