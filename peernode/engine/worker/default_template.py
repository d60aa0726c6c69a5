"""The chat template for a model that brings none: ChatML where its vocabulary knows it, else a plain dialogue.

A base model that has never seen ChatML's markers babbles behind them, but it has read many dialogues.
"""

from __future__ import annotations

from peernode.engine.worker.template import CHATML
from peernode.engine.worker.vocabulary import Vocabulary

PLAIN = (
    "{% for m in messages %}{{ m.role | capitalize }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)


def default_template(vocabulary: Vocabulary) -> tuple[str, str]:
    """The template's source, and a note for the operator."""
    marker = "<|im_start|>"
    if vocabulary.guard(marker) != marker:
        return CHATML, "The model has no chat template; ChatML is used instead."
    return (
        PLAIN,
        "The model has no chat template and knows no ChatML; it gets a plain dialogue, as a base model likes it.",
    )
