"""One rendered prompt with images in it: what is prepared beside the decode loop, and the cells that come of it."""

from __future__ import annotations

from collections.abc import Sequence

from peernode.chat.errors import BadRequest
from peernode.engine.worker.sequence import TokenArray
from peernode.engine.worker.vision.embedder import Embedded
from peernode.engine.worker.vision.prompt import assemble
from peernode.engine.worker.vision.sight import Sight
from peernode.engine.worker.vision.spans import TEXT_ONLY, Layout
from peernode.engine.worker.vocabulary import Vocabulary


class SeeingPrompt:
    """``look`` takes its time and may run in any thread; ``cells`` afterwards, in the loop's."""

    def __init__(self, sight: Sight, vocabulary: Vocabulary, rendered: str, files: Sequence[bytes]) -> None:
        """Raises BadRequest when the template did not write every image exactly once."""
        self._sight = sight
        self._vocabulary = vocabulary
        self._files = files
        found = sight.placeholders.split(rendered, len(files))
        if found is None:
            raise BadRequest(
                "The model's chat template does not show images where these stand.",
                param="messages",
                remedy="Send them in a message of the user.",
            )
        self._texts, self._order = found

    def look(self, room: int) -> list[Embedded]:
        """Raises what ``Sight.see`` raises."""
        return self._sight.see(self._files, room=room)

    def cells(self, seen: Sequence[Embedded], *, most: int) -> tuple[TokenArray | None, Layout]:
        """The whole prompt; None when it has more than ``most`` cells. Raises BadRequest."""
        texts: list[TokenArray] = []
        for text in self._texts:
            tokens = self._vocabulary.tokenise(text, most=most, opens=not texts)
            if tokens is None:
                return None, TEXT_ONLY
            texts.append(tokens)
        cells, layout = assemble(texts, [seen[number] for number in self._order])
        if cells[-1] < 0:
            # The answer's first token is chosen after a token of text; every template ends with some.
            raise BadRequest("The prompt must not end with an image.", param="messages")
        return cells, layout
