"""The section [mesh] of a node's configuration: names, defaults and ranges."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import NoDecode

from peernode.errors import PeernodeError
from peernode.mesh.settings import MeshSettings, Switch

_KEY_DIGITS = 64


class SharedKeyUnreadable(PeernodeError):
    """The file of a private network's key is missing or holds something else."""

    code = "shared_key_unreadable"


class MeshConfig(BaseModel):
    """How the node finds and reaches others. ``shared_key_file`` holds 64 hexadecimal digits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    allow_peers: Annotated[tuple[str, ...], NoDecode] = ()
    shared_key_file: Path | None = None
    mdns: bool = True
    dht: bool = False
    relay: Switch = "auto"
    nat: Switch = "auto"
    upnp: bool = True
    max_connections: int = Field(default=300, ge=8, le=10_000)
    max_connections_per_address: int = Field(default=32, ge=1, le=10_000)
    max_streams_per_peer: int = Field(default=128, ge=8, le=10_000)

    @field_validator("allow_peers", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        return [entry.strip() for entry in value.split(",") if entry.strip()] if isinstance(value, str) else value

    def settings(self) -> MeshSettings:
        """Raises SharedKeyUnreadable."""
        return MeshSettings(
            allow_peers=frozenset(self.allow_peers),
            shared_key=None if self.shared_key_file is None else _read_key(self.shared_key_file),
            mdns=self.mdns,
            dht=self.dht,
            relay=self.relay,
            nat=self.nat,
            upnp=self.upnp,
            max_connections=self.max_connections,
            max_connections_per_address=self.max_connections_per_address,
            max_streams_per_peer=self.max_streams_per_peer,
        )


def _read_key(path: Path) -> bytes:
    try:
        digits = path.expanduser().read_text().strip()
        if len(digits) == _KEY_DIGITS:
            return bytes.fromhex(digits)
    except (OSError, ValueError) as err:
        raise SharedKeyUnreadable("The shared key of the private network cannot be read.", cause=str(err)) from err
    raise SharedKeyUnreadable(
        "The shared key of the private network is not a key.",
        cause=f"{path} does not hold {_KEY_DIGITS} hexadecimal digits",
        remedy=f"Make one with: openssl rand -hex 32 > {path.name}",
    )
