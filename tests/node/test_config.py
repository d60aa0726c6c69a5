"""Configuration: which source wins, what is refused, and whether the message says where it stands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from peernode.edge.bind import Bind
from peernode.edge.errors import OpenBindRefused
from peernode.node.config import NodeConfig
from peernode.node.config_sources import ConfigError, load_config
from peernode.wire.prices import Prices

CONFIGS = Path(__file__).parents[2] / "configs"
PEER = "/ip4/192.0.2.7/tcp/4701/p2p/12D3KooWx"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in list(os.environ):
        if name.startswith("PEERNODE_"):
            monkeypatch.delenv(name)


@pytest.fixture
def write(tmp_path):
    def write_file(text):
        path = tmp_path / "node.toml"
        path.write_text(text)
        return path

    return write_file


def refused(flags=None, config_file=None):
    with pytest.raises(ConfigError) as found:
        load_config(flags, config_file=config_file)
    return found.value


def test_defaults_stand_alone():
    config = load_config()
    assert config.network == "main"
    assert config.http_bind == Bind("127.0.0.1", 8080)
    assert config.listen == ("/ip4/0.0.0.0/tcp/4701",)
    assert (config.models, config.join, config.drain_s) == ((), (), 30)
    assert config.home.is_absolute()
    assert (config.limits.first_token_s, config.limits.job_s) == (60, 600)


def test_flag_beats_variable_beats_file_beats_default(write, monkeypatch):
    file = write('network = "file"\nlog_level = "error"\n[engine]\nslots = 2\nthreads = 3\nqueue_limit = 4\n')
    monkeypatch.setenv("PEERNODE_NETWORK", "variable")
    monkeypatch.setenv("PEERNODE_ENGINE__SLOTS", "5")
    config = load_config({"network": "flag", "engine": {"threads": 7}}, config_file=file)
    assert config.network == "flag"
    assert (config.engine.threads, config.engine.slots, config.engine.queue_limit) == (7, 5, 4)
    assert config.log_level == "error"
    assert load_config(config_file=file).network == "variable"
    monkeypatch.delenv("PEERNODE_NETWORK")
    assert load_config(config_file=file).network == "file"


def test_the_file_may_be_named_by_a_variable(write, monkeypatch):
    monkeypatch.setenv("PEERNODE_CONFIG", str(write('network = "there"')))
    assert load_config().network == "there"


def test_a_config_made_directly_reads_no_variables(monkeypatch):
    monkeypatch.setenv("PEERNODE_NETWORK", "variable")
    assert NodeConfig().network == "main"


def test_lists_in_variables_are_separated_by_commas(monkeypatch):
    monkeypatch.setenv("PEERNODE_JOIN", f"{PEER}, {PEER}2")
    monkeypatch.setenv("PEERNODE_MODELS", "a=/x/a.gguf,/x/b.gguf")
    config = load_config()
    assert config.join == (PEER, f"{PEER}2")
    assert [(entry.name, str(entry.path)) for entry in config.models] == [("a", "/x/a.gguf"), ("b", "/x/b.gguf")]


@pytest.mark.parametrize(
    ("text", "name", "path"),
    [
        ("m.gguf", "m", "m.gguf"),
        ("/a/b=c.gguf", "b=c", "/a/b=c.gguf"),
        ("./x=y.gguf", "x=y", "x=y.gguf"),
        ("org/name=/a/b.gguf", "org/name", "/a/b.gguf"),
        ("org/name=b=c.gguf", "org/name", "b=c.gguf"),
        ("/a/big-00001-of-00003.gguf", "big", "/a/big-00001-of-00003.gguf"),
    ],
)
def test_a_model_is_a_path_or_a_name_and_a_path(text, name, path):
    (entry,) = load_config({"models": [text]}).models
    assert (entry.name, str(entry.path)) == (name, path)


def test_models_in_a_file_are_lists_and_tables_relative_to_it(write):
    file = write('models = ["a=x.gguf"]\n[[model]]\npath = "sub/y.gguf"\nid = "b"\nprice_prompt = 7\nslots = 2\n')
    config = load_config(config_file=file)
    assert [entry.path for entry in config.models] == [file.parent / "x.gguf", file.parent / "sub/y.gguf"]
    assert config.prices_for(config.models[1]) == Prices(7, 25_000, 400_000)
    assert config.models[1].slots == 2
    assert [entry.name for entry in load_config({"models": ["z=/z"]}, config_file=file).models] == ["z"]


def test_an_unknown_key_in_the_file_is_named_with_its_file(write):
    file = write("netwrok = 'x'\n[engine]\nslot = 3\n")
    error = refused(config_file=file)
    assert error.code == "bad_config"
    assert f"netwrok in {file}: there is no such setting" in error.cause
    assert f"engine.slot in {file}" in error.cause


def test_the_source_of_a_bad_value_is_named(write, monkeypatch):
    assert "--drain-s" in refused({"drain_s": -1}).cause
    monkeypatch.setenv("PEERNODE_ENGINE__SLOTS", "many")
    assert "PEERNODE_ENGINE__SLOTS: " in refused().cause
    monkeypatch.delenv("PEERNODE_ENGINE__SLOTS")
    file = write("[[model]]\npath = 'x'\ncontext = 3\n")
    assert f"models.0.context in {file}" in refused(config_file=file).cause


@pytest.mark.parametrize(
    "flags",
    [
        {"network": "a b"},
        {"join": ["/ip4/1.2.3.4/tcp/1"]},
        {"listen": ["localhost:80"]},
        {"http": "8080"},
        {"log_level": "loud"},
        {"image_domains": ["*.example.org"]},
        {"image_domains": ["https://example.org"]},
        {"image_domains": ["127.0.0.1"]},
        {"models": ["a=/x", "a=/y"]},
        {"models": [{"id": "x"}]},
        {"prices": {"prompt": -1}},
        {"engine": {"slots": 600}},
        {"engine": {"slots": 64, "batch_tokens": 32}},
    ],
)
def test_what_cannot_be_is_refused(flags):
    assert f"--{next(iter(flags)).removesuffix('s').replace('_', '-')}" in refused(flags).cause


def test_an_open_http_port_keeps_its_own_error():
    with pytest.raises(OpenBindRefused):
        load_config({"http": "0.0.0.0:8080", "access": {"anonymous": "yes"}})
    said_twice = {"anonymous": "yes", "anonymous_from_anywhere": True}
    assert load_config({"http": "0.0.0.0:8080", "access": said_twice}).http_bind.host == "0.0.0.0"
    assert load_config({"http": "0.0.0.0:8080"}).access.anonymous == "loopback"


def test_images_are_fetched_from_nowhere_unless_hosts_are_listed(monkeypatch):
    assert load_config().image_domains == ()
    monkeypatch.setenv("PEERNODE_IMAGE_DOMAINS", "images.example.org, Pictures.example")
    assert load_config().image_domains == ("images.example.org", "Pictures.example")


def test_without_http_there_is_no_bind():
    assert load_config({"no_http": True}).http_bind is None


def test_a_file_that_is_missing_or_no_toml_is_a_typed_error(write, tmp_path):
    assert "no such file" in refused(config_file=tmp_path / "none.toml").cause
    assert "TOML" in refused(config_file=write("a = ")).sentence
    assert "list" in refused(config_file=write("model = 5")).sentence


@pytest.mark.parametrize("name", ["provider", "edge", "private-network"])
def test_every_example_loads(name):
    config = load_config(config_file=CONFIGS / f"{name}.toml")
    assert config.listen


def test_the_examples_say_what_they_promise():
    provider = load_config(config_file=CONFIGS / "provider.toml")
    assert provider.models[0].name == "smollm2-135m-instruct"
    assert load_config(config_file=CONFIGS / "private-network.toml").prices.completion == 0


def test_every_file_of_a_model_is_looked_for_beside_the_configuration(write):
    config = load_config(
        config_file=write(
            """
            [[model]]
            path = "m.gguf"
            projector = "p.gguf"
            lora = [{ path = "a.gguf", scale = 0.5 }, { path = "/abs/b.gguf" }]
            """
        )
    )
    (model,) = config.models
    folder = model.path.parent
    assert folder.is_absolute()
    assert model.projector == folder / "p.gguf"
    assert [(adapter.path, adapter.scale) for adapter in model.lora] == [
        (folder / "a.gguf", 0.5),
        (Path("/abs/b.gguf"), 1.0),
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"load": "soon"},
        {"kv_type": "q9"},
        {"lora": [{"path": "a.gguf", "scale": 1000}]},
        {"lora": [{"path": "a.gguf", "scale": float("nan")}]},
        {"lora": [{"path": "a.gguf"}] * 17},
        {"pooling": "sum"},
        {"idle_timeout_s": -1},
    ],
)
def test_senseless_model_settings_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        NodeConfig.model_validate({"models": [{"path": "m.gguf", **changes}]})
