"""Loads one GGUF for inference: weights, context, vocabulary and chat template, or a clear reason why not.

Owns llama.cpp's model and context parameters. The handles live until the process ends; there is no unload, for the
end of the process frees everything for certain.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import llama_cpp

from peernode.engine.errors import ModelLoadFailed
from peernode.engine.facts import CHAT_FEATURES
from peernode.engine.gguf_model import ModelHeader
from peernode.engine.machine import available_memory
from peernode.engine.memory_plan import MemoryPlan, plan_memory, planned_bytes
from peernode.engine.model_parts import inspect_model
from peernode.engine.protocol import Load, Ready
from peernode.engine.quantization import quantization_name
from peernode.engine.worker.adapters import adapter_bytes, apply_adapters, load_adapters
from peernode.engine.worker.choices import chosen
from peernode.engine.worker.context import DecodeContext
from peernode.engine.worker.crew import Crew
from peernode.engine.worker.default_template import default_template
from peernode.engine.worker.lifeline import limit_data
from peernode.engine.worker.native_log import NativeLog
from peernode.engine.worker.sampler import SAMPLER_VERSION
from peernode.engine.worker.speculation import DRAFT_ROWS
from peernode.engine.worker.template import ChatTemplate, TemplateFailed
from peernode.engine.worker.vision.loading import load_sight
from peernode.engine.worker.vision.projector_file import projector_bytes
from peernode.engine.worker.vision.sight import Sight
from peernode.engine.worker.vocabulary import Vocabulary
from peernode.engine.worker.weights import load_weights, metadata, offloads

# Variables of the threads' library that let waiting threads sleep instead of spinning.
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
_MOST_KEPT_PREFIXES = 4 << 30
_QUANTIZED = {"q8_0": llama_cpp.GGML_TYPE_Q8_0, "q4_0": llama_cpp.GGML_TYPE_Q4_0}


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """What the loop needs of a model. ``kv_tokens`` cells are there, ``facts.context_length`` for one sequence.

    ``order`` is what was asked for, with what was left open chosen; ``sight`` is None where it reads only text.
    ``prefix_cache_bytes`` of the host's memory are for prefixes that leave the model's.
    """

    vocabulary: Vocabulary
    template: ChatTemplate
    context: DecodeContext
    kv_tokens: int
    facts: Ready
    order: Load
    sight: Sight | None = None
    prefix_cache_bytes: int = 0


def load_model(order: Load, log: NativeLog, on_progress: Callable[[float], bool]) -> LoadedModel:
    """Raises ModelLoadFailed. ``on_progress`` returns False to give up."""
    llama_cpp.llama_backend_init()
    order = chosen(order, offloads=offloads(order))
    plan, header, beside = _plan(order)
    model = load_weights(order, log, on_progress)
    if llama_cpp.llama_model_has_encoder(model) or not llama_cpp.llama_model_has_decoder(model):
        raise ModelLoadFailed("The model is not a decoder.", remedy="Use a chat model, or one for embeddings.")
    adapters = load_adapters(model, order, log)
    vocabulary = Vocabulary(llama_cpp.llama_model_get_vocab(model))
    if vocabulary.size < 1 or not vocabulary.end_ids:
        raise ModelLoadFailed("The model has no token that ends an answer.", remedy="Use a chat model.")
    template, notes = _load_template(model, vocabulary)

    sight = load_sight(model, order, log, offloads=offloads(order)) if order.projector else None
    whole_cells = sight.whole_cells if sight else 0
    if whole_cells > _kernel_rows(order) > 0:
        # One ubatch must hold the whole of such an image; text keeps to its rows by never coming in larger batches.
        order = replace(order, batch_tokens=max(order.slots, order.ubatch_tokens))
    handle = _create_context(model, order, log, kv_tokens=plan.kv_tokens, whole_cells=whole_cells)
    apply_adapters(handle, adapters, order, log)
    memory = 0 if offloads(order) else planned_bytes(header, plan, kv_type=order.kv_type, beside=beside)
    facts = Ready(
        architecture=metadata(model, b"general.architecture"),
        parameters=llama_cpp.llama_model_n_params(model),
        quantization=quantization_name(header.file_type),
        context_length=plan.context,
        kv_tokens=plan.kv_tokens,
        template_digest=template.digest,
        sampler_version=SAMPLER_VERSION,
        threads=order.threads,
        notes=[*notes, *plan.notes],
        memory_bytes=memory,
        mapped_bytes=min(memory, header.tensor_bytes),
        features=[*CHAT_FEATURES, "vision"] if sight else [*CHAT_FEATURES],
    )
    context = DecodeContext(
        handle,
        vocabulary=vocabulary.size,
        outputs=order.slots + DRAFT_ROWS,
        batch_tokens=order.batch_tokens,
        sequences=_resident_sequences(model, order),
        kernel_rows=_kernel_rows(order),
        crew=_crew(order),
    )
    kept = _prefix_cache_bytes(order, memory)
    return LoadedModel(vocabulary, template, context, plan.kv_tokens, facts, order, sight, kept)


def _plan(order: Load) -> tuple[MemoryPlan, ModelHeader, int]:
    """How much context there will be, the model's header, and the bytes of its adapters and its projector.

    Where layers go to a GPU, its driver knows its memory and we do not.
    """
    # The owner has validated the file; looking once more, just before llama.cpp does, leaves no time to exchange it.
    inspected = inspect_model(Path(order.path))
    beside = adapter_bytes(order, inspected) + projector_bytes(Path(order.projector) if order.projector else None)
    available = None if offloads(order) else available_memory()
    if available is not None:
        available = min(available, order.memory or available)
        limit_data(available)
    plan = plan_memory(
        inspected.header,
        context=order.context,
        slots=order.slots,
        kv_tokens=order.kv_tokens or None,
        available=available,
        kv_type=order.kv_type,
        beside=beside,
    )
    return plan, inspected.header, beside


def _prefix_cache_bytes(order: Load, taken: int) -> int:
    """What the host may keep of prefixes: what the operator says, or a part of what is free beside the model."""
    if order.prefix_cache_bytes >= 0:
        return order.prefix_cache_bytes
    available = available_memory() or 0
    free = min(available, order.memory or available) - (0 if offloads(order) else taken)
    return max(0, min(_MOST_KEPT_PREFIXES, free // 4))


def _kernel_rows(order: Load) -> int:
    """A GPU's kernels round differently in company whatever the number of rows, so there they are not limited."""
    return 0 if offloads(order) else order.ubatch_tokens


def _crew(order: Load) -> Crew | None:
    """None where it could not tell what it needs to: threads that wait for a GPU, or asleep, use no processor time."""
    sleeping = any(name in os.environ for name in _WAITING)
    return None if offloads(order) or sleeping or order.threads < 2 else Crew(order.threads)


def _resident_sequences(model: llama_cpp.llama_model_p, order: Load) -> int:
    """How many sequences may stay in memory, running or cached; 0 where the memory cannot be cut at any position."""
    cannot_cut = (
        llama_cpp.llama_model_is_recurrent(model)
        or llama_cpp.llama_model_is_hybrid(model)
        or llama_cpp.llama_model_n_swa(model) > 0
    )
    most: int = llama_cpp.llama_max_parallel_sequences()
    return 0 if cannot_cut else min(most - 2, order.slots + max(32, 4 * order.slots))


def _create_context(
    model: llama_cpp.llama_model_p, order: Load, log: NativeLog, *, kv_tokens: int, whole_cells: int
) -> llama_cpp.llama_context_p:
    parameters = llama_cpp.llama_context_default_params()
    parameters.n_ctx = kv_tokens
    parameters.n_batch = max(order.batch_tokens, whole_cells)
    parameters.n_ubatch = max(order.ubatch_tokens, whole_cells)
    parameters.n_seq_max = max(order.slots, _resident_sequences(model, order) + 2)
    # llama.cpp insists on room for an output of every sequence; drafts need theirs, too.
    parameters.n_outputs_max = max(parameters.n_seq_max, order.slots + DRAFT_ROWS)
    # One buffer for all sequences: a reservation is all that separates them, and prefixes can be shared.
    parameters.kv_unified = True
    parameters.n_threads = parameters.n_threads_batch = order.threads
    parameters.no_perf = True
    exact = order.kv_type == "auto" and _kernel_rows(order) > 0
    if exact:
        # With keys and values of one type, llama.cpp's CPU attention sums a row that is decoded alone in parts that
        # depend on where its cells lie; with two types every row is summed alike, in company or alone.
        parameters.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
        parameters.type_k = llama_cpp.GGML_TYPE_Q8_0
    elif order.kv_type in _QUANTIZED:
        parameters.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
        parameters.type_k = parameters.type_v = _QUANTIZED[order.kv_type]
    context = llama_cpp.llama_init_from_model(model, parameters)
    if not context and exact:
        # Heads that are no multiple of 32 wide cannot be quantized: right answers, but not the same in any company.
        parameters.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_AUTO
        parameters.type_k = llama_cpp.GGML_TYPE_F16
        context = llama_cpp.llama_init_from_model(model, parameters)
    if not context:
        raise ModelLoadFailed(
            "There is no memory for the model's context.",
            cause=log.last_error or f"{kv_tokens} tokens were asked for",
            remedy="Lower context, slots or kv_tokens, or choose another kv_type.",
        )
    return context


def _load_template(model: llama_cpp.llama_model_p, vocabulary: Vocabulary) -> tuple[ChatTemplate, list[str]]:
    raw: bytes | None = llama_cpp.llama_model_chat_template(model, None)
    source, note = (raw.decode("utf-8", "replace"), "") if raw else default_template(vocabulary)
    notes = [note] if note else []
    try:
        return ChatTemplate(source, bos=vocabulary.bos_text, eos=vocabulary.eos_text), notes
    except TemplateFailed as err:
        raise ModelLoadFailed(
            "The model's chat template is refused.",
            cause=f"{err.sentence} {err.cause}".strip(),
            remedy="Use a GGUF with a working chat template.",
        ) from err
