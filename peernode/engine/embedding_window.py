"""How long an input of an embedding model may be: it must fit one batch, for it is pooled as a whole.

Pure arithmetic. A model made of a chat model computes a row of its whole vocabulary for each token, used or not.
"""

from __future__ import annotations

from peernode.engine.gguf_model import ModelHeader

_ENCODER_TOKENS = 8192
_DECODER_TOKENS = 1024
_LOGIT_BYTES = 4


def embedding_window(header: ModelHeader, *, context: int, batch_tokens: int) -> int:
    """Tokens of the longest input, and of one batch. ``batch_tokens`` 0 leaves it to us."""
    most = batch_tokens or (_ENCODER_TOKENS if header.is_encoder else _DECODER_TOKENS)
    return min(most, context, header.context_length)


def beside_embedding(header: ModelHeader, window: int) -> int:
    """Bytes for what a batch computes besides its embeddings."""
    return 0 if header.is_encoder else 2 * _LOGIT_BYTES * window * header.vocabulary
