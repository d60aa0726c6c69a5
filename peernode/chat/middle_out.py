"""Conversations made to fit: their middle is left out, as OpenRouter's transform "middle-out" does it. Pure.

Always kept are what system and developer say, the first and the last question, and what comes last; calls of tools
stay with their results. Whole exchanges go first, then calls with their results, and at last the middles of texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from peernode.chat.message import Message
from peernode.chat.request import ChatRequest

# What a template puts around a message, and what an image takes, as characters of text; roughly.
MESSAGE_SIZE = 24
IMAGE_SIZE = 1024
LEAST_TEXT = 64
GAP = "\n…\n"
_LASTING = ("system", "developer")


@dataclass(eq=False, slots=True)
class _Unit:
    """Messages that stay or go together. ``exchange`` counts the user's turns up to here."""

    messages: list[Message]
    exchange: int

    @property
    def size(self) -> int:
        return sum(map(size_of, self.messages))


def size_of(message: Message) -> int:
    """About how long a message is, in characters."""
    calls = sum(len(call.name) + len(call.arguments) for call in message.tool_calls)
    return len(message.content) + calls + MESSAGE_SIZE + IMAGE_SIZE * len(message.images)


def middle_out(request: ChatRequest, share: float) -> ChatRequest | None:
    """``request`` cut down to ``share`` of its messages' length, or to less; None when it cannot be."""
    if request.is_raw:
        return None
    goal = int(sum(map(size_of, request.messages)) * share)
    units = _units(request.messages)
    last = max(unit.exchange for unit in units)
    inner = [unit for unit in units if 1 < unit.exchange < last]
    exchanges = [[unit for unit in inner if unit.exchange == number] for number in range(2, last)]
    units = _without(units, exchanges, goal)
    # The unit that ends the conversation is what is to be answered.
    calls = [[unit] for unit in units[:-1] if unit.messages[0].role not in (*_LASTING, "user")]
    units = _without(units, calls, goal)
    messages = _shortened([message for unit in units for message in unit.messages], goal)
    return None if messages is None else replace(request, messages=tuple(messages))


def _units(messages: Sequence[Message]) -> list[_Unit]:
    units: list[_Unit] = []
    exchange = 0
    for message in messages:
        exchange += message.role == "user"
        if message.role == "tool" and units and units[-1].messages[0].tool_calls:
            units[-1].messages.append(message)
        else:
            # What lasts belongs to no exchange.
            units.append(_Unit([message], 0 if message.role in _LASTING else max(exchange, 1)))
    return units


def _without(units: list[_Unit], groups: list[list[_Unit]], goal: int) -> list[_Unit]:
    """``units`` without as many of ``groups``, from their middle outwards, as it takes."""
    size = sum(unit.size for unit in units)
    middle = (len(groups) - 1) / 2
    gone: set[_Unit] = set()
    for at in sorted(range(len(groups)), key=lambda at: (abs(at - middle), at)):
        if size <= goal:
            break
        gone.update(groups[at])
        size -= sum(unit.size for unit in groups[at])
    return [unit for unit in units if unit not in gone]


def _shortened(messages: list[Message], goal: int) -> list[Message] | None:
    """The longest texts lose their middles; what the system says comes last. None when that is not enough."""
    excess = sum(map(size_of, messages)) - goal
    for at in _longest_first(messages):
        if excess <= 0:
            break
        content = messages[at].content
        keep = max(LEAST_TEXT, len(content) - excess - len(GAP))
        if keep + len(GAP) < len(content):
            head = (keep + 1) // 2
            cut = content[:head] + GAP + content[len(content) - keep // 2 :]
            excess -= len(content) - len(cut)
            messages[at] = replace(messages[at], content=cut)
    return messages if excess <= 0 else None


def _longest_first(messages: Sequence[Message]) -> Iterable[int]:
    # Images stand at places in their text, which must not move.
    places = [at for at, message in enumerate(messages) if not message.images]
    return sorted(places, key=lambda at: (messages[at].role in _LASTING, -len(messages[at].content)))
