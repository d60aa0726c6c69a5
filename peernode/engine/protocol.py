"""What an engine and its worker say to each other: commands down, reports up, each a list that opens with its tag.

Owns the messages and their order of fields. One ``Step`` carries the news of every sequence of one decode step.
"""

from __future__ import annotations

import functools
from dataclasses import astuple, dataclass, field, fields, replace
from typing import Any, ClassVar, TypeAlias, TypeVar

from peernode.engine.errors import WorkerProtocolBroken
from peernode.engine.frames import Frame
from peernode.wire.errors import BadSchema
from peernode.wire.logprobs import Logprobs


@dataclass(frozen=True, slots=True)
class Load:
    """First command: load this model. Where a number is 0 or a text is empty, the choice is the worker's.

    ``settings`` says what each field means. ``lora`` holds [path, scale]; ``memory`` is what the model may take, in
    bytes; ``prefix_cache_bytes`` below 0 is open.
    """

    tag: ClassVar[str] = "load"
    path: str
    slots: int
    context: int
    kv_tokens: int
    batch_tokens: int
    threads: int
    gpu_layers: int
    queue_limit: int
    default_max_tokens: int
    kv_type: str = "auto"
    ubatch_tokens: int = 0
    itl_target_ms: int = 150
    jump_ahead: bool = True
    speculation: str = "auto"
    lora: list[list[Any]] = field(default_factory=list)
    projector: str = ""
    image_tokens: int = 1536
    image_cache_bytes: int = 256 << 20
    embeddings: bool = False
    pooling: str = ""
    memory: int = 0
    prefix_cache_bytes: int = -1


@dataclass(frozen=True, slots=True)
class Submit:
    """Run a job. ``request`` is the canonical form of the chat request, whole.

    Its ``max_tokens`` bounds the whole answer, ``continue_from`` included. Jobs share cached prefixes with those of the
    same ``cache_salt``, and the worker's time fairly with other ``payer``s.
    """

    tag: ClassVar[str] = "submit"
    job: int
    request: list[Any]
    seed: int
    continue_from: list[int]
    payer: str = ""
    cache_salt: str = ""


@dataclass(frozen=True, slots=True)
class Cancel:
    """End a job; it still gets its ``End``, unless it already had one."""

    tag: ClassVar[str] = "cancel"
    job: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of the model is loaded, 0…1."""

    tag: ClassVar[str] = "progress"
    fraction: float


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded; ``notes`` are sentences about it that the operator should read.

    It takes ``memory_bytes`` of the machine's memory (none where a GPU has it), ``mapped_bytes`` of them its weights.
    ``features`` are what it can do beyond answering text with text, as adverts name it.
    """

    tag: ClassVar[str] = "ready"
    architecture: str
    parameters: int
    quantization: str
    context_length: int
    kv_tokens: int
    template_digest: bytes
    sampler_version: str
    threads: int
    notes: list[str]
    memory_bytes: int = 0
    mapped_bytes: int = 0
    features: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """``code`` is that of a ``ModelLoadFailed``."""

    tag: ClassVar[str] = "load_failed"
    sentence: str
    cause: str
    remedy: str
    code: str = "model_load_failed"


@dataclass(frozen=True, slots=True)
class Accepted:
    """The job's prompt is tokenised and has a slot or a place in the queue; ``markup`` is that of its answer."""

    tag: ClassVar[str] = "accepted"
    job: int
    prompt_tokens: int
    markup: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The job never began. ``code`` is that of a ``JobError``; ``param`` the field at fault, or empty."""

    tag: ClassVar[str] = "refused"
    job: int
    code: str
    sentence: str
    cause: str
    remedy: str
    param: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """What one sequence gained. ``end`` is empty, or stop, length, cancelled, or error (then ``cause`` says why).

    The tokens of the prompt are told with its first tokens and with its end, and are 0 between.
    ``logprobs`` has one entry for each of ``ids`` if the job asked for them, else none.
    """

    job: int
    text: str
    ids: list[int]
    end: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cause: str = ""
    logprobs: list[Logprobs] = field(default_factory=list)


def merged(outputs: list[Output]) -> list[Output]:
    """The same news with one Output for each job, in the order of their first."""
    if len(outputs) < 2:
        return outputs
    whole: dict[int, Output] = {}
    for later in outputs:
        earlier = whole.get(later.job)
        if earlier is not None:
            later = replace(  # noqa: PLW2901
                later,
                text=earlier.text + later.text,
                ids=earlier.ids + later.ids,
                logprobs=earlier.logprobs + later.logprobs,
                prompt_tokens=later.prompt_tokens or earlier.prompt_tokens,
                cached_tokens=later.cached_tokens if later.prompt_tokens else earlier.cached_tokens,
            )
        whole[later.job] = later
    return list(whole.values())


@dataclass(frozen=True, slots=True)
class Step:
    """The news since the last report. ``number`` counts decode steps; an end reported here freed its slot after it.

    ``kv_cached`` are the cells of cached prefixes alone. Of all prompts so far ``prefilled`` tokens were computed and
    ``reused`` were not; of ``drafted`` tokens ``accepted`` were right. ``profile`` are the seconds that steps spent on
    filling, decoding, sampling, emitting and moving. The host keeps the cells of ``stored`` tokens.
    """

    tag: ClassVar[str] = "step"
    number: int
    free_slots: int
    queued: int
    kv_used: int
    decode_tps: float
    prefill_tps: float
    outputs: list[Output]
    kv_cached: int = 0
    prefilled: int = 0
    reused: int = 0
    drafted: int = 0
    accepted: int = 0
    profile: list[float] = field(default_factory=list)
    stored: int = 0


Command: TypeAlias = Load | Submit | Cancel
Report: TypeAlias = Progress | Ready | LoadFailed | Accepted | Refused | Step

M = TypeVar("M")

_COMMANDS: dict[str, type[Command]] = {kind.tag: kind for kind in (Load, Submit, Cancel)}
_REPORTS: dict[str, type[Report]] = {kind.tag: kind for kind in (Progress, Ready, LoadFailed, Accepted, Refused, Step)}
# Annotations are strings here, so the types that a field may have are looked up by their text.
_FIELD_TYPES: dict[str, type] = {"str": str, "int": int, "float": float, "bytes": bytes, "bool": bool}


def to_frame(message: Command | Report) -> Frame:
    if isinstance(message, Step):
        # Once per decode step, so spelt out: dataclasses.astuple copies deeply and is slow.
        return [
            message.tag,
            message.number,
            message.free_slots,
            message.queued,
            message.kv_used,
            message.decode_tps,
            message.prefill_tps,
            [
                [
                    o.job,
                    o.text,
                    o.ids,
                    o.end,
                    o.prompt_tokens,
                    o.completion_tokens,
                    o.cached_tokens,
                    o.cause,
                    [entry.to_fields() for entry in o.logprobs],
                ]
                for o in message.outputs
            ],
            message.kv_cached,
            message.prefilled,
            message.reused,
            message.drafted,
            message.accepted,
            message.profile,
            message.stored,
        ]
    return [message.tag, *astuple(message)]


def command_from(frame: Frame) -> Command:
    """Raises WorkerProtocolBroken."""
    return _build(_kind_of(_COMMANDS, frame), frame[1:])


def report_from(frame: Frame) -> Report:
    """Raises WorkerProtocolBroken."""
    kind = _kind_of(_REPORTS, frame)
    if kind is Step and len(frame) > 7 and isinstance(frame[7], list):
        return _build(Step, [*frame[1:7], [_output(entry) for entry in frame[7]], *frame[8:]])
    return _build(kind, frame[1:])


def _output(entry: Any) -> Output:  # noqa: ANN401 - whatever msgpack found
    output = _build(Output, entry)
    if output.logprobs:
        try:
            output.logprobs[:] = [Logprobs.from_fields(fields) for fields in entry[-1]]
        except BadSchema as err:
            raise WorkerProtocolBroken("An Output has broken log-probabilities.", cause=str(err)) from err
    return output


def _kind_of(kinds: dict[str, type[M]], frame: Frame) -> type[M]:
    kind = kinds.get(frame[0]) if isinstance(frame[0], str) else None
    if kind is None:
        raise WorkerProtocolBroken("A frame is of an unknown kind.")
    return kind


def _build(kind: type[M], values: Any) -> M:  # noqa: ANN401 - whatever msgpack found
    names = _fields_of(kind)  # type: ignore[arg-type]  # classes are hashable, whatever lru_cache's stub thinks
    if not isinstance(values, list) or len(values) != len(names):
        raise WorkerProtocolBroken(f"A {kind.__name__} has the wrong number of fields.")
    for (name, allowed), value in zip(names, values, strict=True):
        if not isinstance(value, allowed) or (isinstance(value, bool) and allowed is not bool):
            raise WorkerProtocolBroken(f"The field '{name}' of a {kind.__name__} is of the wrong type.")
    return kind(*values)


@functools.cache
def _fields_of(kind: type[Any]) -> tuple[tuple[str, type], ...]:
    return tuple((field.name, _FIELD_TYPES.get(str(field.type), list)) for field in fields(kind))
