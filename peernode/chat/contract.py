"""The order of events that every job stream keeps, as a checker: one suite for engine, peer and coordinator."""

from __future__ import annotations

from peernode.chat.events import Failed, Finished, JobEvent, Receipted, Started, Tokens, Waiting


class ContractBroken(AssertionError):
    """A job stream yielded an event out of order: a bug in whoever yields it."""


class StreamContract:
    """Feed it every event; it raises ContractBroken on the first that may not come now.

    The engine's own stream (``receipted=False``) ends with Finished or Failed, for it knows nothing of receipts;
    everybody else's ends with Receipted or Failed.
    """

    def __init__(self, *, receipted: bool = True) -> None:
        self._receipted = receipted
        self._started = self._finished = self.ended = False
        self.completion_tokens = 0

    def observe(self, event: JobEvent) -> None:
        if self.ended:
            raise ContractBroken(f"{type(event).__name__} after the end")
        match event:
            case Started():
                self._require(not self._started, event)
                self._started = True
            case Waiting():
                self._require(not self._finished, event)
            case Tokens(ids=ids):
                self._require(self._started and not self._finished, event)
                self.completion_tokens += len(ids)
            case Finished(usage=usage):
                self._require(self._started and not self._finished, event)
                self._require(usage.completion_tokens == self.completion_tokens, event)
                self._finished = True
                self.ended = not self._receipted
            case Receipted():
                self._require(self._finished and self._receipted, event)
                self.ended = True
            case Failed():
                self.ended = True

    def close(self) -> None:
        """Call when the stream is over. Raises ContractBroken if it had no end."""
        if not self.ended:
            raise ContractBroken("the stream stopped without Receipted or Failed")

    def _require(self, fine: bool, event: JobEvent) -> None:
        if not fine:
            raise ContractBroken(f"{type(event).__name__} may not come now")
