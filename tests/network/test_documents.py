"""The README's commands, run as they stand there; only ports, names and paths are this test's own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from peernode.ledger import ReceiptStore
from tests.network.conftest import MODEL_ID, Launch

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"(?:<!-- on: (\w+) -->\n)?```(\w+)\n(.*?)```", README, re.DOTALL)


def commands(place: str) -> list[str]:
    return [
        line.split("  #")[0].strip()
        for where, language, body in BLOCKS
        if language == "bash" and where == place
        for line in body.splitlines()
        if line.strip()
    ]


def test_the_two_commands_are_the_ones_that_run_in_ci() -> None:
    ci = (ROOT / ".ci/run").read_text()
    for command in commands(""):
        script = command.split()[0]
        assert os.access(ROOT / script, os.X_OK)
        assert script in ci


def test_what_the_readme_links_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_block_is_run_by_a_test() -> None:
    assert {(where, language) for where, language, _ in BLOCKS} == {
        ("", "bash"),
        ("provider", "bash"),
        ("edge", "bash"),
        ("", "python"),
    }


@pytest.mark.real
def test_the_readmes_tour(launch: Launch, model_path: Path, tmp_path: Path) -> None:
    (serve,) = commands("provider")
    provider = launch("provider", *serve_arguments(serve, MODEL=str(model_path)))
    provider.wait_for_model()
    serve, *tour = commands("edge")
    edge = launch("edge", *serve_arguments(serve, ADDRESS=provider.address))
    edge.wait_for_offer(provider.peer_id)

    receipt = ""
    for command in tour:
        if "$RECEIPT" in command and not receipt:
            receipt = ReceiptStore.open_readonly(edge.home / "ledger.db").list()[0].request_id
        output = run(command, edge.home, tmp_path, NAME=MODEL_ID, RECEIPT=receipt)
        if "verify" in command:
            assert output.rstrip().endswith("receipt verified")

    program = "".join(body for _, language, body in BLOCKS if language == "python")
    program = program.replace("http://127.0.0.1:8080", edge.url)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=True)
    assert "receipt: http" in done.stdout
    assert "name='get_weather'" in done.stdout


def serve_arguments(command: str, **variables: str) -> list[str]:
    words = shlex.split(expand(command, **variables))
    assert words[:2] == ["peernode", "serve"]
    return words[2:]


def expand(command: str, **variables: str) -> str:
    for name, value in variables.items():
        command = command.replace(f"${name}", value)
    assert "$" not in command
    return command


def run(command: str, home: Path, folder: Path, **variables: str) -> str:
    words = shlex.split(expand(command, **variables))
    assert words[0] == "peernode"
    environment = {**os.environ, "PEERNODE_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-m", *words],
        check=False,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
