"""Exclusive bounds that still hold when a number is read: digits that a reader rounds away must not carry them.

The library takes -55.000000000000000001 to be below -55, which it is; whoever reads it as a double gets -55.
"""

from __future__ import annotations

from peernode.engine.worker.grammar.json_value import Json

# Of the bound, or of 1 where that is larger: a thousand times what doubles can tell apart.
_GAP = 1e-12
# Doubles tell no fractions apart there.
_LARGE = 1e15


def widen_exclusive(node: dict[str, Json]) -> None:
    """Turn the exclusive bounds of a schema for fractions into inclusive ones a little further in."""
    if node.get("type") == "integer":
        return
    for exclusive, inclusive, inwards, tighter in (
        ("exclusiveMinimum", "minimum", 1.0, max),
        ("exclusiveMaximum", "maximum", -1.0, min),
    ):
        bound = node.get(exclusive)
        if isinstance(bound, bool) or not isinstance(bound, int | float) or abs(bound) > _LARGE:
            continue
        moved = bound + inwards * _GAP * max(1.0, abs(bound))
        other = node.get(inclusive)
        if isinstance(other, int | float) and not isinstance(other, bool):
            moved = tighter(moved, other)
        del node[exclusive]
        node[inclusive] = moved
