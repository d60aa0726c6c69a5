"""``X-Peernode-Route``: asked for by a header of that name, answered by one that says how the provider was chosen.

Compact JSON of printable ASCII, at most ``MAX_BYTES``; entries that find no room are counted under ``more``.
"""

from __future__ import annotations

import json
from typing import Any

from peernode.chat.route import Considered, LeftOut, Route

NAME = "x-peernode-route"
MAX_BYTES = 4096


def route_header(route: Route, provider: str = "") -> bytes:
    """The header's value: ``provider`` is who answered, ``candidates`` are best first, times in seconds."""
    candidates = [_candidate(each) for each in route.considered]
    excluded = [_excluded(each) for each in route.left_out]
    budget = MAX_BYTES - len(_text({**_whole(provider, [], []), "more": 1 << 31}))
    kept: list[list[dict[str, Any]]] = [[], []]
    for place, entries in enumerate((candidates, excluded)):
        for entry in entries:
            budget -= len(_text(entry)) + 1
            if budget < 0:
                break
            kept[place].append(entry)
    value = _whole(provider, *kept)
    if more := len(candidates) + len(excluded) - len(kept[0]) - len(kept[1]):
        value["more"] = more
    return _text(value).encode("ascii")


def _text(value: object) -> str:
    # The one control character that json does not escape, and that no header may hold.
    return json.dumps(value, separators=(",", ":")).replace("\x7f", "\\u007f")


def _whole(provider: str, candidates: list[dict[str, Any]], excluded: list[dict[str, Any]]) -> dict[str, Any]:
    return {"provider": provider, "candidates": candidates, "excluded": excluded}


def _candidate(each: Considered) -> dict[str, Any]:
    terms = each.terms
    return {
        "provider": each.provider,
        "model": each.model,
        "expected": round(terms.expected_s, 6),
        "first_token": round(terms.first_token_s, 6),
        "queue": round(terms.queue_s, 6),
        "load": round(terms.load_s, 6),
        "prefill": round(terms.prefill_s, 6),
        "decode": round(terms.decode_s, 6),
        "toll": round(each.cost_s - terms.expected_s, 6),
        "hits": terms.hit_tokens,
        "price": terms.credits,
    }


def _excluded(each: LeftOut) -> dict[str, Any]:
    return {"provider": each.provider, "model": each.model, "reason": each.reason}
