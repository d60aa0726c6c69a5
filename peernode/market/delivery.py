"""What a coordinator has seen of one part of an answer, as it relays it."""

from __future__ import annotations

from dataclasses import dataclass, field

from peernode.market.billing import Delivered


@dataclass(slots=True)
class Delivery:
    """Grows with the stream; ``sealed`` is what receipts are held against. ``reason`` is empty until the end.

    ``prompt`` is (tokens, cached) of the prompt once the provider said so.
    """

    ids: list[int] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    reason: str = ""
    prompt: tuple[int, int] = (0, 0)

    def add(self, ids: tuple[int, ...], text: str) -> None:
        self.ids.extend(ids)
        self.pieces.append(text)

    @property
    def begun(self) -> bool:
        return bool(self.pieces)

    def sealed(self) -> Delivered:
        return Delivered(tuple(self.ids), "".join(self.pieces), self.reason)
