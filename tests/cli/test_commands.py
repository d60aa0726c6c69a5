"""Commands that ask a running node, and what they say when there is none."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from peernode.node.home import AdminAccess


def test_help_names_every_command(peernode):
    answer = peernode("--help")
    assert answer.code == 0
    for command in ("serve", "status", "models", "peers", "ping", "metrics", "chat", "receipts"):
        assert command in answer.out


def test_version(peernode):
    assert peernode("--version").out.startswith("peernode ")


def test_wrong_usage_is_exit_code_2(peernode):
    answer = peernode("status", "--nonsense")
    assert answer.code == 2
    assert "--nonsense" in answer.err


def test_status_as_json_and_for_people(peernode, node):
    found = json.loads(peernode("status", "--json").out)
    assert list(found) == ["peer_id", "addresses", "http", "models", "peers", "version"]
    said = peernode("status")
    assert said.code == 0
    assert found["peer_id"] in said.out
    assert "/ip4/127.0.0.1/tcp/1" in said.out


def test_models_and_peers(peernode, node):
    assert json.loads(peernode("models", "--json").out)[0]["id"] == "org/tiny"
    (row,) = peernode("models").out.splitlines()[1:]
    assert row.split() == ["org/tiny", "yes", "2", "Q4_1,", "Q8_0", "2048", "90000", "400000"]
    assert json.loads(peernode("peers", "--json").out)[0]["models"] == ["org/tiny"]
    assert "12D3Koo" in peernode("peers").out


def test_metrics_are_printed_as_they_come(peernode, node):
    assert peernode("metrics").out == "peernode_engine_steps_total 3.0\n"


@pytest.mark.parametrize("command", [["status"], ["models"], ["peers"], ["ping", "12D3"], ["chat", "m", "hi"]])
def test_without_a_node_the_remedy_is_named(peernode, command):
    answer = peernode(*command)
    assert answer.code == 1
    assert answer.out == ""
    assert "peernode serve" in answer.err
    assert "code: no_node_running" in answer.err


def test_a_node_that_died_is_no_node(peernode, home):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    home.write_admin(AdminAccess("http://127.0.0.1:9", "t" * 43, dead.pid))
    assert "no_node_running" in peernode("status").err


def test_a_wrong_token_is_said(peernode, node, home):
    access = home.read_admin()
    home.write_admin(AdminAccess(access.url, "wrong" * 9, access.pid))
    assert "code: token_refused" in peernode("status").err


def test_serve_refuses_a_bad_configuration_before_it_loads_anything(peernode, tmp_path):
    file = tmp_path / "node.toml"
    file.write_text('[access]\nanonymous = "yes"\n')
    answer = peernode("serve", "--http", "0.0.0.0:80", "--config", file)
    assert (answer.code, "code: open_bind_refused" in answer.err) == (1, True)
    file.write_text("bogus = 1")
    answer = peernode("serve", "--config", file)
    assert "bogus in" in answer.err
    assert "code: bad_config" in answer.err


def test_serve_hands_its_flags_to_the_node(peernode, monkeypatch, home):
    import types

    seen = []

    async def run(config):
        seen.append(config)

    fake = types.ModuleType("peernode.node.composition")
    fake.serve = run
    monkeypatch.setitem(sys.modules, "peernode.node.composition", fake)
    join = "/ip4/192.0.2.7/tcp/4701/p2p/12D3KooWx"
    answer = peernode(
        "serve", "--model", "a=/x.gguf", "--model", "/y.gguf", "--join", join, "--no-http", "--network", "lab",
        "--listen", "/ip4/127.0.0.1/tcp/0", "--drain-s", "0", "--log-format", "json", "--home", home.path,
    )  # fmt: skip
    assert answer.code == 0
    (config,) = seen
    assert [entry.name for entry in config.models] == ["a", "y"]
    assert (config.join, config.network, config.http_bind, config.drain_s) == ((join,), "lab", None, 0)
    assert config.home == home.path


def test_a_projector_goes_with_the_one_model_that_is_served(peernode, monkeypatch, home):
    import types

    seen = []

    async def run(config):
        seen.append(config)

    fake = types.ModuleType("peernode.node.composition")
    fake.serve = run
    monkeypatch.setitem(sys.modules, "peernode.node.composition", fake)
    assert peernode("serve", "--model", "a=/x.gguf", "--projector", "/mm.gguf", "--home", home.path).code == 0
    (entry,) = seen[0].models
    assert (entry.name, str(entry.path), str(entry.projector)) == ("a", "/x.gguf", "/mm.gguf")
    for models in ((), ("--model", "/x.gguf", "--model", "/y.gguf")):
        answer = peernode("serve", *models, "--projector", "/mm.gguf", "--home", home.path)
        assert answer.code == 2
        assert "--projector" in answer.err


def test_an_error_inside_trios_groups_is_still_one_sentence(peernode, monkeypatch):
    import types

    from peernode.errors import PeernodeError

    async def run(_config):
        raise ExceptionGroup("nursery", [ExceptionGroup("inner", [PeernodeError("It broke.", remedy="Mend it.")])])

    fake = types.ModuleType("peernode.node.composition")
    fake.serve = run
    monkeypatch.setitem(sys.modules, "peernode.node.composition", fake)
    answer = peernode("serve")
    assert answer.code == 1
    assert "error: It broke." in answer.err
    assert "Traceback" not in answer.err


def test_a_defect_is_a_sentence_too(peernode, monkeypatch):
    monkeypatch.setattr("peernode.cli.admin_client.AdminClient.__init__", lambda *_: 1 / 0)
    answer = peernode("status")
    assert answer.code == 1
    assert "ZeroDivisionError" in answer.err
    assert "Traceback" not in answer.err


def test_python_m_peernode_starts_without_the_heavy_parts():
    probe = (
        "import sys; sys.argv = ['peernode', '--version']\n"
        "from peernode.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'trio', 'fastapi', 'libp2p', 'sqlalchemy', 'httpx', 'pydantic', 'llama_cpp'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.splitlines()[-1] == "[]"
