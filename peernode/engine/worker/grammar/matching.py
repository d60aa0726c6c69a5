"""One answer held to its form, token by token: masks made beside the decode, forced tokens, drafts.

Owns one matcher, which is never used by two threads at once: whoever wants it waits for the mask under way.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from concurrent.futures import TimeoutError as NotInTime

import numpy as np
from llguidance import LLMatcher
from numpy.typing import NDArray

from peernode.engine.worker.candidates import Floats
from peernode.engine.worker.constraint import ConstraintBroken
from peernode.engine.worker.grammar.library import error

# A step's work is bounded to some 20 ms by the library; this is for the case that it is not.
_SECONDS = 2.0
# A byte of a mask, the lowest bit first, as what is added to the logits of its eight tokens.
_ADDENDS: Floats = np.where(
    np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little") == 1,
    np.float32(0),
    np.float32(-np.inf),
)


class GrammarConstraint:
    """A ``Constraint``. ``end_ids`` end an answer; the first is the one that is forced where only the end can come.

    With ``jump_ahead`` off nothing is forced, and every token is chosen under a mask.
    """

    def __init__(
        self, matcher: LLMatcher, *, vocabulary: int, end_ids: Sequence[int], helper: Executor, jump_ahead: bool = True
    ) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._end_ids = tuple(end_ids)
        self._helper = helper
        self._jump_ahead = jump_ahead
        self._forced: list[int] = []
        self._mask: Future[Floats] | None = None
        self._ended = False
        self._look_ahead()

    def mask(self, logits: Floats) -> Floats:
        """Raises ConstraintBroken."""
        if self._mask is None:
            self._mask = self._helper.submit(self._addends)
        try:
            return logits + self._mask.result(_SECONDS)
        except NotInTime as err:
            raise ConstraintBroken("the next tokens of the response format take too long to find") from err

    def accept(self, token: int) -> None:
        """Raises ConstraintBroken."""
        matcher = self._settled()
        if not matcher.consume_token(token):
            self._mask = None
            raise ConstraintBroken(error(matcher) or "a token does not follow the response format")
        expected = bool(self._forced) and self._forced.pop(0) == token
        self._ended = token in self._end_ids
        if not expected or not self._forced:
            self._look_ahead()

    def forced(self) -> list[int]:
        return list(self._forced)

    def allowed(self, draft: Sequence[int]) -> int:
        """Raises ConstraintBroken."""
        matcher = self._settled()
        self._raise_error()
        if matcher.is_stopped():  # the library denies the end here, though it accepts it
            return int(bool(draft) and not self._ended and draft[0] in self._end_ids)
        length = matcher.validate_tokens(list(draft))
        self._raise_error()
        return length

    def follow(self, earlier: Sequence[int]) -> None:
        """Accept what the answer holds already, when it is continued. Raises ConstraintBroken."""
        matcher = self._settled()
        if not matcher.consume_tokens(list(earlier)):
            raise ConstraintBroken(error(matcher) or "the answer so far does not follow the response format")
        self._look_ahead()

    def _look_ahead(self) -> None:
        """What comes next is forced, or its mask is begun."""
        self._mask = None
        self._forced = []
        if self._ended:
            return
        if self._jump_ahead:
            self._forced = self._matcher.compute_ff_tokens()
            self._raise_error()
            if not self._forced and self._matcher.is_stopped():
                self._forced = [self._end_ids[0]]
        if not self._forced:
            self._mask = self._helper.submit(self._addends)

    def _settled(self) -> LLMatcher:
        if self._mask is not None:
            try:
                self._mask.result(_SECONDS)
            except NotInTime as err:
                raise ConstraintBroken("the next tokens of the response format take too long to find") from err
        return self._matcher

    def _addends(self) -> Floats:
        """0 where a token may come next and -inf elsewhere: what is added to the logits. Shape [vocabulary]."""
        bits: NDArray[np.uint8] = np.zeros((self._vocabulary + 31) // 32 * 4, np.uint8)
        self._matcher.unsafe_compute_mask_ptr(bits.ctypes.data, bits.nbytes)
        self._raise_error()  # in error, the library answers as if only the end could follow
        if not bits.any():
            raise ConstraintBroken("no token of this model can go on with the response format")
        return _ADDENDS.take(bits, axis=0).reshape(-1)[: self._vocabulary]

    def _raise_error(self) -> None:
        reason = error(self._matcher)
        if reason:
            raise ConstraintBroken(reason)
