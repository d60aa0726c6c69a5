"""The peers that this node really reached, remembered over restarts in a small file.

Owns what is remembered, for how long, and the file ``peers.json`` in the node's home. Leaves dialling to
``connections``. The file holds nothing secret, only claims that are checked again by the next handshake; it is private
(0600) because it tells with whom this node talks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
import trio

from peernode.mesh.addresses import is_address
from peernode.wire.errors import BadPeerId
from peernode.wire.identity import public_key_of

log = structlog.get_logger(__name__)

FILE_NAME = "peers.json"
MAX_PEERS = 128
MAX_ADDRESSES = 4
MAX_AGE_MS = 14 * 24 * 3600 * 1000
MAX_FILE_BYTES = 256 * 1024
# A peer reached a moment ago must survive kill -9; beyond that, one small write per this many seconds will do.
SAVE_EVERY_S = 5.0
_FORMAT = 1


class _Known:
    """Addresses at which the peer was reached, the latest first, and when that was (Unix time in milliseconds)."""

    def __init__(self, addresses: list[str], seen_ms: int) -> None:
        self.addresses = addresses
        self.seen_ms = seen_ms


class KnownPeers:
    """Reached peers of one network; without a ``path`` they are remembered only while the node runs.

    ``clock_ms`` is Unix time in milliseconds. A file that cannot be read is set aside and told in the log: it is no
    reason not to start.
    """

    def __init__(self, path: Path | None, *, network: str, clock_ms: Callable[[], int]) -> None:
        self._path = path
        self._network = network
        self._clock_ms = clock_ms
        self._peers: dict[str, _Known] = {}
        self._changed = trio.Event()
        if path is not None:
            self._load(path)

    def reached(self, peer_id: str, address: str) -> None:
        """Note that ``peer_id`` proved its key at ``address`` (a multiaddr without the peer id) just now."""
        if not is_address(address):
            return  # a name the operator joined by, or a relay: not ours to remember
        known = self._peers.setdefault(peer_id, _Known([], 0))
        known.addresses = [address, *(each for each in known.addresses if each != address)][:MAX_ADDRESSES]
        self.seen(peer_id)
        self._forget()

    def seen(self, peer_id: str) -> None:
        """Note that a peer reached earlier is still there."""
        known = self._peers.get(peer_id)
        if known is not None:
            known.seen_ms = self._clock_ms()
            self._changed.set()

    def addresses(self, peer_id: str) -> list[str]:
        """Where the peer was reached, the latest first."""
        known = self._peers.get(peer_id)
        return list(known.addresses) if known else []

    def latest(self) -> list[str]:
        """All remembered peers, the one seen last first. Their own order is that of the first meeting."""
        self._forget()
        return sorted(self._peers, key=lambda peer_id: self._peers[peer_id].seen_ms, reverse=True)

    def choose(self, number: int) -> list[str]:
        """Whom to dial after a start: half of them seen last, half known longest, which no newcomer can displace."""
        latest, longest = iter(self.latest()), iter(list(self._peers))
        chosen: dict[str, None] = {}
        for _ in range(min(number, len(self._peers))):
            source = latest if len(chosen) % 2 == 0 else longest
            chosen[next(peer_id for peer_id in source if peer_id not in chosen)] = None
        return list(chosen)

    async def keep_saved(self) -> None:
        """Write the file soon after each change, and once more when cancelled."""
        try:
            while True:
                await self._changed.wait()
                # Disks can take their time; the mesh must not wait for them.
                await trio.to_thread.run_sync(self._store, self._take())
                await trio.sleep(SAVE_EVERY_S)
        finally:
            self.save()

    def save(self) -> None:
        """Write what changed since the last time; a full disk is told in the log, and nothing else."""
        if self._changed.is_set():
            self._store(self._take())

    def _take(self) -> list[dict[str, Any]]:
        self._changed = trio.Event()
        return [
            {"id": peer_id, "addresses": known.addresses, "seen_ms": known.seen_ms}
            for peer_id, known in self._peers.items()
        ]

    def _store(self, peers: list[dict[str, Any]]) -> None:
        if self._path is None:
            return
        try:
            _write(self._path, {"format": _FORMAT, "network": self._network, "peers": peers})
        except OSError as error:
            log.warning("known_peers_not_saved", path=str(self._path), cause=error.strerror)

    def _forget(self) -> None:
        oldest_ms = self._clock_ms() - MAX_AGE_MS
        for peer_id in [peer_id for peer_id, known in self._peers.items() if known.seen_ms < oldest_ms]:
            del self._peers[peer_id]
        while len(self._peers) > MAX_PEERS:
            del self._peers[min(self._peers, key=lambda peer_id: self._peers[peer_id].seen_ms)]

    def _load(self, path: Path) -> None:
        try:
            found = _read(path)
            if found["network"] != self._network:
                log.info("known_peers_of_another_network", path=str(path), network=found["network"])
                return
            # A clock that was wrong must not make a peer young for ever.
            now_ms = self._clock_ms()
            self._peers = {
                each["id"]: _Known(each["addresses"], min(each["seen_ms"], now_ms)) for each in found["peers"]
            }
            self._forget()
        except FileNotFoundError:
            return
        except OSError as error:
            log.warning("known_peers_not_read", path=str(path), cause=error.strerror)
        except (ValueError, KeyError, TypeError, RecursionError, BadPeerId) as error:
            aside = path.with_suffix(".damaged")
            log.warning("known_peers_damaged", path=str(path), cause=str(error), set_aside=str(aside))
            try:
                path.replace(aside)
            except OSError as failed:
                log.warning("known_peers_not_set_aside", path=str(path), cause=failed.strerror)


def _read(path: Path) -> dict[str, Any]:
    """Raises OSError when the file cannot be read, and ValueError, KeyError, TypeError or BadPeerId for its content."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        raw = file.read(MAX_FILE_BYTES + 1)
    if len(raw) > MAX_FILE_BYTES:
        raise ValueError(f"it is larger than {MAX_FILE_BYTES} bytes")
    found: dict[str, Any] = json.loads(raw)
    if found["format"] != _FORMAT or not isinstance(found["network"], str) or not isinstance(found["peers"], list):
        raise ValueError("it has another format")
    for each in found["peers"]:
        public_key_of(each["id"])
        seen_ms, addresses = each["seen_ms"], each["addresses"]
        if not isinstance(seen_ms, int) or not isinstance(addresses, list) or len(addresses) > MAX_ADDRESSES:
            raise ValueError(f"the entry of {each['id']} is none")
        if not all(isinstance(address, str) and is_address(address) for address in addresses):
            raise ValueError(f"an address of {each['id']} is none")
    return found


def _write(path: Path, content: dict[str, Any]) -> None:
    aside = path.with_suffix(".new")
    aside.unlink(missing_ok=True)
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
