"""What a job may ask for: an answer to a chat, or embeddings."""

from __future__ import annotations

from typing import TypeAlias

from peernode.chat.embedding_request import KIND, EmbeddingRequest
from peernode.chat.request import ChatRequest
from peernode.wire.canonical import Value

JobRequest: TypeAlias = ChatRequest | EmbeddingRequest


def read_request(value: Value) -> JobRequest:
    """Either, from its canonical fields. Raises BadSchema."""
    if isinstance(value, list) and value[:1] == [KIND]:
        return EmbeddingRequest.from_fields(value)
    return ChatRequest.from_fields(value)
