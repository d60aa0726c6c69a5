"""A model that this node is to serve: a path, perhaps a name, and what it needs that differs from the node's settings.

Owns how ``PATH`` and ``NAME=PATH`` are told apart.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator

from peernode.engine.kv_type import KvType
from peernode.engine.lora import MAX_ADAPTERS, MAX_SCALE
from peernode.engine.settings import Pooling

Price = Annotated[int, Field(ge=0, le=10**15)]
# When a model is loaded: with the node, or with its first job (and unloaded when nobody needs it).
LoadMode: TypeAlias = Literal["eager", "lazy"]
# Whether a price is what is configured, or follows the speed from there.
PriceMode: TypeAlias = Literal["fixed", "auto"]
# What a model that chats can do, and its operator may leave out of the advert.
Withheld: TypeAlias = Literal["tools", "structured", "logprobs"]
_PART = re.compile(r"-\d{5}-of-\d{5}$")
_PATH_STARTS = ("/", "./", "../", "~")


class LoraEntry(BaseModel):
    """A LoRA adapter that changes the model when it is loaded; scale 1.0 is as it was trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path
    scale: float = Field(default=1.0, ge=-MAX_SCALE, le=MAX_SCALE, allow_inf_nan=False)

    @field_validator("path")
    @classmethod
    def _expand(cls, path: Path) -> Path:
        return path.expanduser()


class ModelEntry(BaseModel):
    """One GGUF file. None leaves a setting to the node's ``[engine]`` and ``[prices]``.

    ``lora`` are its adapters, ``projector`` the file that lets it see pictures; with ``embeddings`` a chat model makes
    embeddings instead of answers, by the ``pooling`` that is named. Clients that insist on what is under ``withhold``
    are sent elsewhere; with ``keeps_nothing`` the operator promises to keep nothing of what the model is asked.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path
    id: str | None = Field(default=None, min_length=1, max_length=256)
    price_prompt: Price | None = None
    price_cached: Price | None = None
    price_completion: Price | None = None
    price: PriceMode | None = None
    context: int | None = Field(default=None, ge=64)
    slots: int | None = Field(default=None, ge=1, le=256)
    kv_tokens: int | None = Field(default=None, ge=64)
    kv_type: KvType | None = None
    threads: int | None = Field(default=None, ge=1, le=1024)
    gpu_layers: int | None = Field(default=None, ge=-1)
    load: LoadMode | None = None
    idle_timeout_s: float | None = Field(default=None, ge=0, le=10**7)
    share_prefixes: bool | None = None
    lora: tuple[LoraEntry, ...] = Field(default=(), max_length=MAX_ADAPTERS)
    projector: Path | None = None
    embeddings: bool = False
    pooling: Pooling | None = None
    withhold: tuple[Withheld, ...] = ()
    keeps_nothing: bool | None = None

    @property
    def name(self) -> str:
        """What clients call the model: its id, or the file's name without its ending and its part's number."""
        return self.id or _PART.sub("", self.path.name.removesuffix(".gguf")) or self.path.name

    @field_validator("path", "projector")
    @classmethod
    def _expand(cls, path: Path | None) -> Path | None:
        return path.expanduser() if path else path

    @field_validator("id")
    @classmethod
    def _check_id(cls, name: str | None) -> str | None:
        if name is not None and (not name.isprintable() or name != name.strip()):
            raise ValueError("a model's id has printable characters and no space around them")
        return name


def read_model_entries(value: object) -> object:
    """Texts (one, or several separated by commas) and tables into what ModelEntry reads; the rest as it is."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, (list, tuple)):
        return value
    return [model_entry(entry) if isinstance(entry, str) else entry for entry in value]


def model_entry(entry: str) -> dict[str, str]:
    """``NAME=PATH``, unless the whole plainly is a path; names may hold slashes and paths may hold ``=``."""
    name, equals, path = entry.partition("=")
    if not equals or entry.startswith(_PATH_STARTS) or Path(entry).exists():
        return {"path": entry}
    return {"id": name, "path": path}
