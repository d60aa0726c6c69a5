"""The root of every error that a peernode user can meet.

Owns the shape (stable code, one sentence, cause, remedy); each room derives its own classes beside the code
that raises them, and each surface (HTTP, CLI, job stream) turns them into an answer in exactly one place.
"""

from __future__ import annotations

from typing import ClassVar


class PeernodeError(Exception):
    """One sentence for people and one stable code for programs.

    ``cause`` says what was found, ``remedy`` what the reader can do about it; both may be empty.
    """

    code: ClassVar[str] = "internal"

    def __init__(self, sentence: str, *, cause: str = "", remedy: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        parts = [self.sentence]
        if self.cause:
            parts.append(f"Cause: {self.cause}")
        if self.remedy:
            parts.append(f"Remedy: {self.remedy}")
        return " ".join(parts)
