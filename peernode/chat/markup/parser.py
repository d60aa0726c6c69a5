"""The incremental reader of one answer's raw text.

What is certain is given out at once; held back is only what could still begin or end a marker, the opening of a call
until its tool's name is known, and white space, which belongs to a marker that it touches. What turns out to be
no call is content, exactly as it was written. The pieces are the same whatever the chunks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from peernode.chat.markup.forms import BARE, MARKED, MISTRAL, Form
from peernode.chat.markup.notation import Notation
from peernode.chat.markup.opening import SPACE, Balance, NoCall, Opening, Undecided, read_object, read_rest
from peernode.chat.markup.pieces import CallArguments, CallStarted, Content, Piece, Reasoning

THOUGHTS = ("<think>", "<thought>")
_CLOSERS = ("</think>", "</thought>")
_CLOSER = re.compile("|".join(_CLOSERS))
# A call whose tool is not known after so many characters is none.
MAX_OPENING = 16384


class MarkupParser:
    """``push`` text as it comes, ``finish`` once. With no ``tools`` nothing is a call.

    ``call_id`` names the calls by their index; after ``most_calls`` further ones are content.
    """

    def __init__(
        self,
        notation: Notation,
        *,
        tools: Collection[str],
        call_id: Callable[[int], str],
        most_calls: int | None = None,
    ) -> None:
        self._thinks = notation.thinks
        self._known = frozenset(tools)
        self._call_id = call_id
        self._most_calls = most_calls
        self._forms = (*MARKED, *((BARE,) if notation.tools == "llama3" else ())) if tools else ()
        starts = {form.marker[0] for form in self._forms} | ({"<"} if self._thinks else set())
        self._starts = re.compile(f"[{re.escape(''.join(sorted(starts)))}]") if starts else None
        self._step: Callable[[], bool] = self._opened if notation.opens else self._content
        self._held = ""
        self._pieces: list[Piece] = []
        self._said = self._thought = self._final = False
        self._form = BARE
        self._balance = Balance()
        self.calls = 0

    def push(self, text: str) -> list[Piece]:
        """What ``text`` settles."""
        self._held += text
        return self._run()

    def finish(self) -> list[Piece]:
        """What was held back. Call once, at the end of the text."""
        self._final = True
        return self._run()

    def _run(self) -> list[Piece]:
        while self._held and self._step():
            pass
        pieces, self._pieces = self._pieces, []
        return pieces

    # Each step looks at what is held and returns whether another may follow at once; False waits for more text.

    def _content(self) -> bool:
        for found in self._starts.finditer(self._held) if self._starts else ():
            at = found.start()
            space = len(self._held[:at].rstrip(SPACE))
            first = not self._said and not space
            markers = [*(form.marker for form in self._forms if first or not form.first)]
            if self._thinks and first and not self.calls:
                markers.extend(THOUGHTS)
            marker = next((marker for marker in markers if self._held.startswith(marker, at)), None)
            partial = marker is None and any(marker.startswith(self._held[at:]) for marker in markers)
            if marker is None and (not partial or self._final):
                continue
            self._say(space)
            if marker is None:
                return False
            at -= space
            if marker in THOUGHTS:
                self._held = self._held[at + len(marker) :]
                self._step = self._think
                return True
            return self._open(marker, at)
        self._say(len(self._held) if self._final or not self._starts else len(self._held.rstrip(SPACE)))
        return False

    def _open(self, marker: str, at: int) -> bool:
        undecided = False
        for form in self._forms:
            if form.marker != marker or self.calls == self._most_calls:
                continue
            try:
                opening = form.read(self._held[: at + MAX_OPENING], at + len(marker), self._known)
            except Undecided:
                undecided = True
            except NoCall:
                pass
            else:
                self._begin(form, opening)
                return True
        if undecided and not self._final and len(self._held) < at + MAX_OPENING:
            return False
        self._say(at + 1)
        return True

    def _begin(self, form: Form, opening: Opening) -> None:
        self._form = form
        self._pieces.append(CallStarted(self.calls, self._call_id(self.calls), opening.name))
        self.calls += 1
        self._held = self._held[opening.end :]
        if opening.arguments is None:
            self._balance = Balance()
            self._step = self._arguments
        else:
            self._argue(opening.arguments)
            self._step = self._rest

    def _arguments(self) -> bool:
        end = self._balance.end_in(self._held)
        self._argue(self._held[:end])
        self._held = "" if end is None else self._held[end:]
        if end is not None:
            self._step = self._rest if self._form.wrapped else self._close
        return True

    def _rest(self) -> bool:
        try:
            self._held = self._held[read_rest(self._held[:MAX_OPENING], 0) :]
        except Undecided:
            if not self._final and len(self._held) < MAX_OPENING:
                return False
            if self._final:
                self._held = ""  # the notation itself was cut off: no words are in it
        except NoCall:
            pass
        self._step = self._close
        return True

    def _close(self) -> bool:
        """What may stand behind a call."""
        self._held = self._held.lstrip(SPACE)
        if not self._held:
            return False
        if self._form is MISTRAL:
            return self._next_in_list()
        closer = self._form.closer
        if closer and self._held.startswith(closer):
            self._held = self._held[len(closer) :]
        elif closer.startswith(self._held):
            self._held = self._held if not self._final else ""
            return False
        self._step = self._gap
        return True

    def _next_in_list(self) -> bool:
        self._step = self._gap
        if self._held.startswith("]"):
            self._held = self._held[1:]
        elif self._held.startswith(",") and self.calls != self._most_calls:
            try:
                self._begin(MISTRAL, read_object(self._held[:MAX_OPENING], 1))
            except NoCall:
                pass
            except Undecided:
                if not self._final and len(self._held) < MAX_OPENING:
                    self._step = self._close
                    return False
        return True

    def _gap(self) -> bool:
        self._held = self._held.lstrip(SPACE)
        if self._held:
            self._step = self._content
        return bool(self._held)

    def _opened(self) -> bool:
        """The prompt opened the thought; some models open it once more."""
        self._held = self._held.lstrip(SPACE)
        marker = next((marker for marker in THOUGHTS if self._held.startswith(marker)), "")
        if not marker and not self._final and any(marker.startswith(self._held) for marker in THOUGHTS):
            return False
        self._held = self._held[len(marker) :]
        self._step = self._think
        return True

    def _think(self) -> bool:
        if not self._thought:
            self._held = self._held.lstrip(SPACE)
        found = _CLOSER.search(self._held)
        if found is not None:
            self._ponder(len(self._held[: found.start()].rstrip(SPACE)))
            self._held = self._held.lstrip(SPACE)[len(found[0]) :]
            self._step = self._gap
            return True
        keep = len(self._held)
        if not self._final:
            opens = self._held.rfind("<")
            if opens >= 0 and any(closer.startswith(self._held[opens:]) for closer in _CLOSERS):
                keep = opens
            keep = len(self._held[:keep].rstrip(SPACE))
        self._ponder(keep)
        return False

    def _say(self, size: int) -> None:
        text, self._held = self._held[:size], self._held[size:]
        if not text:
            return
        self._said = self._said or bool(text.strip(SPACE))
        if self._pieces and isinstance(last := self._pieces[-1], Content):
            self._pieces[-1] = Content(last.text + text)
        else:
            self._pieces.append(Content(text))

    def _ponder(self, size: int) -> None:
        text, self._held = self._held[:size], self._held[size:]
        if text:
            self._thought = True
            self._pieces.append(Reasoning(text))

    def _argue(self, text: str) -> None:
        if text:
            self._pieces.append(CallArguments(self.calls - 1, text))
