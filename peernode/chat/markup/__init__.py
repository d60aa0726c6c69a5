"""From a model's raw text to content, thoughts and tool calls, piece by piece as it comes. Pure.

Text travels raw between nodes, digests and receipts know only raw text; whoever shows an answer reads it here.
"""

from peernode.chat.markup.notation import Notation, call_id
from peernode.chat.markup.parser import MarkupParser
from peernode.chat.markup.pieces import CallArguments, CallStarted, Content, Piece, Reasoning

__all__ = [
    "CallArguments",
    "CallStarted",
    "Content",
    "MarkupParser",
    "Notation",
    "Piece",
    "Reasoning",
    "call_id",
]
