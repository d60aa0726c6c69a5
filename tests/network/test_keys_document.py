"""docs/accounts.md: its commands, run as they stand there; only port, home and key are this test's own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import peernode.edge.app  # noqa: F401  # all that can be refused is known then
from peernode.chat import errors as chat
from peernode.edge import errors as edge
from peernode.edge import limits
from peernode.edge.answers import verdict_of
from peernode.errors import PeernodeError
from peernode.market import client_errors
from peernode.node.access_config import AccessConfig
from tests.network.conftest import MODEL_ID, Launch

PAGE = (Path(__file__).parents[2] / "docs" / "accounts.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_holds_nothing_but_commands() -> None:
    assert {language for language, _ in BLOCKS} == {"bash"}


def test_every_setting_is_on_the_page() -> None:
    for name in AccessConfig.model_fields:
        assert f"`{name}" in PAGE or f"{name} = " in PAGE, name


def test_the_table_of_refusals_is_complete_and_right() -> None:
    rows = re.findall(r"^\| (\d{3}) \| (.*?) \|", PAGE, re.MULTILINE)
    told = {(int(status), code) for status, codes in rows for code in re.findall(r"`(\w+)`", codes)}
    kinds = [kind for module in (client_errors, limits) for kind in vars(module).values() if isinstance(kind, type)]
    bases = {
        PeernodeError,
        chat.JobError,
        edge.EdgeError,
        limits.Limited,
        client_errors.CapReached,
        client_errors.KeyRefused,
        client_errors.NotAllowed,
    }
    raised = [kind for kind in kinds if issubclass(kind, PeernodeError) and kind not in bases]
    assert told >= {_status_and_code(kind) for kind in raised}
    assert told <= {_status_and_code(kind) for kind in _descendants(PeernodeError)}


def _status_and_code(kind: type[PeernodeError]) -> tuple[int, str]:
    # An error's row in the table of answers depends on nothing but its class.
    return verdict_of(kind.__new__(kind)).status, kind.code


def _descendants(kind: type[PeernodeError]) -> list[type[PeernodeError]]:
    return [each for child in kind.__subclasses__() for each in (child, *_descendants(child))]


@pytest.mark.real
def test_its_commands(launch: Launch, model_path: Path, tmp_path: Path) -> None:
    node = launch("shop", "--model", str(model_path))
    node.wait_for_model()
    key, said = "", []
    for command in [line for _, body in BLOCKS for line in body.splitlines() if line.strip()]:
        output = run(command.replace("http://127.0.0.1:8080", node.url), node.home, tmp_path, KEY=key)
        key = key or output.strip()
        said.append(output)
    assert re.fullmatch(r"sk-pn-\w{53}", key)
    models, usage, account = said[1:4]
    assert MODEL_ID in models
    assert '"balance":5.0' in usage
    assert '"limit_remaining":5.0' in account
    assert "is revoked" in said[-1]


def run(command: str, home: Path, folder: Path, **variables: str) -> str:
    for name, value in variables.items():
        command = command.replace(f"${name}", value)
    words = shlex.split(command)
    if words[0] == "peernode":
        words = [sys.executable, "-m", *words]
    else:
        assert words[0] == "curl"
        words.insert(1, "--fail-with-body")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PEERNODE_")}
    done = subprocess.run(
        words,
        check=False,
        cwd=folder,
        env={**environment, "PEERNODE_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
