"""Finds stop strings in a stream of text, one pass, constant work per character.

Owns which part of the text may leave now: never a stop string, nor anything that may still become one. An
Aho-Corasick automaton holds that; the first stop string to be completed wins, and the longest of those that end
at the same character. Pure; knows nothing of tokens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


class StopMatcher:
    """``push`` text as it comes; ``stopped`` says that a stop string was completed, and nothing comes after it."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._edges: list[dict[str, int]] = [{}]
        self._depth = [0]
        self._longest_match = [0]
        for stop in stops:
            self._add(stop)
        self._fallback = [0] * len(self._edges)
        self._link()
        self._state = 0
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """The text that is now certain to be part of the answer."""
        if self.stopped:
            return ""
        if len(self._edges) == 1:
            return text
        pending = self._held + text
        for at in range(len(self._held), len(pending)):
            state = self._state = self._follow(self._state, pending[at])
            if self._longest_match[state]:
                self.stopped = True
                self._held = ""
                return pending[: at + 1 - self._longest_match[state]]
        certain = len(pending) - self._depth[self._state]
        self._held = pending[certain:]
        return pending[:certain]

    def flush(self) -> str:
        """What was held back, when the answer ends for another reason."""
        held, self._held, self._state = self._held, "", 0
        return held

    def _add(self, stop: str) -> None:
        if not stop:
            raise ValueError("a stop string is empty")
        state = 0
        for character in stop:
            following = self._edges[state].get(character)
            if following is None:
                following = self._edges[state][character] = len(self._edges)
                self._edges.append({})
                self._depth.append(self._depth[state] + 1)
                self._longest_match.append(0)
            state = following
        self._longest_match[state] = len(stop)

    def _link(self) -> None:
        """Point every state at the longest other prefix that its text ends with, breadth first."""
        queue = deque(self._edges[0].values())
        while queue:
            state = queue.popleft()
            for character, following in self._edges[state].items():
                queue.append(following)
                fallback = self._follow(self._fallback[state], character)
                self._fallback[following] = fallback
                if not self._longest_match[following]:
                    self._longest_match[following] = self._longest_match[fallback]

    def _follow(self, state: int, character: str) -> int:
        while True:
            following = self._edges[state].get(character)
            if following is not None:
                return following
            if state == 0:
                return 0
            state = self._fallback[state]
