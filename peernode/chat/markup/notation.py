"""In which notation a model writes calls and thoughts, as it travels in one short text: ``hermes+think+open``."""

from __future__ import annotations

from dataclasses import dataclass

from peernode.wire import canonical

TOOL_NOTATIONS = ("hermes", "llama3", "mistral", "mistral-args", "functionary")


@dataclass(frozen=True, slots=True)
class Notation:
    """``tools`` is one of TOOL_NOTATIONS or empty; ``thinks`` says that thoughts may come first.

    ``opens`` says that the answer begins inside a thought, because the prompt already opened it.
    """

    tools: str = ""
    thinks: bool = False
    opens: bool = False

    def __str__(self) -> str:
        words = (self.tools, "think" if self.thinks else "", "open" if self.opens else "")
        return "+".join(word for word in words if word)

    @classmethod
    def read(cls, text: str) -> Notation:
        """What ``text`` says; words that this version does not know are passed over."""
        words = text.split("+")
        tools = next((word for word in words if word in TOOL_NOTATIONS), "")
        opens = "open" in words
        return cls(tools, opens or "think" in words, opens)


def call_id(request_id: str, index: int) -> str:
    """The id of one call: the same whenever the same answer is read."""
    return f"call_{canonical.digest(f'{request_id}/{index}'.encode()).hex()[:24]}"
