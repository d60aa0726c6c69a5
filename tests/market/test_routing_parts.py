"""The small parts of routing: load between two words, names of models, classes of quantizations, demands."""

from __future__ import annotations

import pytest

from peernode.chat.embedding_request import EmbeddingRequest
from peernode.chat.message import Image, Message
from peernode.chat.output_format import OutputFormat
from peernode.chat.request import ChatRequest
from peernode.chat.wishes import PRICE, THROUGHPUT
from peernode.market.routing.demand import LOGPROBS, STRUCTURED, USUAL_COMPLETION, VISION, demand_of
from peernode.market.routing.load import Loads
from peernode.market.routing.model_names import ModelName, read_model_name
from peernode.market.routing.quantizations import class_of, matches


def test_a_peers_word_stands_until_our_own_jobs_there_change() -> None:
    loads = Loads()
    assert loads.of("p", 1, 5, 2) == 5
    assert loads.of("p", 1, 5, 4) > 6.9
    assert loads.of("p", 1, 5, 0) < 5
    assert loads.of("p", 2, 3, 4) == 4  # its newest word is older than our newest jobs


def test_who_leaves_out_our_own_jobs_again_and_again_is_not_believed() -> None:
    loads = Loads()
    for word in range(500):
        loads.of(f"p{word}", 1, 10, 2)  # five times our own everywhere
    assert loads.of("liar", 1, 0, 3) == 3  # once: they may have been on the way
    assert loads.of("liar", 2, 0, 3) == pytest.approx(15, rel=0.1)
    for word in range(3, 12):
        loads.of("liar", word, 12, 3)
    assert loads.of("liar", 12, 4, 3) == 4  # and is believed again when its words agree with what we see


def test_others_are_taken_to_do_as_we_do() -> None:
    loads = Loads()
    for word in range(500):
        loads.of(f"p{word}", 1, 10, 2)  # five times our own everywhere
    assert loads.times == pytest.approx(5, rel=0.1)
    loads.of("q", 1, 0, 0)
    assert loads.of("q", 1, 0, 2) == pytest.approx(10, rel=0.1)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("cheapest", ModelName("", PRICE)),
        ("fastest", ModelName("", "", fastest=True)),
        ("auto", ModelName("")),
        ("llama:floor", ModelName("llama", PRICE)),
        ("llama:nitro", ModelName("llama", THROUGHPUT)),
        ("llama:8b", ModelName("llama:8b")),
        (":floor", ModelName(":floor")),
    ],
)
def test_names_of_models(name: str, read: ModelName) -> None:
    assert read_model_name(name) == read


@pytest.mark.parametrize(
    ("gguf", "kind"),
    [
        ("Q4_K_M", "int4"),
        ("Q4_1", "int4"),
        ("IQ2_XXS", "int2"),
        ("Q8_0", "int8"),
        ("F16", "fp16"),
        ("BF16", "bf16"),
        ("F32", "fp32"),
        ("MXFP4", "mxfp4"),
        ("Q6_K", "int6"),
        ("TQ1_0", "unknown"),
        ("strange", "unknown"),
    ],
)
def test_classes_of_quantizations(gguf: str, kind: str) -> None:
    assert class_of(gguf) == kind
    assert matches(gguf, frozenset((kind,)))
    assert matches(gguf, frozenset((gguf.lower(),)))
    assert not matches(gguf, frozenset(("fp6",)))


def test_mxfp4_is_a_kind_of_fp4() -> None:
    assert matches("MXFP4", frozenset(("fp4",)))


def test_demands_of_requests() -> None:
    text = demand_of(ChatRequest((Message("user", "x" * 400),), 50))
    assert (text.prompt_tokens, text.completion_tokens, text.needs) == (106, 50, frozenset())
    assert demand_of(ChatRequest((Message("user", "x"),))).completion_tokens == USUAL_COMPLETION
    image = demand_of(ChatRequest((Message("user", "x", images=(Image(0, b"x"),)),)))
    assert image.needs == {VISION}
    shaped = demand_of(ChatRequest((Message("user", "x"),), top_logprobs=1, format=OutputFormat("json_object")))
    assert shaped.parameters == {LOGPROBS, STRUCTURED}
    assert demand_of(EmbeddingRequest(("x" * 40, (1, 2, 3)))).embeds
