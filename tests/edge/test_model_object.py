"""One model as clients see it: whether images may be sent to it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from peernode.edge.openai.model_list import model_list
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


class Names:
    """A catalog of one model, or of none, and of the names that stand for any."""

    def __init__(self, *models: CatalogModel) -> None:
        self._models = models

    def models(self) -> tuple[CatalogModel, ...]:
        return self._models

    def find(self, model_id: str) -> CatalogModel | None:
        return replace(self._models[0], id=model_id) if self._models else None


def test_names_that_choose_a_model_are_listed_behind_the_models():
    listed = model_list(Names(TEXT))
    assert [model["id"] for model in listed] == ["org/tiny", "cheapest", "fastest", "auto"]
    assert all(model["object"] == "model" and set(model) == set(listed[0]) for model in listed)
    assert all(model["description"] for model in listed[1:])
    assert model_list(Names()) == []
