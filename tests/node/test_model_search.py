"""Models that lie about: found once each, wherever other programs put them, and measured against the memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from peernode.node.machine_view import machine_view
from peernode.node.model_search import find_models, usual_places
from tests.models import write_tiny_lora, write_tiny_model

MUCH = 64 << 30


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def look(home: Path, available: int = MUCH, **environment: str):
    return find_models(usual_places(home, environment), context=4096, slots=8, available=available)


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tiny_model(path)
    return path


def test_models_are_found_where_other_programs_keep_them(home: Path) -> None:
    places = [
        put(home / ".cache/peernode/models/own.gguf"),
        put(home / ".cache/llama.cpp/org_name.gguf"),
        put(home / ".lmstudio/models/org/name/studio.gguf"),
        put(home / ".ollama/models/blobs" / f"sha256-{'a' * 64}"),
    ]
    blob = put(home / ".cache/huggingface/hub/models--org--m/blobs/0123")
    link = home / ".cache/huggingface/hub/models--org--m/snapshots/1/hub.gguf"
    link.parent.mkdir(parents=True)
    link.symlink_to(blob)
    found = {model.path: model for model in look(home)}
    # Where nobody else has put a model on the machine that runs this.
    assert {path for path in found if home in path.parents} == {*places, link}
    assert all(found[path].fits for path in (*places, link))
    assert found[places[-1]].name != places[-1].stem
    assert found[link].context == min(4096, found[link].header.context_length)


def test_the_environment_names_other_places(home: Path, tmp_path: Path) -> None:
    elsewhere = put(tmp_path / "elsewhere/blobs" / f"sha256-{'b' * 64}")
    assert elsewhere in [model.path for model in look(home, OLLAMA_MODELS=str(tmp_path / "elsewhere"))]


def test_what_is_no_model_says_why_and_is_not_proposed(home: Path) -> None:
    good = put(home / "models/good.gguf")
    (home / "models/broken.gguf").write_bytes(b"GGUF" + bytes(100))
    (home / "models/page.gguf").write_text("<html>not found</html>")
    (home / "models/big-00002-of-00003.gguf").write_bytes(b"GGUF")
    write_tiny_lora(home / "models/adapter.gguf")
    found = {model.path.name: model for model in look(home) if home in model.path.parents}
    assert set(found) == {good.name, "broken.gguf", "adapter.gguf"}
    assert "adapter" in found["adapter.gguf"].problem
    assert found["broken.gguf"].problem
    assert not found["broken.gguf"].fits


def test_what_the_memory_does_not_hold_comes_last_with_the_reason(home: Path) -> None:
    put(home / "models/good.gguf")
    (found,) = [model for model in look(home, available=1 << 20) if home in model.path.parents]
    assert not found.fits
    assert "does not fit" in found.note


def test_a_machine_without_llama_cpp_is_said_to_be_one() -> None:
    assert machine_view(question="import nothing_of_this_name").llama_cpp == ""
    there = machine_view(question="print('0.3.1', 1)")
    assert (there.llama_cpp, there.offloads, there.cpus >= 1) == ("0.3.1", True, True)
    crashed = machine_view(question="import os; os.abort()")
    assert (crashed.llama_cpp, crashed.offloads) == ("", False)


def test_cards_are_known_by_their_devices(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidia0").touch()
    assert machine_view(tmp_path, "print('0.3.1', 0)").devices == ["NVIDIA"]
