"""What a vocabulary cannot write is refused before the first token."""

from __future__ import annotations

import pytest

from peernode.chat.errors import BadRequest
from peernode.engine.worker.grammar.writable import check_writable

KNOWN = frozenset(range(0x80)) | frozenset("é🙂".encode())


@pytest.mark.parametrize(
    "schema",
    [
        {"const": "Ж"},
        {"type": "object", "properties": {"a": {"enum": ["é", ["Ж"]]}}},
        {"type": "object", "properties": {"Ж": True}},
        {"anyOf": [{"const": {"Ж": 1}}, {"type": "null"}]},
    ],
)
def test_a_demanded_character_without_bytes_is_named(schema: dict) -> None:
    with pytest.raises(BadRequest) as refused:
        check_writable(schema, KNOWN)
    assert refused.value.param == "response_format"
    assert refused.value.cause == "U+0416"


@pytest.mark.parametrize(
    "schema", [{"const": "é🙂"}, {"description": "Ж", "type": "string"}, {"properties": {"é": {"default": "Ж"}}}]
)
def test_what_need_not_be_written_is_no_matter(schema: dict) -> None:
    check_writable(schema, KNOWN)
