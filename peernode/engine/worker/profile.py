"""Where the time of decode steps goes, in seconds since the worker's start."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Profile:
    """``fill`` chooses and fills the batch, ``decode`` is llama.cpp's, ``sample`` chooses tokens and makes text of
    them, ``emit`` packs and sends the report, ``move`` takes idle prefixes to the host. Waiting for work is none of
    them."""

    fill: float = 0.0
    decode: float = 0.0
    sample: float = 0.0
    emit: float = 0.0
    move: float = 0.0

    def seconds(self) -> list[float]:
        # Once per report, so spelt out: astuple copies deeply and is slow.
        return [self.fill, self.decode, self.sample, self.emit, self.move]
