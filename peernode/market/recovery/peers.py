"""Who is there now: the peers with a live advert."""

from __future__ import annotations

from collections.abc import Iterable

from peernode.mesh import Directory


class DirectoryPeers:
    """``recovery``'s view of the directory. For one reader."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._version = -1

    def here(self) -> Iterable[str]:
        return self._directory.snapshot().adverts

    async def changed(self) -> None:
        """Somebody joined, left, or was hidden or found again since the last call."""
        self._version = (await self._directory.wait_change(self._version)).version
