"""How a client wants its provider chosen: OpenRouter's ``provider`` object and its ``models`` list, in one form.

Pure data; never part of an offer, since it is the coordinator's business alone. Prices are micro-credits per million
tokens, times seconds, rates tokens per second.
"""

from __future__ import annotations

from dataclasses import dataclass

PRICE = "price"
THROUGHPUT = "throughput"
LATENCY = "latency"
# The whole of the expected time, prices apart; what the model name "fastest" stands for.
TIME = "time"
SORTS = (PRICE, THROUGHPUT, LATENCY, TIME)
# Models that have to be loaded first: asked where that is expected to be the fastest, or only when nobody else is left.
WAIT, AVOID = "wait", "avoid"


@dataclass(frozen=True, slots=True)
class Wishes:
    """``models``: further models to fall back to, in order.

    ``order``: peers to be tried first, in this order; with ``allow_fallbacks`` off nobody else is. ``sort`` is one of
    ``SORTS``, or empty where the balance of health, price and time decides. ``quantizations``: classes like ``int4``,
    or exact names like ``Q4_K_M``. ``least_tps`` and ``most_first_token_s`` put those behind who do not reach them,
    without excluding them. ``cold`` is ``WAIT`` or ``AVOID``, or empty for what the node does.
    """

    models: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    allow_fallbacks: bool = True
    require_parameters: bool = False
    deny_data_collection: bool = False
    sort: str = ""
    max_price_prompt: int | None = None
    max_price_completion: int | None = None
    quantizations: tuple[str, ...] = ()
    least_tps: float = 0.0
    most_first_token_s: float = 0.0
    cold: str = ""


NO_WISHES = Wishes()
