"""What a provider measured of one part of a job, and the receipt that says so."""

from __future__ import annotations

from dataclasses import dataclass, field

from peernode.chat.events import Finished, Tokens
from peernode.chat.job_request import JobRequest
from peernode.engine import ModelFacts
from peernode.wire.offer import Offer
from peernode.wire.receipt import Receipt, ids_digest, is_embedded, text_digest


@dataclass(slots=True)
class Meter:
    """Counts what is handed on, at the moment it is handed on; times are Unix milliseconds."""

    accepted_ms: int
    first_token_ms: int = 0
    ids: list[int] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    def count(self, tokens: Tokens, *, now_ms: int) -> None:
        if tokens.ids and not self.first_token_ms:
            self.first_token_ms = max(now_ms, self.accepted_ms)
        self.ids.extend(tokens.ids)
        self.pieces.append(tokens.text)

    def receipt(
        self,
        offer: Offer,
        request: JobRequest,
        facts: ModelFacts,
        finished: Finished,
        *,
        now_ms: int,
        seq: int,
        previous: bytes,
    ) -> Receipt:
        """The receipt for exactly what was counted."""
        usage = finished.usage
        return Receipt(
            network=offer.network,
            request_id=offer.request_id,
            part=offer.part,
            coordinator=offer.coordinator,
            provider=offer.provider,
            model_id=facts.id,
            model_digest=facts.digest,
            quantization=facts.quantization,
            template_digest=facts.template_digest,
            sampler_version=facts.sampler_version,
            sampler_digest=request.sampling.digest,
            seed=offer.seed,
            request_digest=request.digest,
            transformed=offer.transformed,
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            completion_tokens=len(self.ids),
            output_ids_digest=ids_digest(self.ids),
            text_digest=text_digest("".join(self.pieces)),
            finish_reason=finished.reason,
            prices=offer.prices,
            credits=offer.prices.amount(
                prompt_tokens=usage.prompt_tokens,
                cached_tokens=usage.cached_tokens,
                completion_tokens=len(self.ids),
                embedded=is_embedded(facts.sampler_version, finished.reason),
            ),
            accepted_ms=self.accepted_ms,
            first_token_ms=self.first_token_ms,
            finished_ms=max(now_ms, self.first_token_ms, self.accepted_ms),
            seq=seq,
            previous=previous,
        )
