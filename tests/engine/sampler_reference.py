"""The sampler written down plainly: one token at a time, in dictionaries and loops, as its documentation reads."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from peernode.chat.sampling import Sampling
from peernode.engine.worker.sampler import gumbel


def adjusted(
    logits: Sequence[float], sampling: Sampling, prompt: Sequence[int], answer: Sequence[int]
) -> list[np.float32]:
    """Single precision throughout, as the sampler states."""
    counts, seen = Counter(answer), {*prompt, *answer}
    repetition = np.float32(sampling.repetition_penalty)
    frequency, presence = np.float32(sampling.frequency_penalty), np.float32(sampling.presence_penalty)
    result = []
    for token, logit in enumerate(logits):
        value = np.float32(logit)
        if token in seen:
            value = value / repetition if value > 0 else value * repetition
        value -= frequency * np.float32(counts[token]) + presence * np.float32(token in counts)
        result.append(value + np.float32(sampling.bias.get(token, 0.0)))
    return result


def candidates(logits: Sequence[np.float32], sampling: Sampling) -> list[int]:
    """Ids that survive every cut, likeliest first."""
    ids = sorted(range(len(logits)), key=lambda token: (-logits[token], token))[:256]
    ids = ids[: sampling.top_k or 256]
    kept, held = [], 0.0
    shares = probabilities(logits, ids)
    for token in ids:
        kept.append(token)
        held += shares[token]
        if held >= sampling.top_p and sampling.top_p < 1:
            break
    shares = probabilities(logits, kept)
    kept = [token for token in kept if shares[token] >= sampling.min_p * shares[kept[0]]]
    shares = probabilities(logits, kept)
    return [token for token in kept if token == kept[0] or shares[token] >= sampling.top_a * shares[kept[0]] ** 2]


def probabilities(logits: Sequence[np.float32], ids: Sequence[int]) -> dict[int, float]:
    weights = {token: math.exp(float(logits[token]) - float(logits[ids[0]])) for token in ids}
    total = sum(weights.values())
    return {token: weight / total for token, weight in weights.items()}


def chosen(logits: Sequence[np.float32], sampling: Sampling, seed: int, position: int) -> int:
    """The token that wins, from logits that are already adjusted."""
    if not sampling.temperature:
        return min(range(len(logits)), key=lambda token: (-logits[token], token))
    ids = candidates(logits, sampling)
    noise = gumbel(seed, position, np.array(ids))
    scores = [float(logits[token]) / sampling.temperature + noise[at] for at, token in enumerate(ids)]
    return ids[int(np.argmax(scores))]
