"""What an operator can set, and where each setting comes from: flag, then PEERNODE_* variable, then TOML file, then
default. Owns names, defaults and ranges; leaves the meaning of each setting to the room that it goes to.

``load_config`` turns everything that is wrong into one ConfigError that says where it stands.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Self

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from peernode.chat.fee_share import PER, FeeShare
from peernode.edge.bind import Bind, parse_bind
from peernode.edge.errors import BadBind
from peernode.engine.kv_type import KvType
from peernode.engine.settings import Speculation
from peernode.market.auto_price import AutoPrice, Reference
from peernode.market.routing import KEEPS_NOTHING
from peernode.node.access_config import AccessConfig
from peernode.node.credit_config import CreditConfig
from peernode.node.limit_config import LimitConfig
from peernode.node.mesh_config import MeshConfig
from peernode.node.model_entry import LoadMode, ModelEntry, PriceMode, read_model_entries
from peernode.node.recovery_config import RecoveryConfig
from peernode.node.routing_config import RoutingConfig
from peernode.node.session_config import SessionConfig
from peernode.wire.prices import Prices

PREFIX = "PEERNODE_"
NESTED = "__"
_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}")
_NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
Price = Annotated[int, Field(ge=0, le=10**15)]
Texts = Annotated[tuple[str, ...], NoDecode]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PriceConfig(_Section):
    """Micro-credits per million tokens, for models that name no price of their own.

    With ``price`` "auto" they are asked at the two reference speeds (tokens per second), and follow the measured ones
    from there within ``least`` and ``most``, which are factors. ``coordinator_share`` is what this node's own clients
    pay on top of what providers ask; 0.05 is a twentieth.
    """

    prompt: Price = 100_000
    cached: Price = 25_000
    completion: Price = 400_000
    price: PriceMode = "fixed"
    decode_tps: float = Field(default=20.0, gt=0, le=10**6)
    prefill_tps: float = Field(default=200.0, gt=0, le=10**7)
    least: float = Field(default=0.25, gt=0, le=1)
    most: float = Field(default=4.0, ge=1, le=1000)
    coordinator_share: float = Field(default=0.0, ge=0, le=1)

    @property
    def fee(self) -> FeeShare:
        return FeeShare(round(self.coordinator_share * PER))


class EngineConfig(_Section):
    """How models run, unless a model says otherwise. None leaves the choice to the engine.

    ``memory_mib`` bounds the memory of all models together; ``idle_timeout_s`` is when a lazy model is unloaded, 0 for
    never. The other names are those of ``EngineSettings``.
    """

    slots: int = Field(default=8, ge=1, le=256)
    context: int = Field(default=4096, ge=64)
    kv_tokens: int | None = Field(default=None, ge=64)
    kv_type: KvType = "auto"
    batch_tokens: int | None = Field(default=None, ge=16)
    ubatch_tokens: int | None = Field(default=None, ge=16)
    threads: int | None = Field(default=None, ge=1, le=1024)
    gpu_layers: int = Field(default=-1, ge=-1)
    queue_limit: int = Field(default=32, ge=0, le=100_000)
    default_max_tokens: int = Field(default=1024, ge=1)
    itl_target_ms: int = Field(default=150, ge=1, le=60_000)
    jump_ahead: bool = True
    speculation: Speculation = "auto"
    share_prefixes: bool = False
    load: LoadMode = "eager"
    idle_timeout_s: float = Field(default=600.0, ge=0, le=10**7)
    memory_mib: int | None = Field(default=None, ge=1)
    image_tokens: int = Field(default=1536, ge=16, le=1 << 20)
    image_cache_mib: int = Field(default=256, ge=0)
    prefix_cache_mib: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _check_batch(self) -> Self:
        if self.batch_tokens is not None and self.batch_tokens < self.slots:
            raise ValueError(f"batch_tokens is {self.batch_tokens}, but one step must hold all {self.slots} slots")
        return self


class NodeConfig(BaseSettings):
    """Everything about one node. Made directly, it reads nothing but its arguments; see ``load_config``."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=NESTED,
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
        validate_default=True,
    )

    home: Path = Field(default_factory=lambda: platformdirs.user_data_path("peernode"))
    # Where accounts and receipts are kept: empty for a file in the home, or the URL of a PostgreSQL database.
    ledger_url: str = Field(default="", repr=False)
    network: str = "main"
    models: Annotated[tuple[ModelEntry, ...], NoDecode] = ()
    join: Texts = ()
    # Open to other machines, unlike HTTP: the mesh is encrypted and every peer proves its key.
    listen: Texts = ("/ip4/0.0.0.0/tcp/4701",)
    http: str = "127.0.0.1:8080"
    no_http: bool = False
    # Hosts from which images are fetched for clients, by their full names; from no others, and from none by itself.
    image_domains: Texts = ()
    log_format: Literal["auto", "console", "json"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    drain_s: float = Field(default=30.0, ge=0, le=3600)
    # Promised to clients who ask for it: nothing of what is asked here is kept.
    keeps_nothing: bool = False
    prices: PriceConfig = PriceConfig()
    access: AccessConfig = AccessConfig()
    credit: CreditConfig = CreditConfig()
    mesh: MeshConfig = MeshConfig()
    recovery: RecoveryConfig = RecoveryConfig()
    routing: RoutingConfig = RoutingConfig()
    sessions: SessionConfig = SessionConfig()
    engine: EngineConfig = EngineConfig()
    limits: LimitConfig = LimitConfig()

    @property
    def http_bind(self) -> Bind | None:
        """Where the public HTTP API listens, or None with ``no_http``."""
        return None if self.no_http else parse_bind(self.http)

    def prices_for(self, entry: ModelEntry) -> Prices:
        """What ``entry`` costs: its own prices where it names them, else the node's."""
        return Prices(
            self.prices.prompt if entry.price_prompt is None else entry.price_prompt,
            self.prices.cached if entry.price_cached is None else entry.price_cached,
            self.prices.completion if entry.price_completion is None else entry.price_completion,
        )

    def auto_price_for(self, entry: ModelEntry, clock: Callable[[], float]) -> AutoPrice | None:
        """What makes the price of ``entry`` follow its speed; None when it is fixed. ``clock``: monotonic seconds."""
        asked = self.prices
        if (entry.price or asked.price) == "fixed":
            return None
        reference = Reference(asked.decode_tps, asked.prefill_tps, asked.least, asked.most)
        return AutoPrice(self.prices_for(entry), reference, clock=clock)

    def promises_for(self, entry: ModelEntry) -> tuple[str, ...]:
        """Features of ``entry`` that are its operator's word: its own where it gives one, else the node's."""
        keeps_nothing = self.keeps_nothing if entry.keeps_nothing is None else entry.keeps_nothing
        return (KEEPS_NOTHING,) if keeps_nothing else ()

    @field_validator("home")
    @classmethod
    def _expand_home(cls, home: Path) -> Path:
        return Path(os.path.abspath(home.expanduser()))  # noqa: PTH100  # resolve() would follow symbolic links

    @field_validator("network")
    @classmethod
    def _check_network(cls, network: str) -> str:
        if not _NETWORK.fullmatch(network):
            raise ValueError("a network name has 1 to 64 letters, digits, dots, dashes or underscores")
        return network

    @field_validator("models", mode="before")
    @classmethod
    def _read_models(cls, models: object) -> object:
        return read_model_entries(models)

    @field_validator("models")
    @classmethod
    def _check_models(cls, models: tuple[ModelEntry, ...]) -> tuple[ModelEntry, ...]:
        names = [entry.name for entry in models]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two models are called {twice}; give one another name with NAME=PATH")
        return models

    @field_validator("join", "listen", "image_domains", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        return [entry.strip() for entry in value.split(",") if entry.strip()] if isinstance(value, str) else value

    @field_validator("join", "listen")
    @classmethod
    def _check_multiaddrs(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        for address in addresses:
            if not re.fullmatch(r"/(ip4|ip6|dns|dns4|dns6)/[^/\s]+/tcp/\d{1,5}(/p2p/[A-Za-z0-9]+)?", address):
                raise ValueError(f"{address[:80]!r} is not a multiaddress like /ip4/192.0.2.7/tcp/4701")
        return addresses

    @field_validator("image_domains")
    @classmethod
    def _check_domains(cls, domains: tuple[str, ...]) -> tuple[str, ...]:
        for domain in domains:
            if not _DOMAIN.fullmatch(domain):
                raise ValueError(f"{domain[:80]!r} is not the full name of a host like images.example.org")
        return domains

    @field_validator("join")
    @classmethod
    def _check_join(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        for address in addresses:
            if "/p2p/" not in address:
                raise ValueError(f"{address[:80]!r} does not end in /p2p/PEER_ID; `peernode status` prints whole ones")
        return addresses

    @field_validator("http")
    @classmethod
    def _check_http(cls, http: str) -> str:
        try:
            parse_bind(http)
        except BadBind as err:
            raise ValueError(f"{err.sentence} {err.remedy}") from err
        return http

    @model_validator(mode="after")
    def _check_access(self) -> Self:
        if (public := self.http_bind) is not None:
            self.access.check_bind(public)  # keeps its own typed error
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)
