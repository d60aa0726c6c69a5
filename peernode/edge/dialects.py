"""Which dialect a path belongs to. Nothing but the path decides: never the body, never a header."""

from __future__ import annotations

_BY_PREFIX = (("/api/v1/", "openrouter"), ("/ai/v1/", "openrouter"), ("/api/", "peerwave"))
USUAL = "openai"


def dialect_of(path: str) -> str:
    """One of ``peernode.ledger.client_key.DIALECTS``."""
    return next((dialect for prefix, dialect in _BY_PREFIX if path.startswith(prefix)), USUAL)
