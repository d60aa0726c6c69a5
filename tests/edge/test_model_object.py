"""One model as clients see it: whether images may be sent to it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from peernode.edge.openai.model_object import model_object
from peernode.edge.services import CatalogModel
from peernode.wire.prices import Prices

TEXT = CatalogModel("org/tiny", (b"\1" * 32,), ("Q4_1",), 2048, 1, "llama", 1, Prices(1, 1, 1))


@pytest.mark.parametrize(
    ("sees", "modality", "inputs"), [(False, "text->text", ["text"]), (True, "text+image->text", ["text", "image"])]
)
def test_a_model_that_sees_says_so(sees, modality, inputs):
    architecture = model_object(replace(TEXT, sees=sees))["architecture"]
    assert (architecture["modality"], architecture["input_modalities"]) == (modality, inputs)
    assert architecture["output_modalities"] == ["text"]
