"""A model's grammars: from the form that a request asks for to the constraint of one answer.

Owns the library's view of the vocabulary (made with the first form, 0.7 s for 49 000 tokens), the compiled grammars,
the process that tries them out, and the threads that make masks. ``constrain`` is slow: it belongs off the decode loop.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

import llama_cpp
from llguidance import LLMatcher, LLTokenizer
from llguidance.llamacpp import lltokenizer_from_vocab

from peernode.chat.output_format import OutputFormat
from peernode.engine.worker.constraint import ConstraintBroken
from peernode.engine.worker.grammar.formats import library_grammar, marker_of
from peernode.engine.worker.grammar.library import GrammarRefused, build
from peernode.engine.worker.grammar.limits import read_schema
from peernode.engine.worker.grammar.matching import GrammarConstraint
from peernode.engine.worker.grammar.prototypes import Prototypes
from peernode.engine.worker.grammar.refusal import refusal
from peernode.engine.worker.grammar.rehearsal import Rehearsal, VocabularyFacts
from peernode.engine.worker.grammar.writable import check_writable

_HELPERS = 2
_ONE_OF = "coerce_one_of"


class Grammars:
    """``handle`` is llama.cpp's vocabulary, whose model must live on; ``end_ids`` are all tokens that end an answer,
    ``writable`` the bytes that its tokens have.
    """

    def __init__(
        self,
        handle: llama_cpp.llama_vocab_p,
        *,
        end_ids: Collection[int],
        writable: Collection[int] = range(256),
        jump_ahead: bool = True,
        most: int = 128,
    ) -> None:
        self._handle = handle
        self._size: int = llama_cpp.llama_vocab_n_tokens(handle)
        eos: int = llama_cpp.llama_vocab_eos(handle)
        # The model's own end comes first: it is the one that is forced.
        self._end_ids = sorted(end_ids, key=lambda token: (token != eos, token))
        self._writable = frozenset(writable)
        self._jump_ahead = jump_ahead
        self._lock = threading.Lock()
        self._tokenizer: LLTokenizer | None = None
        self._special: dict[int, str] | None = None
        self._rehearsal: Rehearsal | None = None
        self._prototypes = Prototypes(self._build, most=most)
        self._helper = ThreadPoolExecutor(_HELPERS, thread_name_prefix="masks")

    def constrain(self, form: OutputFormat, *, earlier: Sequence[int] = ()) -> GrammarConstraint:
        """The constraint of one answer that holds ``earlier`` already. Raises BadRequest with the library's reason."""
        matcher = self._prototypes.copy(form)
        try:
            constraint = GrammarConstraint(
                matcher,
                vocabulary=self._size,
                end_ids=self._end_ids,
                helper=self._helper,
                jump_ahead=self._jump_ahead,
            )
            if earlier:
                constraint.follow(earlier)
        except ConstraintBroken as err:
            raise refusal("The answer to continue does not follow the response format.", cause=str(err)) from err
        return constraint

    def marker(self, text: str) -> str:
        """``text`` as a grammar has it: a special token of this vocabulary, or a literal."""
        return marker_of(text, self._special_tokens())

    def tokenizer(self) -> LLTokenizer:
        """The library's view of the vocabulary; slow when asked first."""
        with self._lock:
            if self._tokenizer is None:
                self._tokenizer = lltokenizer_from_vocab(self._handle, eos_token=self._end_ids)
            return self._tokenizer

    def close(self) -> None:
        """End the process and the threads; a mask under way is not waited for."""
        self._helper.shutdown(wait=False, cancel_futures=True)
        if self._rehearsal is not None:
            self._rehearsal.close()

    def _build(self, form: OutputFormat) -> LLMatcher:
        grammar = library_grammar(form)
        if form.kind == "json_schema":
            check_writable(read_schema(form.source), self._writable)
        try:
            self._rehearsals().try_out(grammar)
            return build(self.tokenizer(), grammar)
        except GrammarRefused as err:
            remedy = "Use anyOf, or alternatives that cannot both hold." if _ONE_OF in str(err) else ""
            raise refusal("The response format cannot be served.", cause=str(err), remedy=remedy) from err

    def _rehearsals(self) -> Rehearsal:
        special = self._special_tokens()
        with self._lock:
            if self._rehearsal is None:
                self._rehearsal = Rehearsal(VocabularyFacts(self._size, special, self._end_ids[0]))
            return self._rehearsal

    def _special_tokens(self) -> dict[int, str]:
        """Tokens that text does not make, by the library's rule: control, or defined by the user in angle brackets."""
        with self._lock:
            if self._special is None:
                self._special = {
                    token: name
                    for token in range(self._size)
                    if (attributes := llama_cpp.llama_vocab_get_attr(self._handle, token))
                    & (llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED)
                    and (name := llama_cpp.llama_vocab_get_text(self._handle, token).decode("utf-8", "replace"))
                    and (attributes & llama_cpp.LLAMA_TOKEN_ATTR_CONTROL or (name[0] == "<" and name[-1] == ">"))
                }
            return self._special
