"""How long a peer takes to load a model before its first answer: by its own word, by what was seen of it, by the size.

Pure. A card does not say how large the file is; parameters and bits of a quantization do, nearly.
"""

from __future__ import annotations

from collections import OrderedDict

from peernode.market.routing.quantizations import class_of
from peernode.wire.advert import ModelCard

# Bytes per second and seconds to start, before any load was seen: a slow disk.
USUAL_RATE = 200e6
START_S = 1.0
# The share of a new load in what is expected.
SHARE = 0.5
MAX_LOADS = 4096
# A word about a load is trusted so long after the load should have been over.
TRUSTED_S = 10.0
SOON_S = 0.5
_BITS = {"fp32": 32.0, "fp16": 16.0, "bf16": 16.0, "mxfp4": 4.3, "nvfp4": 4.5}
_USUAL_BITS = 4.5
_MORE_BITS = 0.5  # scales and the like


class LoadPace:
    """Remembers loads by peer and digest; bounded. Times are seconds on the caller's clock."""

    def __init__(self) -> None:
        self._took_s: OrderedDict[tuple[str, bytes], float] = OrderedDict()
        self._until_s: OrderedDict[tuple[str, bytes], float] = OrderedDict()
        self._rate = USUAL_RATE

    def told(self, peer: str, digest: bytes, eta_s: float, now: float) -> None:
        """The peer has said how long the load still takes."""
        _keep(self._until_s, (peer, digest), now + eta_s)

    def took(self, peer: str, card: ModelCard, seconds: float) -> None:
        """A job waited so long for a load, from before its beginning."""
        known = self._took_s.get((peer, card.digest), seconds)
        _keep(self._took_s, (peer, card.digest), known + (seconds - known) * SHARE)
        if seconds > START_S:
            self._rate += (size_of(card) / (seconds - START_S) - self._rate) * SHARE

    def expected_s(self, peer: str, card: ModelCard, now: float) -> float:
        """How long a job that comes now waits for the load, if nobody began with it; else what is left of that."""
        until_s = self._until_s.get((peer, card.digest), float("-inf"))
        if now < until_s + TRUSTED_S:
            return max(until_s - now, SOON_S)
        return self._took_s.get((peer, card.digest)) or START_S + size_of(card) / self._rate


def size_of(card: ModelCard) -> float:
    """About how many bytes the file of a model has."""
    kind = class_of(card.quantization)
    bits = _BITS.get(kind) or (float(kind[3:]) + _MORE_BITS if kind.startswith("int") else _USUAL_BITS)
    return card.parameters * bits / 8


def _keep(kept: OrderedDict[tuple[str, bytes], float], key: tuple[str, bytes], value: float) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > MAX_LOADS:
        kept.popitem(last=False)
