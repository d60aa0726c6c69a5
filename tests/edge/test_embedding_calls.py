"""The body of an embeddings call: every shape OpenAI knows, and a reason for whatever else comes."""

from __future__ import annotations

import base64
import json
import math
import struct

import pytest

from peernode.chat.embedding_request import EmbeddingRequest, read_vectors, vector_line
from peernode.chat.errors import BadRequest
from peernode.edge.openai.embedding_call import EmbeddingCall, read_embedding_call, write_embedding
from peernode.wire.errors import BadSchema


def call(**changes: object) -> EmbeddingCall:
    return read_embedding_call(json.dumps({"model": "m", "input": "hello", **changes}).encode())


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("hello", ("hello",)),
        (["a", "b"], ("a", "b")),
        ([1, 2, 3], ((1, 2, 3),)),
        ([[1, 2], [3]], ((1, 2), (3,))),
        (["a", [3]], ("a", (3,))),
    ],
)
def test_every_shape_of_input_is_read(given: object, inputs: tuple[object, ...]) -> None:
    request = call(input=given).request
    assert request.inputs == inputs
    assert EmbeddingRequest.from_fields(request.to_fields()) == request


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        [],
        5,
        {},
        [""],
        [[]],
        [-1],
        [True],
        [1.5],
        ["a", 5],
        ["a", None],
        [[1, "a"]],
        ["a"] * 2049,
        "x" * 700_000,
    ],
)
def test_other_inputs_are_refused_by_name(given: object) -> None:
    with pytest.raises(BadRequest) as refused:
        call(input=given)
    assert (refused.value.param or "").startswith("input")


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"model": None}, "model"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": "5"}, "dimensions"),
    ],
)
def test_other_parameters_are_refused_by_name(changes: dict[str, object], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        call(**changes)
    assert refused.value.param == param


def test_vectors_are_written_as_asked_for() -> None:
    vector = (0.6, 0.0, 0.8)
    assert write_embedding(vector, call()) == [0.6, 0.0, 0.8]
    packed = write_embedding(vector, call(encoding_format="base64"))
    assert isinstance(packed, str)
    assert struct.unpack("<3f", base64.b64decode(packed)) == pytest.approx(vector)
    assert write_embedding(vector, call(dimensions=2)) == [1.0, 0.0]
    with pytest.raises(BadRequest, match="dimensions"):
        write_embedding(vector, call(dimensions=4))


def test_an_answers_lines_are_its_vectors() -> None:
    text = "".join(vector_line(struct.pack("<2f", *vector)) for vector in ((1, 0), (0, 1)))
    assert read_vectors(text, 2) == [(1.0, 0.0), (0.0, 1.0)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "AAAA\n",
        "not base64!\n" * 2,
        vector_line(bytes(4)),
        vector_line(bytes(8)) + vector_line(bytes(4)),
        vector_line(struct.pack("<f", math.nan)) * 2,
        vector_line(struct.pack("<f", math.inf)) * 2,
    ],
)
def test_an_answer_that_is_no_vectors_is_found_out(text: str) -> None:
    with pytest.raises(ValueError, match=r"vector|base64"):
        read_vectors(text, 2)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        ["embeddings"],
        ["embeddings", []],
        ["embeddings", [""]],
        ["embeddings", [[]]],
        ["chat", ["a"]],
        ["embeddings", ["a"], 1],
    ],
)
def test_a_peers_request_is_checked(fields: list[object]) -> None:
    with pytest.raises(BadSchema):
        EmbeddingRequest.from_fields(fields)
