"""What a header says about the model: the facts the engine plans with, and the keys without which it is no model.

Owns the meaning of keys; the format is ``gguf_header``'s business. Everything native code will index by (layer
counts, vocabulary arrays) is checked here, so that a file that lies about them ends in a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass

from peernode.engine import gguf_types as limits
from peernode.engine.errors import ModelLoadFailed
from peernode.engine.gguf_bytes import damaged
from peernode.engine.gguf_header import Array, GgufHeader, Text

_MAX_LAYERS = 512  # LLAMA_MAX_LAYERS
_MAX_WIDTH = 1 << 20
_MAX_HEADS = 1 << 14
_MAX_CONTEXT = (1 << 31) - 1
_KV_ELEMENT_BYTES = 2  # f16; see kv_type for the rest
_ENCODERS = frozenset(
    {"bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3", "modern-bert", "neo-bert", "eurobert"}
)
_PROJECTORS = frozenset({"clip", "mmproj"})
_VOCABULARY_ARRAYS = {
    "tokenizer.ggml.scores": {limits.FLOAT32, limits.INT32},
    "tokenizer.ggml.token_type": {limits.INT32},
}


@dataclass(frozen=True, slots=True)
class ModelHeader:
    """Facts of one model, all parts together. ``kv_bytes`` is the most that one token of context needs at f16."""

    architecture: str
    name: str
    parameters: int
    tensor_bytes: int
    file_type: int | None
    context_length: int
    embedding_length: int
    layers: int
    vocabulary: int
    kv_bytes: int
    has_template: bool
    is_embedder: bool
    parts: int

    @property
    def is_encoder(self) -> bool:
        """It has no memory of its own and says nothing: it only makes embeddings."""
        return self.architecture in _ENCODERS


def model_header(parts: list[GgufHeader]) -> ModelHeader:
    """The facts of a model in one or several files. Raises ModelLoadFailed when it is not a model to chat with."""
    values = _Values(parts[0])
    architecture = values.text("general.architecture")
    _refuse_companions(values, architecture)
    layers = values.count(f"{architecture}.block_count", 1, _MAX_LAYERS)
    width = values.count(f"{architecture}.embedding_length", 1, _MAX_WIDTH)
    vocabulary = _vocabulary(values)
    if not any(part.shapes for part in parts):
        raise damaged("it holds no tensors, perhaps only a vocabulary")
    template = values.get("tokenizer.chat_template")
    file_type = values.get("general.file_type")
    return ModelHeader(
        architecture=architecture,
        name=values.text("general.name", default=""),
        parameters=sum(part.parameters for part in parts),
        tensor_bytes=sum(part.tensor_bytes for part in parts),
        file_type=file_type if isinstance(file_type, int) else None,
        context_length=values.count(f"{architecture}.context_length", 1, _MAX_CONTEXT),
        embedding_length=width,
        layers=layers,
        vocabulary=vocabulary,
        kv_bytes=_kv_bytes(values, architecture, layers, width),
        has_template=isinstance(template, Text) and template.length > 0,
        is_embedder=architecture in _ENCODERS or values.get(f"{architecture}.pooling_type") not in (None, 0),
        parts=len(parts),
    )


class _Values:
    """Typed looks into a header."""

    def __init__(self, header: GgufHeader) -> None:
        self.get = header.values.get

    def text(self, key: str, default: str | None = None) -> str:
        found = self.get(key)
        if found is None and default is not None:
            return default
        if not isinstance(found, Text) or not 0 < found.length <= limits.KEPT_STRING or not found.start.isprintable():
            if default is not None:
                return default
            raise _without(key)
        return found.start

    def count(self, key: str, least: int, most: int) -> int:
        found = self.get(key)
        if not isinstance(found, int) or isinstance(found, bool):
            raise _without(key)
        if not least <= found <= most:
            raise damaged(f"{key} is {found}, between {least} and {most} are allowed")
        return found

    def per_layer(self, key: str, layers: int, default: int) -> list[int]:
        """A number for each layer, which a file gives as one number for all or as an array."""
        found = self.get(key)
        if found is None:
            return [default] * layers
        each = found.values if isinstance(found, Array) else (found,) * layers
        if each is None or len(each) != layers:
            raise damaged(f"{key} has not one number for each of {layers} layers")
        for number in each:
            if not isinstance(number, int) or not 0 <= number <= _MAX_HEADS:
                raise damaged(f"{key} holds {str(number)[:40]}, between 0 and {_MAX_HEADS} are allowed")
        return [int(number) for number in each if isinstance(number, int)]


def _without(key: str) -> ModelLoadFailed:
    return damaged(f"the key {key!r} is missing or of the wrong type")


def _refuse_companions(values: _Values, architecture: str) -> None:
    """Files that belong to a model but are none."""
    kind = values.text("general.type", default="model")
    if kind == "adapter":
        raise ModelLoadFailed(
            "The file is a LoRA adapter, not a model.", cause=architecture, remedy="Name the model that it adapts."
        )
    if kind == "mmproj" or architecture in _PROJECTORS:
        raise ModelLoadFailed(
            "The file is the image projector of a model, not a model.",
            cause=architecture,
            remedy="Name the language model itself.",
        )
    if kind == "imatrix" or architecture == "imatrix":
        raise ModelLoadFailed("The file is an importance matrix, not a model.", remedy="Name the model itself.")


def _vocabulary(values: _Values) -> int:
    values.text("tokenizer.ggml.model")
    tokens = values.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, Array) or tokens.element != limits.STRING or not tokens.count:
        raise _without("tokenizer.ggml.tokens")
    if tokens.count > limits.MAX_VOCABULARY:
        raise damaged(f"its vocabulary has {tokens.count} tokens, at most {limits.MAX_VOCABULARY} are allowed")
    for key, elements in _VOCABULARY_ARRAYS.items():
        # Native code walks these by token id, whatever their own length and element type say.
        array = values.get(key)
        if array is None:
            continue
        if not isinstance(array, Array) or array.element not in elements:
            raise damaged(f"{key} is of the wrong type")
        if array.count != tokens.count:
            raise damaged(f"{key} has {array.count} entries for {tokens.count} tokens")
    return tokens.count


def _kv_bytes(values: _Values, architecture: str, layers: int, width: int) -> int:
    """An upper bound: layers with a sliding window or without attention need less than this says."""
    heads = values.per_layer(f"{architecture}.attention.head_count", layers, 0)
    kv_heads = values.get(f"{architecture}.attention.head_count_kv")
    each = heads if kv_heads is None else values.per_layer(f"{architecture}.attention.head_count_kv", layers, 0)
    default = width // max(heads) if max(heads) else 0
    size = 0
    for side in ("key_length", "value_length"):
        key = f"{architecture}.attention.{side}"
        size += _KV_ELEMENT_BYTES * (default if values.get(key) is None else values.count(key, 1, _MAX_WIDTH))
    return sum(each) * size
