"""Who may use this node as a relay, and how much: reservations and circuits, counted and bounded.

Pure: time in seconds is passed in. Leaves the protocol and the bytes to ``relay_service``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

RESERVATION_S = 600.0


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """Bounds of one relay. ``circuit_bytes`` counts both directions together; all zero-free."""

    reservations: int = 128
    reservations_per_address: int = 16
    circuits: int = 128
    circuits_per_caller: int = 8
    circuits_per_called: int = 32
    circuit_s: float = 3600.0
    circuit_bytes: int = 1 << 30


class RelayBook:
    """The reservations and circuits of one relay."""

    def __init__(self, limits: RelayLimits) -> None:
        self.limits = limits
        self._reservations: dict[str, tuple[float, str]] = {}
        self._callers: Counter[str] = Counter()
        self._called: Counter[str] = Counter()

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

    def open_circuit(self, caller: str, called: str) -> bool:
        """Count a circuit in; False when a bound is reached."""
        if (
            self.circuits >= self.limits.circuits
            or self._callers[caller] >= self.limits.circuits_per_caller
            or self._called[called] >= self.limits.circuits_per_called
        ):
            return False
        self._callers[caller] += 1
        self._called[called] += 1
        return True

    def close_circuit(self, caller: str, called: str) -> None:
        """Count a circuit out."""
        for counter, peer in ((self._callers, caller), (self._called, called)):
            counter[peer] -= 1
            if counter[peer] <= 0:
                del counter[peer]
