"""The body of ``POST /v1/embeddings``, read; and the answer's vectors, written as the client wants them. Pure."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from peernode.chat.embedding_request import MAX_INPUT_CHARS, MAX_INPUT_TOKENS, MAX_INPUTS, EmbeddingRequest, Input
from peernode.chat.errors import BadRequest, ContextTooLong
from peernode.chat.wishes import Wishes
from peernode.edge.openai import fields
from peernode.edge.openai.wishes import read_models, read_wishes
from peernode.wire import canonical

# An offer to a peer may have 1 MiB, and the request is most of it.
MAX_REQUEST_BYTES = 640 * 1024
MAX_DIMENSIONS = 1 << 20
FORMATS = ("float", "base64")
TOKEN_IDS = range(1 << 31)


@dataclass(frozen=True, slots=True)
class EmbeddingCall:
    """One call as the client made it. ``dimensions`` None leaves the vectors as they are.

    ``wishes`` name peers as the client does.
    """

    model: str
    request: EmbeddingRequest
    encoding: str
    dimensions: int | None
    wishes: Wishes


def read_embedding_call(raw: bytes) -> EmbeddingCall:
    """Raises BadRequest with the parameter at fault; never anything else, whatever the bytes."""
    body = fields.parse_object(raw)
    model, *others = read_models(body)
    encoding = "float" if body.get("encoding_format") is None else body["encoding_format"]
    if encoding not in FORMATS:
        raise BadRequest(f"encoding_format is one of {', '.join(FORMATS)}.", param="encoding_format")
    dimensions = body.get("dimensions")
    request = EmbeddingRequest(_read_inputs(body.get("input")))
    size = len(canonical.encode(request.to_fields()))
    if size > MAX_REQUEST_BYTES:
        raise ContextTooLong("The input is too long.", param="input", cause=f"{size} bytes of {MAX_REQUEST_BYTES}")
    return EmbeddingCall(
        model=model,
        request=request,
        encoding=encoding,
        dimensions=None
        if dimensions is None
        else fields.positive_integer(dimensions, "dimensions", most=MAX_DIMENSIONS),
        wishes=read_wishes(body.get("provider"), tuple(others)),
    )


def _read_inputs(value: object) -> tuple[Input, ...]:
    """A text, a list of texts, a list of token ids, or a list of such lists."""
    if isinstance(value, str):
        return (_read_text(value, "input"),)
    if not isinstance(value, list) or not value:
        raise BadRequest("input must be a text, or a list of texts or of token ids, not empty.", param="input")
    if all(isinstance(entry, (int, float)) for entry in value):
        return (_read_tokens(value, "input"),)
    if len(value) > MAX_INPUTS:
        raise BadRequest("input has too many entries.", param="input", cause=f"at most {MAX_INPUTS} are accepted")
    return tuple(
        _read_tokens(entry, f"input[{at}]") if isinstance(entry, list) else _read_text(entry, f"input[{at}]")
        for at, entry in enumerate(value)
    )


def _read_text(value: object, param: str) -> str:
    return fields.text(value, param, most=MAX_INPUT_CHARS)


def _read_tokens(value: list[Any], param: str) -> tuple[int, ...]:
    if not value or len(value) > MAX_INPUT_TOKENS:
        raise BadRequest(f"{param} must have between 1 and {MAX_INPUT_TOKENS} tokens.", param=param)
    return tuple(fields.integer(token, param, within=TOKEN_IDS) for token in value)


def write_embedding(vector: Sequence[float], call: EmbeddingCall) -> list[float] | str:
    """As numbers or as base64 of 32-bit floats; cut to ``dimensions`` and made a unit vector again where asked for.

    Raises BadRequest when there are fewer dimensions than were asked for.
    """
    if call.dimensions is not None:
        if call.dimensions > len(vector):
            raise BadRequest(
                "dimensions is more than the model has.", param="dimensions", cause=f"its vectors have {len(vector)}"
            )
        kept = vector[: call.dimensions]
        length = math.sqrt(math.fsum(number * number for number in kept)) or 1.0
        vector = [number / length for number in kept]
    if call.encoding == "base64":
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
    return list(vector)
