"""Compiled grammars by digest: each built once however many ask, copied for each answer, the oldest forgotten."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future

from llguidance import LLMatcher

from peernode.chat.output_format import OutputFormat

# About 0.1 MB each.
MOST = 128


class Prototypes:
    """``build`` is called outside the lock, by whoever asks first; the others wait for its outcome."""

    def __init__(self, build: Callable[[OutputFormat], LLMatcher], *, most: int = MOST) -> None:
        self._build = build
        self._most = most
        self._lock = threading.Lock()
        self._made: OrderedDict[bytes, Future[LLMatcher]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._made)

    def copy(self, form: OutputFormat) -> LLMatcher:
        """A matcher at the beginning of ``form``. Raises what ``build`` raises, and remembers no failure."""
        key = hashlib.sha256(f"{form.kind}\0{form.source}".encode(errors="surrogatepass")).digest()
        with self._lock:
            found = self._made.get(key)
            future: Future[LLMatcher] = found or Future()
            self._made[key] = future
            self._made.move_to_end(key)
            while len(self._made) > self._most:
                self._made.popitem(last=False)
        if found is None:
            self._fulfil(key, future, form)
        return future.result().deep_copy()

    def _fulfil(self, key: bytes, future: Future[LLMatcher], form: OutputFormat) -> None:
        try:
            future.set_result(self._build(form))
        except BaseException as err:  # whoever waits must learn of it, whatever it is
            future.set_exception(err)
            with self._lock:
                if self._made.get(key) is future:
                    del self._made[key]
            raise
