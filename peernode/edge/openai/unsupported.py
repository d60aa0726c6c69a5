"""What this version cannot do, said plainly: a request that relies on it is refused, never answered without it.

Each entry names a parameter and the values that ask for nothing; any other value is refused by name.
Keys that nobody here has heard of are ignored, as all the dialects do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from peernode.chat.errors import BadRequest

Harmless = Callable[[object], bool]


def _is(*values: object) -> Harmless:
    # The type is compared too: in Python, True equals 1 and False equals 0.
    return lambda found: any(found == value and isinstance(found, bool) == isinstance(value, bool) for value in values)


def _empty(found: object) -> bool:
    return found == []


# parameter: (what it would be, values that change nothing). Null always changes nothing.
UNSUPPORTED: Mapping[str, tuple[str, Harmless]] = {
    "functions": ("Function calling in the old form (tools is the new one)", _empty),
    "function_call": ("Function calling in the old form (tool_choice is the new one)", _is("none", "auto")),
    "modalities": ("Output other than text", _is(["text"])),
    "audio": ("Output other than text", _is()),
    "prediction": ("Predicted output", _is()),
    "web_search_options": ("Web search", _is()),
}


def refuse_unsupported(body: Mapping[str, Any]) -> None:
    """Raises BadRequest naming the first parameter that asks for what this version cannot do."""
    for param, (what, harmless) in UNSUPPORTED.items():
        found = body.get(param)
        if found is not None and not harmless(found):
            raise BadRequest(
                f"{what} is not part of this version.",
                param=param,
                remedy=f"Leave {param} out; it is refused rather than ignored.",
            )
