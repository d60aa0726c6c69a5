"""The section [access] of a node's configuration: who may use its HTTP API, and under which names it is called."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import NoDecode

from peernode.edge.auth import Anonymous
from peernode.edge.bind import Bind, is_loopback
from peernode.edge.cors import is_origin
from peernode.edge.errors import OpenBindRefused
from peernode.edge.hosts import hostname_of


class AccessConfig(BaseModel):
    """``anonymous``: who may come without a key. ``free_credits``: what each address without one may use up, refilled
    by ``free_refill`` credits an hour; 0 leaves those who may come anonymously without a limit. ``origins``: those of
    pages from elsewhere that may use the API in a browser.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    anonymous: Anonymous = "loopback"
    anonymous_from_anywhere: bool = False
    hosts: Annotated[tuple[str, ...], NoDecode] = ()
    origins: Annotated[tuple[str, ...], NoDecode] = ()
    free_credits: float = Field(default=0.0, ge=0, le=1e9)
    free_refill: float = Field(default=0.0, ge=0, le=1e9)

    @field_validator("hosts", "origins", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        return [entry.strip() for entry in value.split(",") if entry.strip()] if isinstance(value, str) else value

    @field_validator("hosts")
    @classmethod
    def _check_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if hostname_of(host) != host.lower():
                raise ValueError(f"{host[:80]!r} is not the name of a host like api.example.org")
        return hosts

    @field_validator("origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not is_origin(origin):
                raise ValueError(f"{origin[:80]!r} is not the origin of a page like https://app.example.org, nor *")
        return origins

    def check_bind(self, bind: Bind) -> None:
        """Raises OpenBindRefused when other machines could use ``bind`` without a key, and that was not said twice."""
        if is_loopback(bind.host) or self.anonymous != "yes" or self.anonymous_from_anywhere:
            return
        raise OpenBindRefused(
            "HTTP would be open to everybody.",
            cause=f"{bind.host} can be reached from other machines, and [access] lets anybody in without a key",
            remedy='Set anonymous = "loopback" or "no" and make keys with `peernode keys create`; '
            "or say it twice: anonymous_from_anywhere = true.",
        )
