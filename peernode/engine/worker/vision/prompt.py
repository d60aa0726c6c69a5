"""A prompt of text and pictures: where the template puts each picture, and the cells that come of it.

Owns the placeholders. They are text, for a template knows nothing else, and nobody outside this process can write one.
"""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Callable, Sequence

import numpy as np

from peernode.chat.message import Message
from peernode.engine.worker.sequence import TokenArray
from peernode.engine.worker.vision.embedder import Embedded
from peernode.engine.worker.vision.spans import ImageRun, Layout


class Placeholders:
    """``mark`` before a template is rendered, ``split`` after it."""

    def __init__(self) -> None:
        self._secret = secrets.token_hex(8)
        self._pattern = re.compile(f"\ue002{self._secret}:([0-9]{{1,6}})\ue003")

    def mark(self, number: int) -> str:
        """What stands in a message for picture ``number``."""
        return f"\ue002{self._secret}:{number}\ue003"

    def placing(self, guard: Callable[[str], str]) -> Callable[[Message], str]:
        """What makes of each message in turn its words, guarded, with a mark where an image stands."""
        numbers = itertools.count()

        def placed(message: Message) -> str:
            said = message.content
            ends = [0, *(image.at for image in message.images), len(said)]
            pieces = [guard(said[begin:end]) for begin, end in itertools.pairwise(ends)]
            marks = [self.mark(next(numbers)) for _ in message.images]
            return "".join(itertools.chain.from_iterable(zip(pieces, [*marks, ""], strict=True)))

        return placed

    def split(self, rendered: str, pictures: int) -> tuple[list[str], list[int]] | None:
        """The texts around the pictures, one more than there are pictures, and the pictures' numbers in order.

        None when the template did not write every one of ``pictures`` exactly once.
        """
        pieces = self._pattern.split(rendered)
        numbers = [int(number) for number in pieces[1::2]]
        return (pieces[::2], numbers) if sorted(numbers) == list(range(pictures)) else None


def assemble(texts: Sequence[TokenArray], pictures: Sequence[Embedded]) -> tuple[TokenArray, Layout]:
    """The cells of a whole prompt, ``texts`` around ``pictures``, and where its embeddings are among them."""
    cells: list[TokenArray] = []
    runs: list[tuple[int, ImageRun]] = []
    at = 0
    for number, text in enumerate(texts):
        pieces: Embedded = (text, *(pictures[number] if number < len(pictures) else ()))
        for piece in pieces:
            if isinstance(piece, ImageRun):
                runs.append((at, piece))
                cells.append(piece.ids)
            else:
                cells.append(piece)
            at += len(cells[-1])
    return np.concatenate(cells) if cells else np.zeros(0, np.int32), Layout(runs)
