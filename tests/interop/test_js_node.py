"""A node in another language: with js-libp2p and docs/protocol.md it joins, verifies, and orders and pays for jobs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from nodes import NodeProcess
from vectors import FOLDER

from peernode.market.verification import verify_receipt
from peernode.wire.identity import Identity
from peernode.wire.receipt import text_digest
from tests.interop.js_process import NODE, JsNode, prepare
from tests.models import demo_model

pytestmark = pytest.mark.real

MODEL_ID = "SmolLM2-135M-Instruct.Q4_1"
SEED = bytes(range(100, 132))


@dataclass
class Meeting:
    """What a JavaScript node did with a provider, and another node that only the provider knew at first."""

    provider: NodeProcess
    other: NodeProcess
    js: JsNode

    @property
    def peer_id(self) -> str:
        return str(self.js.wait_for("listening")["peer_id"])


@pytest.fixture(scope="module")
def js_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("interop") / "js")


@pytest.fixture(scope="module")
def meeting(tmp_path_factory: pytest.TempPathFactory, js_folder: Path) -> Iterator[Meeting]:
    folder = tmp_path_factory.mktemp("meeting")
    started: list[NodeProcess | JsNode] = []
    try:
        provider = NodeProcess(
            folder / "provider", "--network", "test", "--no-http", "--model", str(demo_model()), name="provider"
        )
        started.append(provider)
        provider.start().wait_for_model()
        other = NodeProcess(
            folder / "other", "--network", "test", "--no-http", "--join", provider.address, name="other"
        )
        started.append(other)
        other.start()
        js = JsNode(
            js_folder,
            network="test",
            join=provider.address,
            listen="/ip4/127.0.0.1/tcp/0",
            seed=SEED.hex(),
            model=MODEL_ID,
            others=[other.peer_id],
            prompt="Say hello in one sentence.",
        )
        started.append(js)
        js.wait_for("waiting", timeout_s=240)
        yield Meeting(provider, other, js)
    finally:
        for node in reversed(started):
            node.kill()


def _peernode(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "peernode", *args], capture_output=True, text=True, check=False)


def test_it_agrees_with_every_test_vector(js_folder: Path) -> None:
    done = subprocess.run(
        [NODE, "check_vectors.mjs", FOLDER], cwd=js_folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    files = {path.name: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
    assert json.loads(done.stdout) == {name: len(v) if isinstance(v, list) else 1 for name, v in files.items()}


def test_it_joins_and_takes_in_genuine_adverts(meeting: Meeting) -> None:
    assert meeting.peer_id == Identity.from_seed(SEED).peer_id
    ids = {meeting.peer_id, meeting.provider.peer_id, meeting.other.peer_id}
    assert set(meeting.js.wait_for("adverts")["peers"]) == ids
    assert [line for line in meeting.js.said if line["event"] == "advert_refused"] == []


def test_others_take_in_its_advert(meeting: Meeting) -> None:
    for node in (meeting.provider, meeting.other):
        node.wait_for("peer_joined", where=lambda line: line["peer"] == meeting.peer_id)


def test_it_answers_pings(meeting: Meeting) -> None:
    done = _peernode("ping", meeting.peer_id, "--home", str(meeting.other.home), "--count", "2")
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_runs_a_job_and_verifies_the_receipt(meeting: Meeting) -> None:
    job = meeting.js.wait_for("job")
    assert job["outcome"] == "end"
    assert job["text"].strip()
    assert job["tokens"] == job["receipt"]["completion_tokens"] > 0
    assert len(job["checks"]) == 22
    assert all(job["checks"].values())
    assert job["receipt"]["credits"] > 0
    assert job["receipt"]["text_digest"] == text_digest(job["text"]).hex()


def test_a_cancelled_job_is_paid_for_what_came(meeting: Meeting) -> None:
    whole, cut = meeting.js.wait_for("job"), meeting.js.wait_for("cancelled")
    assert cut["outcome"] == "end"
    assert cut["receipt"]["finish_reason"] == "cancelled"
    assert 4 <= cut["tokens"] == cut["receipt"]["completion_tokens"] < 1500
    assert cut["cumulative"] == whole["cumulative"] + cut["receipt"]["credits"]
    assert whole["cumulative"] == whole["receipt"]["credits"]


@pytest.mark.parametrize(
    ("event", "outcome", "field", "answer"),
    [
        ("dear", "busy", "reason", "prices"),
        ("elsewhere", "error", "code", "wrong_network"),
        ("nonsense", "error", "code", "bad_request"),
    ],
)
def test_what_cannot_be_done_is_said_in_the_words_of_the_document(
    meeting: Meeting, event: str, outcome: str, field: str, answer: str
) -> None:
    line = meeting.js.wait_for(event)
    assert (line["outcome"], line["answer"][field]) == (outcome, answer)


@pytest.mark.parametrize("event", ["job", "cancelled"])
def test_the_provider_holds_the_countersigned_receipt(meeting: Meeting, event: str) -> None:
    job = meeting.js.wait_for(event)
    home = str(meeting.provider.home)
    listed: list[dict[str, Any]] = json.loads(_peernode("receipts", "list", "--home", home, "--json").stdout)
    mine = [entry for entry in listed if entry["request_id"] == job["request_id"]]
    assert [entry["state"] for entry in mine] == ["countersigned"]
    verified = _peernode("receipts", "verify", job["request_id"], "--home", home, "--json")
    assert verified.returncode == 0, verified.stdout
    raw, made = bytes.fromhex(job["receipt"]["envelope"]), bytes.fromhex(job["countersignature"])
    checks = verify_receipt(raw, made)
    assert [(check.name, check.passed) for check in checks] == [
        (check["name"], True) for check in json.loads(verified.stdout)["receipts"][0]
    ]


def test_its_departure_is_believed(meeting: Meeting) -> None:
    meeting.js.tell("depart")
    for node in (meeting.provider, meeting.other):
        node.wait_for("peer_departed", where=lambda line: line["peer"] == meeting.peer_id)
    assert meeting.js.stop() == 0
