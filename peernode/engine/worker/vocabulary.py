"""A model's vocabulary: text to token ids, token ids to bytes, and which ids end an answer.

Owns the rule that only the template may write control tokens: their text inside what people say is taken apart
by ``guard`` before the template is rendered, and ``tokenise`` makes ordinary tokens of it.
"""

from __future__ import annotations

import ctypes
import re
import secrets

import llama_cpp
import numpy as np

from peernode.engine.worker.sequence import TokenArray

_LONGEST_PIECE = 4096
_CONTROL = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN
_MARKERS = frozenset(
    f"{opening}{name}>" for name in ("think", "thought", "tool_call", "function") for opening in ("<", "</")
) | {"<|python_tag|>", "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"}


class Vocabulary:
    """Reads everything it needs once; afterwards only ``tokenise`` calls into llama.cpp."""

    def __init__(self, handle: llama_cpp.llama_vocab_p) -> None:
        self.handle = handle
        self.size: int = llama_cpp.llama_vocab_n_tokens(handle)
        self.pieces = self._read_pieces()
        self.longest_piece = max(map(len, self.pieces), default=1) or 1
        self.end_ids = frozenset(i for i in range(self.size) if llama_cpp.llama_vocab_is_eog(handle, i))
        self.marked_pieces = self._with_markers()
        self.bos_text = self._text(llama_cpp.llama_vocab_bos(handle))
        self.eos_text = self._text(llama_cpp.llama_vocab_eos(handle))
        self._bos = llama_cpp.llama_vocab_bos(handle) if llama_cpp.llama_vocab_get_add_bos(handle) else -1
        # Around a gap that is to be filled: what stands before, after, and the answer; -1 where the model has none.
        self.gap = (
            int(llama_cpp.llama_vocab_fim_pre(handle)),
            int(llama_cpp.llama_vocab_fim_suf(handle)),
            int(llama_cpp.llama_vocab_fim_mid(handle)),
        )
        self._control = self._control_pattern()
        # Nobody outside this process can know it, so nobody can write it.
        self._cut = f"\ue000{secrets.token_hex(8)}\ue001"

    def guard(self, said: str) -> str:
        """``said`` with every control token's text cut up; ``tokenise`` removes the cuts again."""
        if self._control is None:
            return said
        return self._control.sub(lambda match: self._cut + self._cut.join(match[0]) + self._cut, said)

    @property
    def opening(self) -> list[int]:
        """The ids that every prompt begins with, if the model wants any."""
        return [self._bos] if self._bos >= 0 else []

    def tokenise(self, text: str, *, most: int, opens: bool = True) -> TokenArray | None:
        """Ids of a rendered prompt, or of a part that does not open it; None when they are more than ``most``."""
        pieces = [piece for piece in text.split(self._cut) if piece]
        if sum(len(piece) for piece in pieces) > most * self.longest_piece:
            return None
        starts_with_bos = bool(self.bos_text) and text.startswith(self.bos_text)
        parts = [np.array([self._bos], np.int32)] if opens and self._bos >= 0 and not starts_with_bos else []
        total = len(parts)
        for piece in pieces:
            ids = self._tokenise_piece(piece.encode("utf-8", "replace"))
            total += len(ids)
            if total > most:
                return None
            parts.append(ids)
        return np.concatenate(parts) if parts else np.zeros(0, np.int32)

    def _tokenise_piece(self, raw: bytes) -> TokenArray:
        # A token covers at least one byte, but for the space that some vocabularies put in front.
        ids = np.empty(len(raw) + 8, np.int32)
        pointer = ids.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_token))
        count = llama_cpp.llama_tokenize(self.handle, raw, len(raw), pointer, len(ids), False, True)
        if count < 0:
            raise ArithmeticError(f"llama_tokenize needs room for {-count} tokens of {len(raw)} bytes")
        return ids[:count]

    def _read_pieces(self) -> list[bytes]:
        buffer = ctypes.create_string_buffer(_LONGEST_PIECE)
        pieces = []
        for token in range(self.size):
            length = llama_cpp.llama_token_to_piece(self.handle, token, buffer, _LONGEST_PIECE, 0, False)
            pieces.append(buffer.raw[:length] if length > 0 else b"")
        return pieces

    def _with_markers(self) -> list[bytes]:
        """The pieces of an answer in which thoughts and calls are marked: control tokens that mark them are text there.

        What ends an answer never is.
        """
        marked = list(self.pieces)
        for token, piece in enumerate(self.pieces):
            if not piece and token not in self.end_ids and (text := self._text(token)) in _MARKERS:
                marked[token] = text.encode()
        return marked

    def _text(self, token: int) -> str:
        if token < 0:
            return ""
        raw: bytes = llama_cpp.llama_vocab_get_text(self.handle, token)
        return raw.decode("utf-8", "replace")

    def _control_pattern(self) -> re.Pattern[str] | None:
        texts = {
            self._text(token)
            for token in range(self.size)
            if llama_cpp.llama_vocab_get_attr(self.handle, token) & _CONTROL
        }
        written = sorted((re.escape(text) for text in texts if len(text) > 1), key=len, reverse=True)
        return re.compile("|".join(written)) if written else None
