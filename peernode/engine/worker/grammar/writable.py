"""Characters that a form demands and a vocabulary cannot write: small vocabularies lack the bytes of rare ones.

Owns the check that turns an answer which would break off in the middle into a refusal before it begins.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from peernode.engine.worker.grammar.json_value import Json
from peernode.engine.worker.grammar.limits import schemas_in
from peernode.engine.worker.grammar.refusal import refusal


def check_writable(schema: dict[str, Json], known: frozenset[int]) -> None:
    """``known`` are the bytes that the vocabulary's tokens have. Raises BadRequest."""
    for text in _demanded(schema):
        for character in text:
            if not known.issuperset(character.encode("utf-8", "replace")):
                raise refusal(
                    "The response format demands a character that this model cannot write.",
                    cause=f"U+{ord(character):04X}",
                    remedy="Leave it out, or ask another model.",
                )


def _demanded(schema: dict[str, Json]) -> Iterator[str]:
    """Names and values that must be said as they stand, as JSON text."""
    for node in schemas_in(schema):
        properties = node.get("properties")
        if isinstance(properties, dict):
            yield from properties
        for name in ("const", "enum"):
            if name in node:
                yield json.dumps(node[name], ensure_ascii=False)
