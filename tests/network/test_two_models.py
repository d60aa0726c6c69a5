"""Two real models side by side on one node: each answers what it is asked, at the same time as the other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from nodes import NodeProcess

from tests.models import demo_model, gemma_model
from tests.network.conftest import Launch

pytestmark = pytest.mark.real

# Each in words that it understands: the one is an instructed model, the other a base model.
PROBES = {"smol": "Name the capital city of France.", "gemma": "What is the capital of France?"}


def ask(node: NodeProcess, model: str) -> str:
    client = openai.OpenAI(base_url=f"{node.url}/v1", api_key="none", max_retries=0, timeout=120)
    answer = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": PROBES[model]}], max_tokens=12, temperature=0
    )
    return answer.choices[0].message.content or ""


def test_both_answer_a_factual_probe_at_once(launch: Launch) -> None:
    node = launch("both", "--model", f"smol={demo_model()}", "--model", f"gemma={gemma_model()}")
    for name in PROBES:
        node.wait_for("model_ready", where=lambda line, name=name: line["model"] == name, timeout_s=120)
    found = {model["id"]: model for model in node.admin("/admin/status")["models"]}
    assert found["smol"]["worker_pid"] != found["gemma"]["worker_pid"]
    assert found["gemma"]["quantization"] == "Q4_K_M"
    with ThreadPoolExecutor(2 * len(PROBES)) as pool:
        asked = {name: [pool.submit(ask, node, name) for _ in range(2)] for name in PROBES}
        answers = {name: [future.result() for future in futures] for name, futures in asked.items()}
    for said in answers.values():
        assert "Paris" in said[0]
        assert said[0] == said[1]


def test_lazy_models_of_one_node_give_way_to_each_other(
    launch: Launch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = tmp_path_factory.mktemp("config") / "node.toml"
    config.write_text(
        f"""
        [engine]
        load = "lazy"
        memory_mib = 640  # one of them fits, both do not
        context = 512
        slots = 2
        kv_tokens = 1024
        [[model]]
        path = "{demo_model()}"
        id = "smol"
        [[model]]
        path = "{gemma_model()}"
        id = "gemma"
        """
    )
    node = launch("lazy", "--config", str(config))
    for name in PROBES:
        node.wait_for("model_offered", where=lambda line, name=name: line["model"] == name)

    def states() -> dict[str, str]:
        return {model["id"]: model["state"] for model in node.admin("/admin/status")["models"]}

    for turn in ("smol", "gemma", "smol"):
        assert "Paris" in ask(node, turn)
        other = next(name for name in PROBES if name != turn)
        assert states() == {turn: "ready", other: "unloaded"}
