"""What a running node tells its operator's tools: status, models and peers as plain JSON values."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import trio

from peernode import __version__
from peernode.chat.request import ChatRequest
from peernode.chat.wishes import Wishes
from peernode.engine import Engine
from peernode.market.candidates import Candidates
from peernode.market.coordinator import Coordinator
from peernode.market.explanation import route_of
from peernode.market.models import OwnModel
from peernode.market.provider import Provider
from peernode.market.routing import demand_of, rank
from peernode.market.routing.model_names import read_model_name
from peernode.mesh import Mesh
from peernode.node.metrics import node_metrics
from peernode.node.own_engines import OwnEngines
from peernode.node.own_log import OwnLog
from peernode.node.peer_view import PeerView


@dataclass(slots=True)
class AdminView:
    """Implements the edge's AdminServices by looking at the live parts. ``http`` is filled in once it listens."""

    network: str
    home: str
    mesh: Mesh
    engines: OwnEngines
    candidates: Candidates
    provider: Provider
    coordinator: Coordinator
    rng: random.Random
    clock: Callable[[], float]
    log: OwnLog
    credit_note: Callable[[str], str | None] = lambda peer: None
    http: str | None = None
    started_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.started_s = self.clock()

    def status(self) -> Mapping[str, Any]:
        return {
            "peer_id": self.mesh.peer_id,
            "addresses": self.mesh.addresses(),
            "http": self.http,
            "models": [
                {**_engine(engine), **_pricing(model)}
                for engine, model in zip(self.engines.engines, self.engines.models, strict=True)
            ],
            "peers": self.peers(),
            "version": __version__,
            "network": self.network,
            "reachability": self._reachability(),
            "home": self.home,
            "pid": os.getpid(),
            "uptime_s": round(self.clock() - self.started_s, 1),
            "draining": self.provider.draining,
            "receipts_log": self.log.view(),
            "jobs": {"coordinated": self.coordinator.jobs.running, "provided": self.provider.jobs.running},
        }

    def _reachability(self) -> Mapping[str, Any]:
        """How others reach this node, and the remedy if they cannot."""
        return asdict(self.mesh.reachability())

    def models(self) -> Sequence[Mapping[str, Any]]:
        return [
            {
                "id": offering.model_id,
                "nodes_available": len(offering.peers),
                "here": self.mesh.peer_id in offering.peers,
                "providers": [
                    {
                        "peer_id": peer,
                        "digest": card.digest.hex(),
                        "architecture": card.architecture,
                        "parameters": card.parameters,
                        "quantization": card.quantization,
                        "context_length": card.context_length,
                        "prices": {
                            "prompt": card.price_prompt,
                            "cached": card.price_cached,
                            "completion": card.price_completion,
                        },
                        "decode_tps": card.decode_tps,
                        "prefill_tps": card.prefill_tps,
                        "features": card.features,
                    }
                    for peer, card in zip(offering.peers, offering.cards, strict=True)
                ],
            }
            for offering in self.candidates.offerings()
        ]

    def metrics(self) -> str:
        return node_metrics(self.engines.engines, self.mesh)

    def peers(self) -> Sequence[Mapping[str, Any]]:
        caught = self.log.caught()
        return [
            {**row, "credit": self.credit_note(row["peer_id"]), "two_logs": caught.get(row["peer_id"])}
            for row in PeerView(self.mesh, further=caught).rows()
        ]

    async def ping(self, peer: str, count: int) -> Mapping[str, Any]:
        return await PeerView(self.mesh).ping(peer, count)

    def route(self, model: str, request: ChatRequest, wishes: Wishes) -> Mapping[str, Any]:
        """Whom the coordinator would ask now, best first, and who is left out why. Times are seconds."""
        name, now = read_model_name(model), trio.current_time()
        demand = demand_of(request, self.candidates.experience.whole(name.adapted(wishes)))
        candidates = self.candidates.for_model(name.id, request, now=now)
        route = route_of(rank(demand, candidates, now, self.rng))
        return {
            "model": model,
            "prompt_tokens": demand.prompt_tokens,
            "completion_tokens": demand.completion_tokens,
            "candidates": [each.to_fields() for each in route.considered],
            "excluded": [asdict(each) for each in route.left_out],
        }


def _pricing(model: OwnModel) -> Mapping[str, Any]:
    """What a model costs now, and by what factors that differs from what is configured."""
    asked, factors = model.asking(), model.auto.factors() if model.auto else None
    return {
        "prices": {"prompt": asked.prompt, "cached": asked.cached, "completion": asked.completion},
        "price_factors": factors and {"prompt": factors[0], "completion": factors[1]},
    }


def _engine(engine: Engine) -> Mapping[str, Any]:
    load, facts = engine.load(), engine.facts
    return {
        "id": engine.model_id,
        "state": engine.state,
        "load": "lazy" if engine.settings.lazy else "eager",
        "idle_timeout_s": engine.settings.idle_timeout_s if engine.settings.lazy else None,
        "progress": engine.load_progress,
        "eta_s": None if engine.load_eta_s is None else round(engine.load_eta_s, 1),
        "error": str(engine.failure) if engine.failure else None,
        "worker_pid": engine.worker_pid,
        "digest": facts.digest.hex() if facts else None,
        "quantization": facts.quantization if facts else None,
        "context_length": facts.context_length if facts else None,
        "slots": load.slots,
        "free_slots": load.free_slots,
        "queued": load.queued,
        "waiting": engine.waiting,
        "decode_tps": round(load.decode_tps, 1),
        "prefill_tps": round(load.prefill_tps, 1),
    }
