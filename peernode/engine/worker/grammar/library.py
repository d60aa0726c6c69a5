"""How the grammar library is asked: its bounds, its first mask, its words of refusal.

Knows nothing of a model, and imports little: ``rehearsal_process`` starts with it.
"""

from __future__ import annotations

import llguidance

# A build or a step beyond these is refused: about 10 ms of a step, 50 MB of automaton.
_LIMITS = llguidance.LLParserLimits(
    initial_lexer_fuel=200_000,
    max_grammar_size=20_000,
    step_lexer_fuel=200_000,
    step_max_items=50_000,
    max_lexer_states=50_000,
    verbose_errors=False,  # else its messages hold the answer so far
)


class GrammarRefused(Exception):
    """The library's own reason."""


def build(tokenizer: llguidance.LLTokenizer, grammar: str) -> llguidance.LLMatcher:
    """A matcher that has made its first mask, for some errors show only there. Raises GrammarRefused."""
    matcher = llguidance.LLMatcher(tokenizer, grammar, limits=_LIMITS, log_level=0)
    _raise_error(matcher)
    bits = matcher.compute_bitmask()
    _raise_error(matcher)
    if not bits.strip(b"\0"):
        raise GrammarRefused("no token of this model can begin such an answer")
    return matcher


def error(matcher: llguidance.LLMatcher) -> str:
    """What the matcher broke on, in a line; empty if it did not."""
    if not matcher.is_error():
        return ""
    lines = [line.strip() for line in matcher.get_error().replace("<non-verbose/>", "").splitlines() if line.strip()]
    if not lines:
        return "the grammar library gave no reason"
    # Of an expression it quotes each line, and says only in the last what is wrong.
    reason = f"{lines[0]} {lines[-1]}" if lines[0].endswith(":") and len(lines) > 1 else lines[0]
    return reason[:400]


def _raise_error(matcher: llguidance.LLMatcher) -> None:
    reason = error(matcher)
    if reason:
        raise GrammarRefused(reason)
