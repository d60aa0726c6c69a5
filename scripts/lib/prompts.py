"""Texts for benchmarks: of a wanted length, different by ``salt`` from their first word on where no cache may help."""

from __future__ import annotations

import random

_WORDS = [
    "river",
    "stone",
    "garden",
    "window",
    "winter",
    "letter",
    "music",
    "bridge",
    "candle",
    "harbor",
    "silver",
    "forest",
    "market",
    "morning",
    "shadow",
    "table",
    "water",
    "paper",
    "engine",
    "valley",
    "summer",
    "castle",
    "doctor",
    "island",
    "kitchen",
    "lantern",
    "meadow",
    "number",
    "orange",
    "painter",
    "question",
    "road",
]

CODE = """\
class Inventory:
    def __init__(self, name):
        self.name = name
        self.items = {}

    def add(self, item, count):
        if count <= 0:
            raise ValueError("count must be positive")
        self.items[item] = self.items.get(item, 0) + count

    def remove(self, item, count):
        if self.items.get(item, 0) < count:
            raise KeyError("not enough " + item)
        self.items[item] = self.items[item] - count

    def total(self):
        return sum(self.items.values())

    def report(self):
        lines = []
        for item, count in sorted(self.items.items()):
            lines.append(item + ": " + str(count))
        return "\\n".join(lines)
"""


def story_prompt(salt: str) -> str:
    return f"{salt}: Write a long story about a fox who lived in the deep forest and liked to count the stars."


def filler(salt: str, tokens: int) -> str:
    """Common words, about one token each, of which no two salts share a beginning."""
    rng = random.Random(salt)
    return f"{salt} " + " ".join(rng.choice(_WORDS) for _ in range(tokens))


def edit_prompt(salt: str) -> str:
    """Asks for a text that is nearly the prompt's."""
    code = CODE.replace("Inventory", f"Inventory{salt}")
    return (
        f"Here is a Python class:\n\n```python\n{code}```\n\n"
        "Write the whole class again with the method `total` renamed to `count_all`. Change nothing else."
    )
