"""Reports of confidential hardware, through Linux's configfs-tsm: one directory per report, made, written and read.

``inblob`` takes the 64 bytes that the report is about, ``outblob`` is the report as the hardware's vendor signs it,
``auxblob`` what may come with it, ``provider`` who makes it (``sev_guest``, ``tdx_guest``, ``arm_cca_guest``), and
``generation`` counts writes, so that a report made of somebody else's bytes is noticed.
Source: Linux, Documentation/ABI/testing/configfs-tsm-report. Reading a report takes milliseconds to seconds.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from peernode.edge.identity_object import Attested, Unattested

TSM = Path("/sys/kernel/config/tsm/report")
MAX_REPORT_BYTES = 1 << 20


class TsmReports:
    """Reports under ``root``. ``make`` and ``remove`` are mkdir and rmdir: to configfs both are commands."""

    def __init__(
        self,
        root: Path = TSM,
        *,
        make: Callable[[Path], None] = os.mkdir,
        remove: Callable[[Path], None] = os.rmdir,
    ) -> None:
        self._root = root
        self._make = make
        self._remove = remove

    @property
    def here(self) -> bool:
        """Whether the machine has what could make reports."""
        return self._root.is_dir()

    def report(self, about: bytes) -> Attested | Unattested:
        """A report about 64 bytes, or why there is none. Blocks; one at a time."""
        if not self.here:
            return Unattested("this machine has no confidential hardware that Linux reports (configfs-tsm)")
        at = self._root / f"peernode-{secrets.token_hex(8)}"
        try:
            self._make(at)
        except OSError as err:
            return Unattested(f"the node may not ask for a report: {_why(err)}")
        try:
            return _ask(at, about)
        except OSError as err:
            return Unattested(f"the hardware gave no report: {_why(err)}")
        finally:
            self._discard(at)

    def _discard(self, at: Path) -> None:
        try:
            self._remove(at)
        except OSError:  # an empty place too many harms nothing
            return


def _ask(at: Path, about: bytes) -> Attested | Unattested:
    (at / "inblob").write_bytes(about)
    written = _read(at / "generation")
    report = _read(at / "outblob")
    aux = _read(at / "auxblob") if (at / "auxblob").exists() else b""
    provider = _read(at / "provider").decode("ascii", "replace").strip()
    if _read(at / "generation") != written or written.strip() != b"1":
        return Unattested("another program used the node's place for reports")
    return Attested(provider, about, report, aux)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_REPORT_BYTES)


def _why(err: OSError) -> str:
    return (err.strerror or type(err).__name__).lower()
