"""Models for tests: the real one, if this machine has it, and tiny random ones written on the spot."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
import pytest

DEMO_MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
DEMO_MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def demo_model() -> Path:
    """The demo model from PEERNODE_TEST_MODEL or the user's cache; skips the test where there is none."""
    named = os.environ.get("PEERNODE_TEST_MODEL")
    path = Path(named) if named else Path(platformdirs.user_cache_dir("peernode")) / "models" / DEMO_MODEL
    if not path.is_file():
        pytest.skip(f"no {DEMO_MODEL}; set PEERNODE_TEST_MODEL to its path")
    return path
