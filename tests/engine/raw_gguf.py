"""GGUF headers byte by byte, so that tests can write what no honest writer would."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

Value = tuple[int, bytes]


def text(value: str | bytes) -> Value:
    return 8, string(value)


def u32(value: int) -> Value:
    return 4, struct.pack("<I", value)


def u16(value: int) -> Value:
    return 2, struct.pack("<H", value)


def i32(value: int) -> Value:
    return 5, struct.pack("<i", value)


def array(element: int, payload: list[bytes], *, count: int | None = None) -> Value:
    return 9, struct.pack("<IQ", element, len(payload) if count is None else count) + b"".join(payload)


def string(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


@dataclass(frozen=True)
class Tensor:
    """A tensor's entry; ``offset`` None puts it where it belongs."""

    name: str = "t.weight"
    shape: tuple[int, ...] = (8,)
    kind: int = 0
    offset: int | None = None
    size: int = 32


def minimal() -> dict[str, Value]:
    """The least that passes for a model."""
    return {
        "general.architecture": text("llama"),
        "llama.block_count": u32(2),
        "llama.embedding_length": u32(64),
        "llama.context_length": u32(128),
        "llama.attention.head_count": u32(4),
        "llama.attention.head_count_kv": u32(2),
        "tokenizer.ggml.model": text("gpt2"),
        "tokenizer.ggml.tokens": array(8, [string("a"), string("b"), string("c")]),
    }


@dataclass
class RawGguf:
    """Honest by default; every field can be made to lie."""

    values: dict[str, Value] = field(default_factory=minimal)
    tensors: list[Tensor] = field(default_factory=lambda: [Tensor()])
    magic: bytes = b"GGUF"
    version: int = 3
    keys: int | None = None
    tensor_count: int | None = None
    more_pairs: bytes = b""
    cut: int = 0
    alignment: int = 32

    def with_values(self, **changed: Value) -> RawGguf:
        """Keys are written with two underscores for each dot."""
        self.values.update({key.replace("__", "."): value for key, value in changed.items()})
        return self

    def write(self, path: Path) -> Path:
        pairs = b"".join(string(key) + struct.pack("<I", kind) + raw for key, (kind, raw) in self.values.items())
        infos, end = b"", 0
        for tensor in self.tensors:
            begin = end if tensor.offset is None else tensor.offset
            infos += string(tensor.name) + struct.pack("<I", len(tensor.shape))
            infos += struct.pack(f"<{len(tensor.shape)}QIQ", *tensor.shape, tensor.kind, begin)
            end += -(-tensor.size // self.alignment) * self.alignment
        count = len(self.tensors) if self.tensor_count is None else self.tensor_count
        keys = len(self.values) if self.keys is None else self.keys
        head = self.magic + struct.pack("<IQQ", self.version, count, keys) + pairs + self.more_pairs + infos
        whole = head + bytes(-len(head) % self.alignment) + bytes(end)
        path.write_bytes(whole[: len(whole) - self.cut])
        return path
