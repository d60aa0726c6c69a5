"""Vocabularies without weights, and answers said at random under a constraint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import llama_cpp
import numpy as np

from peernode.engine.worker.grammar.grammars import Grammars
from peernode.engine.worker.grammar.matching import GrammarConstraint
from peernode.engine.worker.vocabulary import Vocabulary

_STRUCTURE = set(b'"}],')


@llama_cpp.llama_log_callback
def _silent(_level, _text, _data):
    pass


@dataclass
class Speaker:
    """A model's vocabulary and its grammars; ``structure`` marks tokens that close something, shape [vocabulary]."""

    vocabulary: Vocabulary
    grammars: Grammars
    structure: np.ndarray
    handle: object

    def text(self, ids) -> str:
        return b"".join(self.vocabulary.pieces[token] for token in ids).decode()

    def tokenise(self, text: str) -> list[int]:
        return self.vocabulary.tokenise(text, most=10_000).tolist()

    def say(self, constraint: GrammarConstraint, rng: np.random.Generator, *, most: int = 400) -> list[int] | None:
        """Ids of an answer that ended by itself; None if it did not within ``most`` tokens.

        A third of the choices closes something if that is allowed, or a string of random words would never end.
        """
        ids: list[int] = []
        blank = np.zeros(self.vocabulary.size, np.float32)
        while len(ids) < most:
            forced = constraint.forced()
            if forced:
                token = forced[0]
            else:
                may = np.flatnonzero(constraint.mask(blank) == 0)
                closing = may[self.structure[may]]
                token = int(rng.choice(closing if len(closing) and rng.random() < 0.35 else may))
            assert constraint.allowed([token]) == 1
            constraint.accept(token)
            if token in self.vocabulary.end_ids:
                return ids
            ids.append(token)
        return None


def speaker(path: Path, **options) -> Speaker:
    """Close its ``grammars``."""
    llama_cpp.llama_log_set(_silent, None)
    parameters = llama_cpp.llama_model_default_params()
    parameters.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
    assert model
    handle = llama_cpp.llama_model_get_vocab(model)
    vocabulary = Vocabulary(handle)
    structure = np.array([bool(piece) and set(piece) <= _STRUCTURE for piece in vocabulary.pieces])
    return Speaker(vocabulary, Grammars(handle, end_ids=vocabulary.end_ids, **options), structure, model)
