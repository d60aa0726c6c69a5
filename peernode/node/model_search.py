"""GGUF models that lie on this machine already, where other programs put them, and which of them its memory holds.

Looks only at names, sizes and headers; nothing is loaded or hashed. Directories are walked a bounded way.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from peernode.engine.errors import ModelLoadFailed
from peernode.engine.gguf_model import ModelHeader
from peernode.engine.machine import available_memory
from peernode.engine.memory_plan import plan_memory, planned_bytes
from peernode.engine.model_parts import inspect_model
from peernode.errors import PeernodeError

MAX_DEPTH = 8
MAX_ENTRIES = 50_000
_MAGIC = b"GGUF"
_LATER_PART = re.compile(r"-(?!00001)\d{5}-of-\d{5}\.gguf$")
# Ollama names its files by their digests.
_OLLAMA = re.compile(r"sha256-[0-9a-f]{64}")
_UNFIT_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class FoundModel:
    """``header`` is None where ``problem`` says that it is no model to chat with. ``need`` is its memory in bytes.

    ``context`` is what one conversation would have; ``note`` says if that, or anything, is less than asked for.
    """

    path: Path
    name: str
    size: int
    header: ModelHeader | None = None
    need: int = 0
    context: int = 0
    fits: bool = False
    note: str = ""
    problem: str = ""


def usual_places(home: Path, environment: Mapping[str, str]) -> Sequence[Path]:
    """Where llama.cpp, Hugging Face, Ollama, LM Studio, GPT4All and people keep models."""
    cache = Path(environment.get("XDG_CACHE_HOME") or home / ".cache")
    hugging_face = Path(environment.get("HF_HOME") or cache / "huggingface")
    return (
        cache / "peernode" / "models",
        Path(environment.get("LLAMA_CACHE") or cache / "llama.cpp"),
        Path(environment.get("HF_HUB_CACHE") or hugging_face / "hub"),
        Path(environment.get("OLLAMA_MODELS") or home / ".ollama" / "models") / "blobs",
        Path("/usr/share/ollama/.ollama/models/blobs"),
        home / ".lmstudio" / "models",
        cache / "lm-studio" / "models",
        home / ".local" / "share" / "nomic.ai" / "GPT4All",
        home / "models",
        home / "Models",
        home / "Downloads",
        Path("/srv/models"),
        Path("/models"),
    )


def find_models(places: Iterable[Path], *, context: int, slots: int, available: int | None = None) -> list[FoundModel]:
    """Every model once, the largest that fits first. ``available`` bytes of memory; None asks the machine."""
    free = available_memory() if available is None else available
    seen: dict[Path, Path] = {}
    for place in places:
        for path in _files(place):
            # Hugging Face's names are links to blobs; the first name found is kept.
            seen.setdefault(path.resolve(), path)
    found = [_look(path, context=context, slots=slots, available=free) for path in seen.values()]
    return sorted(found, key=lambda model: (not model.fits, bool(model.note), -model.size, model.path))


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
        return
    base, entries = len(place.parts), 0
    for folder, folders, files in os.walk(place):
        folders[:] = sorted(each for each in folders if len(Path(folder).parts) - base < MAX_DEPTH)
        for name in sorted(files):
            entries += 1
            if entries > MAX_ENTRIES:
                return
            path = Path(folder) / name
            if _is_named_so(name) and _is_gguf(path):
                yield path


def _is_named_so(name: str) -> bool:
    return bool(_OLLAMA.fullmatch(name)) or (name.endswith(".gguf") and not _LATER_PART.search(name))


def _is_gguf(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _look(path: Path, *, context: int, slots: int, available: int | None) -> FoundModel:
    name, size = path.stem, 0
    try:
        size = path.stat().st_size
        header = inspect_model(path).header
    except (OSError, ModelLoadFailed) as err:
        said = err.sentence if isinstance(err, PeernodeError) else (err.strerror or "").lower()
        return FoundModel(path, name, size, problem=said)
    if _OLLAMA.fullmatch(path.name):
        name = _UNFIT_NAME.sub("-", header.name).strip("-") or "model"
    try:
        plan = plan_memory(header, context=context, slots=slots, kv_tokens=None, available=available)
    except PeernodeError as err:
        return FoundModel(path, name, header.tensor_bytes, header, note=f"{err.sentence} {err.cause}")
    return FoundModel(
        path,
        name,
        header.tensor_bytes,
        header,
        need=planned_bytes(header, plan),
        context=plan.context,
        fits=True,
        note=" ".join(plan.notes),
    )
