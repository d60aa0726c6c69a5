"""``peernode doctor`` on a machine with one small model."""

from __future__ import annotations

import json
import shlex

import pytest
from typer.testing import CliRunner

from peernode.cli.app import app
from peernode.node import machine_view
from peernode.node.machine_view import MachineView
from tests.models import write_tiny_model


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Answers at once; asking llama.cpp takes a second, and is tested elsewhere."""
    monkeypatch.setattr(machine_view, "machine_view", lambda: MachineView(8 << 30, 4, ["NVIDIA"], "0.3.16", False))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "LLAMA_CACHE", "OLLAMA_MODELS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(tmp_path, *arguments):
    found = CliRunner().invoke(app, ["doctor", "--home", str(tmp_path / "node"), *arguments])
    assert found.exit_code == 0, found.output
    return found.output


def test_it_says_what_there_is_and_what_to_run(machine):
    model = machine / "some models" / "tiny.gguf"
    model.parent.mkdir()
    write_tiny_model(model)
    told = run(machine, str(model.parent))
    assert "8.0 GiB free, 4 cores" in told
    assert "there is a GPU (NVIDIA), but llama-cpp-python 0.3.16 knows none" in told
    assert "no node runs in this home" in told
    found = json.loads(run(machine, str(model), "--json"))
    (own,) = [each for each in found["models"] if each["path"] == str(model)]
    assert (own["fits"], own["architecture"], found["node"]) == (True, "llama", None)
    command = shlex.split(found["command"])
    assert command[:3] == ["peernode", "serve", "--model"]
    if len(found["models"]) == 1:
        assert command[3] == str(model)


def test_a_running_node_is_asked_how_it_is_reached(machine, node, home):
    found = CliRunner().invoke(app, ["doctor", "--home", str(home.path), "--json"])
    assert found.exit_code == 0, found.output
    assert json.loads(found.output)["node"]["peer_id"].startswith("12D3Koo")
