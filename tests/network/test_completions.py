"""Completions on real models: token ids, several prompts, suffixes, the best of several, and echoes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from nodes import NodeProcess

from tests.models import demo_model, write_tiny_model
from tests.network.conftest import MODEL_ID, _launcher

pytestmark = pytest.mark.real
# Any tokens.
START, END = 1, 2
GAP = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
# How many tokens of the random model come before those of the bytes.
SPECIAL = 3 + len(GAP)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """The real model, and a random one whose vocabulary has tokens around gaps."""
    folder = tmp_path_factory.mktemp("completions")
    config = folder / "node.toml"
    fills = write_tiny_model(folder / "fills.gguf", more_special=GAP)
    config.write_text(
        f"""
        [[model]]
        path = "{demo_model()}"
        context = 512
        [[model]]
        path = "{fills}"
        id = "fills"
        """
    )
    nodes: list[NodeProcess] = []
    node = _launcher(folder, nodes)("node", "--config", str(config))
    for model in (MODEL_ID, "fills"):
        node.wait_for("model_ready", timeout_s=120, where=lambda line, model=model: line["model"] == model)
    yield node
    assert node.stop() == 0


def ask(node: NodeProcess, path: str = "/v1/completions", **body: object) -> httpx.Response:
    usual = {"model": MODEL_ID, "max_tokens": 6, "temperature": 0, "seed": 5}
    return httpx.post(node.url + path, json={**usual, **body}, timeout=120)


def texts(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [choice["text"] for choice in answer.json()["choices"]]


def refusal(answer: httpx.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json()["error"]["param"]


def test_token_ids_are_continued_without_a_template(node: NodeProcess) -> None:
    answer = ask(node, prompt=[START, START, END], max_tokens=4)
    assert answer.json()["usage"]["prompt_tokens"] == 3
    several = ask(node, prompt=[[START, START, END], [START]], max_tokens=4)
    assert texts(several)[0] == texts(answer)[0]
    assert several.json()["usage"]["prompt_tokens"] == 4
    assert refusal(ask(node, prompt=[START, 49_999_999])) == (400, "prompt")


def test_ids_of_the_templates_own_prompt_give_the_same_answer(node: NodeProcess) -> None:
    """One token a byte in the random model's vocabulary, so that its prompts can be spelt."""

    def spelt(text: str) -> list[int]:
        return [SPECIAL + byte for byte in text.encode()]

    prompt = [1, *spelt("user\nhi"), 2, *spelt("\n"), 1, *spelt("assistant\n")]
    by_ids = ask(node, model="fills", prompt=prompt, max_tokens=12)
    by_text = ask(node, model="fills", prompt="hi", max_tokens=12)
    assert texts(by_ids) == texts(by_text)
    assert by_ids.json()["usage"]["prompt_tokens"] == by_text.json()["usage"]["prompt_tokens"] == len(prompt)


def test_a_gap_is_filled_by_models_that_can(node: NodeProcess) -> None:
    filled = ask(node, model="fills", prompt="ab", suffix="cde", max_tokens=8)
    # Its three tokens around the texts; one token a byte.
    assert filled.json()["usage"]["prompt_tokens"] == 3 + 2 + 3
    other = ask(node, model="fills", prompt="ab", suffix="xyz", max_tokens=8)
    assert texts(filled) != texts(other)
    echoed = ask(node, model="fills", prompt="ab", suffix="cde", max_tokens=8, echo=True)
    assert texts(echoed) == ["ab" + texts(filled)[0]]
    refused = ask(node, prompt="def f(", suffix="return x")
    assert refusal(refused) == (400, "suffix")
    assert "cannot fill in" in refused.json()["error"]["message"]


def test_the_best_of_several_is_the_likeliest_of_them(node: NodeProcess) -> None:
    asked = {"prompt": "Name a colour.", "temperature": 1.5, "logprobs": 0, "max_tokens": 5}
    every = ask(node, **asked, n=4).json()
    best = ask(node, **asked, best_of=4).json()

    def likelihood(choice: dict[str, Any]) -> float:
        chances = choice["logprobs"]["token_logprobs"]
        return sum(chances) / len(chances)

    # One seed: the same four answers.
    expected = max(every["choices"], key=likelihood)
    (kept,) = best["choices"]
    assert kept["text"] == expected["text"]
    assert likelihood(kept) == likelihood(expected)
    assert best["usage"]["completion_tokens"] == every["usage"]["completion_tokens"] > 5
    receipt = httpx.get(node.url + kept["receipt"]["url"], timeout=30).json()
    assert receipt["verified"]["ok"]
    two = ask(node, **asked, n=2, best_of=4).json()["choices"]
    assert [choice["text"] for choice in two] == [
        choice["text"] for choice in sorted(every["choices"], key=likelihood, reverse=True)[:2]
    ]


def test_several_prompts_and_echoes(node: NodeProcess) -> None:
    prompts = ["Say hello.", "Name a fruit."]
    alone = [ask(node, prompt=prompt).json()["usage"]["prompt_tokens"] for prompt in prompts]
    together = ask(node, prompt=prompts)
    assert all(texts(together))
    assert together.json()["usage"]["prompt_tokens"] == sum(alone)
    echoed = texts(ask(node, prompt=prompts, echo=True))
    assert all(len(text) > len(prompt) for text, prompt in zip(echoed, prompts, strict=True))
    assert [text[: len(prompt)] for text, prompt in zip(echoed, prompts, strict=True)] == prompts
    refused = ask(node, prompt="x", echo=True, logprobs=1)
    assert refusal(refused) == (400, "echo")
    assert "not known" in refused.json()["error"]["message"]


def test_the_openai_package_sends_ids_and_suffixes(node: NodeProcess) -> None:
    client = openai.OpenAI(base_url=f"{node.url}/v1", api_key="none", max_retries=0, timeout=120)
    made = client.completions.create(model=MODEL_ID, prompt=[START, START, END], max_tokens=3, best_of=2, temperature=1)
    assert made.usage is not None
    assert len(made.choices) == 1
    with pytest.raises(openai.BadRequestError):
        client.completions.create(model=MODEL_ID, prompt="x", suffix="y", max_tokens=3)
