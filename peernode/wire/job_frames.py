"""Messages of one job conversation on the protocol ``/peernode/job/1``, as canonical lists [type, fields…].

The mesh carries each as one length-prefixed frame. Every conversation ends with End, Error or (after Cancel) a receipt;
a reset is never an ending, for py-libp2p shows it as a clean end of stream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, cast

from peernode.wire import canonical
from peernode.wire.acknowledgement import MAX_ACKNOWLEDGEMENT_BYTES
from peernode.wire.bounds import MAX_OFFER_BYTES, MAX_OFFER_FRAME_BYTES
from peernode.wire.canonical import Value
from peernode.wire.errors import BadSchema
from peernode.wire.fields import MAX_TOKEN_ID, FieldReader, as_token_id
from peernode.wire.logprobs import Logprobs

PROTOCOL = "/peernode/job/1"
MAX_FRAME_BYTES = 1 << 20
MAX_TOKENS_PER_FRAME = 4096
MAX_WAIT_MS = 86_400_000
LOADING, QUEUED = "loading", "queued"
WAITS = (LOADING, QUEUED)
_OFFER_OPENS = bytes([0x92, 1])  # a list of two, the type first
_TOKENS_OPENS = bytes([0x94, 4])


@dataclass(frozen=True, slots=True)
class OfferFrame:
    """coordinator → provider: the signed offer."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class AcceptFrame:
    """provider → coordinator: taken; tokens will follow. Its id of the model, and the markup of the model's text."""

    model_id: str
    markup: str = ""


@dataclass(frozen=True, slots=True)
class BusyFrame:
    """provider → coordinator: not now, and the load that says why; not before ``retry_after_ms`` again, unless 0."""

    reason: str
    free_slots: int
    queued: int
    retry_after_ms: int = 0


@dataclass(frozen=True, slots=True)
class TokensFrame:
    """provider → coordinator: new output; text may lag behind the ids. ``logprobs`` is empty, or one for each id."""

    ids: tuple[int, ...]
    text: str
    logprobs: tuple[Logprobs, ...] = ()


@dataclass(frozen=True, slots=True)
class FinishedFrame:
    """provider → coordinator: the answer is complete."""

    reason: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class ReceiptFrame:
    """provider → coordinator: the signed receipt, already durable at the provider."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class CountersignFrame:
    """coordinator → provider: the signed countersignature, already durable at the coordinator."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class EndFrame:
    """provider → coordinator: the countersignature is durable; the conversation is over."""


@dataclass(frozen=True, slots=True)
class ErrorFrame:
    """Either way: the conversation is over, for this reason (a stable code and one sentence).

    When the request is at fault, ``param`` names the field and ``cause`` says more.
    """

    code: str
    sentence: str
    param: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class CancelFrame:
    """coordinator → provider: stop; a receipt for what was sent is still expected."""


@dataclass(frozen=True, slots=True)
class PrefillFrame:
    """provider → coordinator: the prompt is computed, of so many tokens; what comes can be billed though it breaks off.

    At most once, before the first tokens.
    """

    prompt_tokens: int
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class AckFrame:
    """coordinator → provider: the signed acknowledgement of what has come so far."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class WaitFrame:
    """provider → coordinator: the job's turn comes in about ``eta_ms``; ``state`` is one of ``WAITS``, or newer.

    Before accept, or behind it before the first tokens; again and again, while it lasts.
    """

    state: str
    eta_ms: int


JobFrame: TypeAlias = (
    OfferFrame
    | AcceptFrame
    | BusyFrame
    | TokensFrame
    | FinishedFrame
    | ReceiptFrame
    | CountersignFrame
    | EndFrame
    | ErrorFrame
    | CancelFrame
    | PrefillFrame
    | AckFrame
    | WaitFrame
)


# Frames that carry one envelope, and frames that say all by their type.
_CARRIERS: dict[type[JobFrame], int] = {OfferFrame: 1, ReceiptFrame: 6, CountersignFrame: 7, AckFrame: 12}
_BARE: dict[type[JobFrame], int] = {EndFrame: 8, CancelFrame: 10}


def encode_frame(frame: JobFrame) -> bytes:
    """The canonical bytes of one frame."""
    fields: list[Value]
    match frame:
        case TokensFrame(ids, text, logprobs):
            fields = [4, list(ids), text, [entry.to_fields() for entry in logprobs]]
        case AcceptFrame(model_id, markup):
            fields = [2, model_id, markup]
        case BusyFrame(reason, free_slots, queued, retry_after_ms):
            fields = [3, reason, free_slots, queued, retry_after_ms]
        case FinishedFrame(reason, prompt_tokens, cached_tokens, completion_tokens):
            fields = [5, reason, prompt_tokens, cached_tokens, completion_tokens]
        case ErrorFrame(code, sentence, param, cause):
            fields = [9, code[:64], sentence[:512], param[:128], cause[:512]]
        case PrefillFrame(prompt_tokens, cached_tokens):
            fields = [11, prompt_tokens, cached_tokens]
        case WaitFrame(state, eta_ms):
            fields = [13, state, eta_ms]
        case OfferFrame(raw) | ReceiptFrame(raw) | CountersignFrame(raw) | AckFrame(raw):
            fields = [_CARRIERS[type(frame)], raw]
        case EndFrame() | CancelFrame():
            fields = [_BARE[type(frame)]]
    return canonical.encode(fields)


def decode_frame(raw: bytes) -> JobFrame:
    """One frame from the wire. Raises NotCanonical or BadSchema."""
    # Only an offer may be larger than a frame ordinarily is; the first bytes tell it from the others.
    most = MAX_OFFER_FRAME_BYTES if raw.startswith(_OFFER_OPENS) else MAX_FRAME_BYTES
    value = canonical.decode(raw, max_bytes=most)
    if raw.startswith(_TOKENS_OPENS) and (tokens := _plain_tokens(value)) is not None:
        return tokens
    return _read_frame(value)


def _read_frame(value: Value) -> JobFrame:
    read = FieldReader("job frame", value)
    kind = read.integer("type")
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise BadSchema("A job frame of an unknown type arrived.", cause=f"type {kind}")
    frame = decoder(read)
    read.done()
    return frame


def _plain_tokens(value: Value) -> TokensFrame | None:
    """Nearly every frame is one of these: the same checks, in the few steps that a token is worth."""
    assert isinstance(value, list)  # of four, by how it opens
    _, ids, text, logprobs = value
    if type(ids) is not list or type(text) is not str or logprobs != [] or len(ids) > MAX_TOKENS_PER_FRAME:
        return None
    for each in ids:
        if type(each) is not int or not 0 <= each <= MAX_TOKEN_ID:
            return None
    return TokensFrame(tuple(cast("list[int]", ids)), text)


def _read_tokens(read: FieldReader) -> TokensFrame:
    frame = TokensFrame(
        read.items("ids", as_token_id, most=MAX_TOKENS_PER_FRAME),
        read.text("text", most=MAX_FRAME_BYTES),
        read.items("logprobs", Logprobs.from_fields, most=MAX_TOKENS_PER_FRAME),
    )
    if frame.logprobs and tuple(entry.chosen.id for entry in frame.logprobs) != frame.ids:
        raise BadSchema("The log-probabilities of a frame are of other tokens than its own.")
    return frame


_DECODERS: dict[int, Callable[[FieldReader], JobFrame]] = {
    1: lambda read: OfferFrame(read.octets("offer", most=MAX_OFFER_BYTES)),
    2: lambda read: AcceptFrame(read.text("model_id", least=1), read.text("markup", most=64)),
    3: lambda read: BusyFrame(
        read.text("reason"),
        read.integer("free_slots"),
        read.integer("queued"),
        read.integer("retry_after_ms", most=MAX_WAIT_MS),
    ),
    4: _read_tokens,
    5: lambda read: FinishedFrame(
        read.text("reason", most=32), read.integer("prompt"), read.integer("cached"), read.integer("completion")
    ),
    6: lambda read: ReceiptFrame(read.octets("receipt", most=MAX_FRAME_BYTES)),
    7: lambda read: CountersignFrame(read.octets("countersignature", most=MAX_FRAME_BYTES)),
    8: lambda read: EndFrame(),
    9: lambda read: ErrorFrame(
        read.text("code", most=64),
        read.text("sentence", most=512),
        read.text("param", most=128),
        read.text("cause", most=512),
    ),
    10: lambda read: CancelFrame(),
    11: lambda read: PrefillFrame(read.integer("prompt"), read.integer("cached")),
    12: lambda read: AckFrame(read.octets("acknowledgement", most=MAX_ACKNOWLEDGEMENT_BYTES)),
    13: lambda read: WaitFrame(read.text("state", least=1, most=32), read.integer("eta_ms", most=MAX_WAIT_MS)),
}
