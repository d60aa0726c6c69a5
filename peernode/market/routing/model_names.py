"""The names that clients have for models: an id, an id with a suffix that says how to choose, or a meta-model."""

from __future__ import annotations

from dataclasses import dataclass, replace

from peernode.chat.wishes import PRICE, THROUGHPUT, TIME, Wishes

CHEAPEST = "cheapest"
FASTEST = "fastest"
AUTO = "auto"
_META = {CHEAPEST: PRICE, FASTEST: "", AUTO: ""}
_SUFFIXES = {":floor": PRICE, ":nitro": THROUGHPUT}
META_MODELS = tuple(_META)


@dataclass(frozen=True, slots=True)
class ModelName:
    """``id`` is empty for any model. ``sort`` is one of ``wishes.SORTS``, or empty for the usual balance.

    ``fastest``: nothing counts but the expected time.
    """

    id: str
    sort: str = ""
    fastest: bool = False

    def adapted(self, wishes: Wishes) -> Wishes:
        """``wishes`` sorted as the name says, if it says so."""
        sort = TIME if self.fastest else self.sort
        return replace(wishes, sort=sort) if sort else wishes


def read_model_name(name: str) -> ModelName:
    """``cheapest``, ``fastest`` and ``auto`` mean any model that can answer; ``:floor`` and ``:nitro`` sort."""
    if name in _META:
        return ModelName("", _META[name], fastest=name == FASTEST)
    for suffix, sort in _SUFFIXES.items():
        if name.endswith(suffix) and name != suffix:
            return ModelName(name.removesuffix(suffix), sort)
    return ModelName(name)
