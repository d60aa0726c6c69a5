"""Can peers reach this node by themselves? The verdict over rounds of questions, and what to do about it.

Pure. A round is what a few peers found when they tried to connect to this node. The first round decides; after that
two rounds in a row must say otherwise, so that one bad minute or one liar does not move a node. Leaves asking to
``reach``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

ROUNDS_TO_TURN = 2
# Private use (RFC 1918, RFC 6598), link-local, unique local: nobody out there can use them.
_LOCAL = tuple(
    ipaddress.ip_network(block)
    for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8")
) + tuple(ipaddress.ip_network(block) for block in ("fc00::/7", "fe80::/10", "::1/128"))


class Reach(Enum):
    """What is known about how others reach this node."""

    UNKNOWN = "unknown"
    PUBLIC = "public"
    PRIVATE = "private"


@dataclass(frozen=True, slots=True)
class Answer:
    """One peer's: it saw us come from ``host``, and could (or not) connect to ``host``:``port``."""

    helper: str
    host: str
    port: int
    reached: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """``host`` and ``port`` are how the outside sees this node; ``nat`` is true when no interface here has ``host``."""

    reach: Reach = Reach.UNKNOWN
    host: str = ""
    port: int = 0
    nat: bool = False

    @property
    def reason(self) -> str:
        """Why peers cannot reach this node: "nat" or "firewall"; empty when they can, or nobody knows."""
        if self.reach is not Reach.PRIVATE:
            return ""
        return "nat" if self.nat else "firewall"


def is_local(host: str) -> bool:
    """True for an IP address that means something in one house only (or is none)."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return True
    return any(address.version == block.version and address in block for block in _LOCAL)


def remedy(verdict: Verdict, relays: Sequence[str]) -> str:
    """What the operator can do, in one sentence."""
    if verdict.reach is Reach.UNKNOWN:
        return "Not known yet: no peer has tried to connect to this node."
    if verdict.reach is Reach.PUBLIC:
        return "Nothing to do: peers can connect to this node."
    through = f"it is reached through {' and '.join(relays)}" if relays else "no relay was found"
    if verdict.nat:
        return (
            f"Forward TCP port {verdict.port} of {verdict.host} in the router to this machine for direct connections; "
            f"until then {through}."
        )
    return f"Open TCP port {verdict.port} in the firewall for direct connections; until then {through}."


class Reachability:
    """The state over rounds."""

    def __init__(self) -> None:
        self.verdict = Verdict()
        self._other = 0

    @property
    def unsettled(self) -> bool:
        """True while the last round contradicted the verdict, or there was none."""
        return self.verdict.reach is Reach.UNKNOWN or self._other > 0

    def forget(self) -> None:
        """The addresses of this machine changed: what was known is about another place."""
        self.verdict, self._other = Verdict(), 0

    def take(self, answers: Sequence[Answer], own_hosts: Sequence[str]) -> bool:
        """Take in a round; ``own_hosts`` are this machine's IP addresses. True when the verdict changed.

        Peers in the same house see a local address: they count only when nobody from outside answered.
        """
        counted = [answer for answer in answers if not is_local(answer.host)] or list(answers)
        reached = [answer for answer in counted if answer.reached]
        failed = [answer for answer in counted if not answer.reached]
        if len(reached) == len(failed):
            return False
        telling = reached[0] if len(reached) > len(failed) else failed[0]
        found = Verdict(
            Reach.PUBLIC if telling.reached else Reach.PRIVATE,
            telling.host,
            telling.port,
            telling.host not in own_hosts,
        )
        if self.verdict.reach in (Reach.UNKNOWN, found.reach):
            self._other = 0
        else:
            self._other += 1
            if self._other < ROUNDS_TO_TURN:
                return False
            self._other = 0
        changed, self.verdict = found != self.verdict, found
        return changed
