"""Reaches one peer by whatever addresses are known of it, once, and remembers how that went.

Owns which addresses a peer may have and which of them may be tried now. Leaves one attempt to ``dialing``, the order
of attempts to ``racing``, pauses to ``backoff``, what strangers' claims may cost to ``dial_budget``, and to whom a
connection is kept to ``connections``.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
import trio
from libp2p.host.basic_host import BasicHost

from peernode.mesh.addresses import dialable
from peernode.mesh.backoff import MAX_PAUSE_S, Backoff
from peernode.mesh.dial_budget import DialBudget
from peernode.mesh.dialing import DIAL_DEADLINE_S, ConnectionWatch, dial
from peernode.mesh.directory import Directory
from peernode.mesh.errors import DialFailed
from peernode.mesh.found_peers import FoundPeers
from peernode.mesh.known_peers import KnownPeers
from peernode.mesh.nat.circuit_address import is_circuit
from peernode.mesh.racing import first_reached
from peernode.mesh.traffic import Traffic

log = structlog.get_logger(__name__)

# Dials at once: each silent address takes a place for seconds. Those that only keep the node connected never hold up
# those that a job waits for.
MAX_DIALS = 128
MAX_JOB_DIALS = 64
# A stranger's address that failed is not knocked at again sooner, whatever jobs would like.
KNOCK_GAP_S = 5.0
# Whoever was connected a while ago is tried again often: a network that was cut for a minute heals within seconds. So
# are, less often, those whom the operator named.
RECENT_S = 600.0
RECENT_PAUSE_S = 4.0
NAMED_PAUSE_S = 15.0
# Peers of whom addresses and last connection are remembered when they are gone.
MAX_TOLD = 512


class Dialler:
    """The dials of one host while it lives; for the parameters see ``Connections``."""

    def __init__(
        self,
        host: BasicHost,
        watch: ConnectionWatch,
        *,
        join: Mapping[str, Sequence[str]],
        known: KnownPeers,
        found: FoundPeers,
        directory: Directory,
        own_addresses: Callable[[], Sequence[str]],
        rng: random.Random,
        traffic: Traffic,
    ) -> None:
        # Connects to (peer id, circuit address); whoever knows relays puts it in.
        self.call_circuit: Callable[[str, str], Awaitable[None]] | None = None
        self._host = host
        self._watch = watch
        self._join = join
        self._known = known
        self._found = found
        self._directory = directory
        self._own_addresses = own_addresses
        self._traffic = traffic
        self._backoff = Backoff(rng)
        self._budget = DialBudget()
        self._told: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self._live_until: OrderedDict[str, float] = OrderedDict()
        self._dialling: dict[str, trio.Lock] = {}
        self._dials = trio.CapacityLimiter(MAX_DIALS)
        self._job_dials = trio.CapacityLimiter(MAX_JOB_DIALS)

    async def reach(self, peer_id: str, told: Sequence[str] = ()) -> None:
        """Return once connected to the peer, dialling the addresses we know. Raises ``DialFailed``.

        ``told`` are further addresses that somebody claims. A caller is waiting, so an address that failed before is
        tried sooner than it would be otherwise.
        """
        if self._watch.live(peer_id):
            return
        addresses = list(dict.fromkeys([*self._addresses(peer_id), *dialable(told, self._own_addresses())]))
        permitted = [address for address in addresses if self._may_knock(peer_id, address)]
        last = await self._dial_any(peer_id, permitted, self._job_dials)
        if self._watch.live(peer_id):
            return
        cause = "no address of it is known"
        if addresses:
            cause = "the connection was lost at once" if permitted else "its addresses failed a moment ago"
        raise last or DialFailed(f"Peer {peer_id} could not be reached.", cause=cause)

    async def try_due(self, peer_id: str) -> bool:
        """Try every address that is due, each by its own pauses; True when all that were tried failed."""
        now = trio.current_time()
        if self._backoff.ready_at(peer_id) > now:
            return False
        due = [
            address
            for address in self._addresses(peer_id)
            if self._backoff.ready_at(address) <= now
            and (self._trusts(peer_id, address) or self._budget.permits(peer_id, address, now))
        ]
        return bool(due) and await self._dial_any(peer_id, due, self._dials) is not None

    def due_at(self, peer_id: str) -> float:
        """When some address of the peer is due again; infinity when none is known."""
        first = min((self._backoff.ready_at(address) for address in self._addresses(peer_id)), default=float("inf"))
        return max(first, self._backoff.ready_at(peer_id))

    def hung_up(self, peer_id: str) -> None:
        """The peer accepted and then left at once: pause before trying again, longer each time."""
        self._backoff.failed(peer_id, trio.current_time())

    def stayed(self, peer_id: str) -> None:
        """The peer stayed connected for a while, and is lost now."""
        self._backoff.succeeded(peer_id)
        self._live_until[peer_id] = trio.current_time()
        self._live_until.move_to_end(peer_id)
        while len(self._live_until) > MAX_TOLD:
            self._live_until.popitem(last=False)

    def _addresses(self, peer_id: str) -> list[str]:
        """Where the peer may be: as the operator said, as it was reached before, as it signed, as somebody told."""
        signed = self._directory.snapshot().adverts.get(peer_id)
        if signed is not None:
            self._told[peer_id] = signed.advert.addresses
            self._told.move_to_end(peer_id)
            while len(self._told) > MAX_TOLD:
                self._told.popitem(last=False)
        own = self._own_addresses()
        claimed = [
            *dialable(self._told.get(peer_id, ()), own),
            *dialable(self._found.addresses(peer_id), own),
        ]
        return list(dict.fromkeys([*self._join.get(peer_id, ()), *self._known.addresses(peer_id), *claimed]))

    def _trusts(self, peer_id: str, address: str) -> bool:
        """True for an address that is more than a claim."""
        return address in self._join.get(peer_id, ()) or address in self._known.addresses(peer_id)

    def _may_knock(self, peer_id: str, address: str) -> bool:
        if self._trusts(peer_id, address):
            return True
        now = trio.current_time()
        return now - self._backoff.failed_at(address) >= KNOCK_GAP_S and self._budget.permits(peer_id, address, now)

    def _longest_pause(self, peer_id: str, address: str) -> float:
        if self._trusts(peer_id, address):
            if trio.current_time() - self._live_until.get(peer_id, float("-inf")) < RECENT_S:
                return RECENT_PAUSE_S
            if peer_id in self._join:
                return NAMED_PAUSE_S
        return MAX_PAUSE_S

    async def _dial_any(
        self, peer_id: str, addresses: Sequence[str], limiter: trio.CapacityLimiter
    ) -> DialFailed | None:
        """Dial until one address is reached; the last failure if none was."""
        last: DialFailed | None = None

        async def attempt(address: str) -> bool:
            nonlocal last
            async with limiter:
                if self._watch.live(peer_id):
                    return False
                try:
                    await self._attempt(peer_id, address)
                except DialFailed as error:
                    last = error
                    self._note_failure(peer_id, address, error)
                    return False
            return True

        lock = self._dialling.setdefault(peer_id, trio.Lock())
        try:
            async with lock:
                reached = None if self._watch.live(peer_id) else await first_reached(attempt, addresses)
        finally:
            if not lock.locked() and not lock.statistics().tasks_waiting:
                self._dialling.pop(peer_id, None)
        if reached is not None:
            self._backoff.succeeded(reached)
            if not self._watch.live(peer_id):
                self.hung_up(peer_id)
            if not is_circuit(reached):  # relays change; they are learned anew
                self._known.reached(peer_id, reached)
            return None
        return last

    async def _attempt(self, peer_id: str, address: str) -> None:
        if not is_circuit(address):
            await dial(self._host, peer_id, address, deadline_s=DIAL_DEADLINE_S)
        elif self.call_circuit is None:
            raise DialFailed(f"Peer {peer_id} could not be reached.", cause="this node uses no relays")
        else:
            await self.call_circuit(peer_id, address)

    def _note_failure(self, peer_id: str, address: str, error: DialFailed) -> None:
        self._traffic.dial_failures += 1
        self._backoff.failed(address, trio.current_time(), longest_s=self._longest_pause(peer_id, address))
        if not self._trusts(peer_id, address):
            self._budget.failed(peer_id, address, trio.current_time())
        log.debug("dial_failed", peer=peer_id, address=address, cause=error.cause)
