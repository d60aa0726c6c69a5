"""The track records of all peers that this node had to do with; bounded, the longest unused forgotten first."""

from __future__ import annotations

from collections import OrderedDict

from peernode.market.routing.pace import Pace
from peernode.market.routing.track_record import TrackRecord
from peernode.wire.advert import ModelCard

MAX_RECORDS = 4096
# Nobody is believed to be more than so many times faster than the fastest that was measured with this model.
BELIEVED_TIMES = 2.0
# The fastest is forgotten little by little, lest one lucky measurement stand for ever.
FASTEST_KEPT = 0.999


class Records:
    """One record for each (peer, model digest)."""

    def __init__(self) -> None:
        self._records: OrderedDict[tuple[str, bytes], TrackRecord] = OrderedDict()
        self._fastest: dict[bytes, tuple[float, float]] = {}

    def of(self, peer: str, digest: bytes) -> TrackRecord:
        """The record to write to; made when there is none."""
        key = peer, digest
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = TrackRecord()
            if len(self._records) > MAX_RECORDS:
                self._records.popitem(last=False)
        self._records.move_to_end(key)
        return record

    def measured(self, digest: bytes, record: TrackRecord) -> None:
        """Note how fast a record now is, as a measure for what others may claim."""
        prefill, decode = record.measured()
        best_prefill, best_decode = self._fastest.get(digest, (0.0, 0.0))
        self._fastest[digest] = (
            max(prefill, best_prefill * FASTEST_KEPT),
            max(decode, best_decode * FASTEST_KEPT),
        )
        while len(self._fastest) > MAX_RECORDS:
            del self._fastest[next(iter(self._fastest))]

    def pace(self, peer: str, card: ModelCard) -> Pace:
        """What to expect of a peer: measured, or else advertised within what is believable."""
        record = self._records.get((peer, card.digest)) or TrackRecord()
        prefill, decode = self._fastest.get(card.digest, (0.0, 0.0))
        return record.pace(_believed(card.prefill_tps, prefill), _believed(card.decode_tps, decode))

    def delay(self, peer: str, digest: bytes, now: float) -> float:
        """See ``TrackRecord.delay``."""
        record = self._records.get((peer, digest))
        return record.delay(now) if record else 0.0

    def wavered_s(self, peer: str, digest: bytes) -> float:
        """When this peer last failed a job, on the caller's clock; minus infinity if it never did."""
        record = self._records.get((peer, digest))
        return record.wavered_s if record else float("-inf")


def _believed(claimed: int, fastest: float) -> int:
    return min(claimed, round(fastest * BELIEVED_TIMES)) if fastest else claimed
