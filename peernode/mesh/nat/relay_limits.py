"""Who may use this node as a relay, and how much: reservations and circuits, counted and bounded.

Pure: time in seconds is passed in. Leaves the protocol and the bytes to ``relay_service``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

RESERVATION_S = 600.0
MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """Bounds of one relay. ``circuit_bytes`` counts both directions; ``calls_per_minute`` is for one caller."""

    reservations: int = 128
    reservations_per_address: int = 16
    circuits: int = 128
    circuits_per_caller: int = 8
    circuits_per_called: int = 32
    calls_per_minute: int = 30
    circuit_s: float = 3600.0
    circuit_bytes: int = 1 << 30


class RelayBook:
    """The reservations and circuits of one relay."""

    def __init__(self, limits: RelayLimits) -> None:
        self.limits = limits
        self._reservations: dict[str, tuple[float, str]] = {}
        self._callers: Counter[str] = Counter()
        self._called: Counter[str] = Counter()
        self._calls: dict[str, list[float]] = {}

    @property
    def circuits(self) -> int:
        """How many circuits run now."""
        return self._callers.total()

    @property
    def reservations(self) -> int:
        """How many reservations were made and have not been swept."""
        return len(self._reservations)

    def reserve(self, peer: str, host: str, now_s: float) -> bool:
        """Reserve or renew for ``peer``, who calls from the IP address ``host``; False when there is no room."""
        self._reservations = {each: held for each, held in self._reservations.items() if held[0] > now_s}
        if peer not in self._reservations:
            of_host = sum(held[1] == host for held in self._reservations.values())
            if len(self._reservations) >= self.limits.reservations or of_host >= self.limits.reservations_per_address:
                return False
        self._reservations[peer] = (now_s + RESERVATION_S, host)
        return True

    def release(self, peer: str) -> None:
        """Forget the reservation of a peer that has gone."""
        self._reservations.pop(peer, None)

    def reserved(self, peer: str, now_s: float) -> bool:
        """True while ``peer`` can be called through this relay."""
        return self._reservations.get(peer, (0.0, ""))[0] > now_s

    def open_circuit(self, caller: str, called: str, now_s: float) -> bool:
        """Count a circuit in; False when a bound is reached."""
        if self._calls_too_often(caller, now_s):
            return False
        if (
            self.circuits >= self.limits.circuits
            or self._callers[caller] >= self.limits.circuits_per_caller
            or self._called[called] >= self.limits.circuits_per_called
        ):
            return False
        self._callers[caller] += 1
        self._called[called] += 1
        return True

    def _calls_too_often(self, caller: str, now_s: float) -> bool:
        """Each call makes the called peer work, whatever becomes of it; refused ones count, too."""
        self._calls = {peer: times for peer, times in self._calls.items() if times[-1] > now_s - MINUTE_S}
        times = self._calls.setdefault(caller, [])
        times[:] = [*(at for at in times if at > now_s - MINUTE_S), now_s][-self.limits.calls_per_minute - 1 :]
        return len(times) > self.limits.calls_per_minute

    def close_circuit(self, caller: str, called: str) -> None:
        """Count a circuit out."""
        for counter, peer in ((self._callers, caller), (self._called, called)):
            counter[peer] -= 1
            if counter[peer] <= 0:
                del counter[peer]
