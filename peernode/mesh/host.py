"""The libp2p host: TCP, Noise and yamux only, mended, with limits, and run so that it can be started again.

Owns how a host is built, closed and supervised. Leaves whom to dial to ``connections``, and pubsub to ``gossip``.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import structlog
import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_x25519_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.swarm import Swarm
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux
from multiaddr import Multiaddr

from peernode.mesh import hardening
from peernode.mesh.errors import HostFell, ListenFailed
from peernode.mesh.hardening.peer_gate import GuardedUpgrader, guard_of
from peernode.mesh.limits.guard import Guard

log = structlog.get_logger(__name__)

MAX_CONNECTIONS = 300
ABOVE_OUR_LIMITS = 64
DIAL_DEADLINE_S = 5.0
CLOSE_DEADLINE_S = 5.0
RESTART_FIRST_S = 0.5
RESTART_MAX_S = 30.0


class StartSignal(Protocol):
    """Trio's ``task_status``: called once, when the task has started."""

    @property
    def started(self) -> Callable[..., None]: ...


class Startable(Protocol):
    """An async function for ``nursery.start``."""

    def __call__(self, *, task_status: StartSignal) -> Awaitable[None]: ...


def build_host(seed: bytes, listen: Sequence[str], guard: Guard | None = None) -> BasicHost:
    """Build a host for the ed25519 key with this 32-byte ``seed``; nothing runs or listens yet.

    ``guard`` holds the limits on others, by default those of ``MeshSettings``.

    Raises ``UnsupportedLibp2p`` if another libp2p is installed than the hardening was written for.
    """
    hardening.apply()
    guard = guard or Guard()
    key_pair = create_new_key_pair(seed)
    # The library's defaults would also accept plaintext, which proves no key.
    security = {NOISE: NoiseTransport(key_pair, noise_privkey=create_x25519_key_pair().private_key)}
    muxers = {TProtocol(YAMUX): Yamux}
    # Our own limits come first; the library's are a net under them.
    most = guard.settings.max_connections + ABOVE_OUR_LIMITS
    host = new_host(
        key_pair=key_pair,
        listen_addrs=[Multiaddr(address) for address in listen],
        sec_opt=security,
        muxer_opt=muxers,
        disable_identify_address_discovery=True,  # peers' word on our address is not proof of it
        connection_config=ConnectionConfig(
            max_connections=most,
            high_watermark=most,  # nobody is thrown out for a newcomer
            low_watermark=0,  # no dialling behind our back: connections.py decides
            min_connections=0,
            dial_timeout=DIAL_DEADLINE_S,
            outbound_upgrade_timeout=DIAL_DEADLINE_S,
            enable_health_monitoring=False,  # hardening.yamux_keepalive notices silent peers, sooner and cheaper
        ),
    )
    # One answer per dial: whoever waits has other addresses and peers to try. new_host() offers no way to say so.
    swarm = host.get_network()
    swarm.retry_config = RetryConfig(max_retries=0)
    swarm.upgrader = GuardedUpgrader(security, muxers, guard)
    # It would refuse peers because a large model fills the memory; ``guard`` counts connections and streams.
    swarm.set_resource_manager(None)
    return host


@asynccontextmanager
async def listening(host: BasicHost, listen: Sequence[str]) -> AsyncIterator[None]:
    """Run ``host`` on the ``listen`` addresses, with its bans enforced; close its sockets for certain on the way out.

    Raises ``ListenFailed`` if no address could be bound, ``HostFell`` if the host ends by itself.
    """
    addresses = [Multiaddr(address) for address in listen]
    async with host.run(addresses), trio.open_nursery() as nursery:
        nursery.start_soon(guard_of(host.get_network()).enforce, host.get_network())
        nursery.start_soon(_raise_when_over, host.get_network())
        try:
            if addresses and not host.get_transport_addrs():
                raise ListenFailed(
                    "The mesh cannot listen.",
                    cause="none of the addresses could be bound: " + ", ".join(listen),
                    remedy="Choose a free port or an address of this machine, or stop the other program.",
                )
            yield
        finally:
            nursery.cancel_scope.cancel()
            # Before leaving run(): otherwise the sockets stay open, and peers keep talking to a dead stream.
            with trio.CancelScope(deadline=trio.current_time() + CLOSE_DEADLINE_S, shield=True):
                await host.close()


async def _raise_when_over(swarm: Swarm) -> None:
    """Raise ``HostFell`` when the library's service or one of its listeners has ended without an error."""
    over: trio.Event = trio.Event()

    async def wait(ending: Awaitable[None]) -> None:
        await ending
        over.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, swarm.manager.wait_finished())
        for listener in swarm.listeners.values():
            nursery.start_soon(wait, listener._stopped.wait())
        await over.wait()
        raise HostFell("The libp2p host ended by itself.")


def sole_cause(error: Exception) -> Exception:
    """The one exception inside nested groups of one; the error itself if there are several."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


async def keep_running(
    run_once: Startable, *, rng: random.Random, task_status: StartSignal = trio.TASK_STATUS_IGNORED
) -> None:
    """Run ``run_once`` for ever; when it fails after it had started, start it again with growing pauses.

    ``run_once`` reports its start through the task status it is given. A failure *before* the first start is raised:
    then the configuration is at fault, and somebody is watching.
    """
    ever_started = False
    pause = RESTART_FIRST_S

    async def one_life() -> None:
        nonlocal ever_started, pause
        async with trio.open_nursery() as nursery:
            await nursery.start(run_once)
            pause = RESTART_FIRST_S
            if not ever_started:
                ever_started = True
                task_status.started()

    while True:
        try:
            await one_life()
            log.warning("host_ended", restart_in_s=pause)
        except Exception as error:
            if not ever_started:
                raise sole_cause(error) from None
            log.exception("host_failed", error=repr(sole_cause(error)), restart_in_s=pause)
        await trio.sleep(pause * rng.uniform(0.8, 1.2))
        pause = min(pause * 2, RESTART_MAX_S)
