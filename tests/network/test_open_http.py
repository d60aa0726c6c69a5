"""HTTP that other machines reach: they need keys, and call it by a name it knows; who is missing a key is told so."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from namespaces import Internet, NetHost, NoNamespaces
from nodes import NodeProcess

from tests.network.test_keys import peernode

pytestmark = pytest.mark.real
CONFIG = """
http = "0.0.0.0:8080"
[access]
hosts = ["api.example.org"]
"""


@pytest.fixture
def internet() -> Iterator[Internet]:
    try:
        with Internet() as net:
            yield net
    except NoNamespaces as error:
        pytest.skip(f"network namespaces cannot be made here: {error}")


def test_others_need_a_key_and_this_machine_does_not(internet: Internet, tmp_path: Path) -> None:
    server, elsewhere = internet.public("server", 10), internet.public("elsewhere", 11)
    config = tmp_path / "open.toml"
    config.write_text(CONFIG)
    node = NodeProcess(
        tmp_path / "home", "--config", str(config), "--network", "test", "--http", "0.0.0.0:8080",
        name="server", listen="/ip4/127.0.0.1/tcp/0", inside=server.command(),
    )  # fmt: skip
    try:
        node.start()
        assert node.wait_for("http_is_open_to_other_machines")["anonymous"] == "loopback"
        node.wait_for("nobody_has_a_key_yet")
        key = peernode(node, "keys", "create", "far", "--credits", "1")["key"]

        def ask(host: NetHost, url: str, *more: str) -> tuple[int, str]:
            said = host.run("curl", "-sS", "-w", "\\n%{http_code}", *more, url)
            body, _, status = said.strip().rpartition("\n")
            return int(status), json.loads(body).get("error", {}).get("metadata", {}).get("reason", "")

        far, here = f"http://{server.address}:8080/v1/models", "http://127.0.0.1:8080/v1/models"
        bearer = ("-H", f"Authorization: Bearer {key}")
        assert ask(elsewhere, far) == (401, "missing_key")
        assert ask(elsewhere, far, "-H", "X-Forwarded-For: 127.0.0.1") == (401, "missing_key")
        assert ask(elsewhere, far, *bearer) == (200, "")
        assert ask(elsewhere, far, *bearer, "-H", "Host: api.example.org") == (200, "")
        assert ask(elsewhere, far, *bearer, "-H", "Host: evil.example") == (403, "host_refused")
        assert ask(server, here) == (200, "")
        assert ask(server, here, "-H", "X-Forwarded-For: 203.0.113.9") == (401, "missing_key")
        assert ask(server, far) == (401, "missing_key")  # by its own outer address: not loopback
        assert node.stop() == 0
    finally:
        if node.running:
            node.kill()


def test_open_to_everybody_has_to_be_said_twice(tmp_path: Path) -> None:
    config = tmp_path / "open.toml"
    config.write_text('http = "0.0.0.0:0"\n[access]\nanonymous = "yes"\n')
    done = subprocess.run(
        [sys.executable, "-m", "peernode", "serve", "--config", str(config), "--home", str(tmp_path / "home")],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "open_bind_refused" in done.stderr
    assert "anonymous_from_anywhere" in done.stderr
