"""One request's images: each is named in what is refused, and nothing is encoded that has no place afterwards."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from peernode.chat.errors import BadRequest, ContextTooLong
from peernode.engine.worker.vision.embedder import cells_of
from peernode.engine.worker.vision.projector import EncodedRun
from peernode.engine.worker.vision.sight import Sight


class AreaEncoder:
    """A cell for every pixel, and a marker before them."""

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, pixels, *, within):
        cells = pixels.shape[0] * pixels.shape[1]
        within(cells)
        self.encoded += 1
        return [np.array([7], np.int32), EncodedRun(np.zeros((cells, 2), np.float32), cells, True, None)]


def png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (width, height, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def test_images_are_seen_in_order():
    found = Sight(AreaEncoder()).see([png(2, 3), png(1, 1)], room=100)
    assert [cells_of(embedded) for embedded in found] == [6, 1]


def test_the_image_at_fault_is_named():
    with pytest.raises(BadRequest, match=r"^Image 2 is damaged") as caught:
        Sight(AreaEncoder()).see([png(2, 3), png(4, 4)[:45]], room=100)
    assert caught.value.param == "messages"


def test_an_image_beyond_the_budget_is_refused_and_not_encoded():
    encoder = AreaEncoder()
    with pytest.raises(BadRequest, match=r"^Image 1 takes too many tokens\. Cause: 21, at most 20"):
        Sight(encoder, budget=20).see([png(7, 3)], room=100)
    assert encoder.encoded == 0


def test_images_that_do_not_fit_together_are_refused():
    encoder = AreaEncoder()
    with pytest.raises(ContextTooLong, match="Image 3 takes 4 tokens, 3 are left") as caught:
        Sight(encoder, budget=20).see([png(2, 2), png(3, 1), png(1, 4)], room=10)
    assert caught.value.param == "messages"
    assert encoder.encoded == 2
