"""The demo model's vocabulary and the tiny one's, each with its grammars."""

from __future__ import annotations

import pytest

from tests.engine.worker.grammar.saying import speaker
from tests.models import demo_model, write_tiny_model


@pytest.fixture(scope="session")
def demo():
    made = speaker(demo_model())
    yield made
    made.grammars.close()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    made = speaker(write_tiny_model(tmp_path_factory.mktemp("vocabulary") / "tiny.gguf"))
    yield made
    made.grammars.close()
