"""The js-libp2p node among liars: it pays for no false receipt and takes in no forged advert."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from peernode.mesh import FrameStream, Mesh
from peernode.mesh.sync import PROTOCOL as SYNC
from peernode.mesh.sync_messages import Record, encode_have, encode_records
from peernode.wire import canonical
from peernode.wire.advert import KIND, Advert, sign_advert
from peernode.wire.envelope import seal, unseal
from peernode.wire.identity import Identity
from peernode.wire.job_frames import CountersignFrame, ErrorFrame
from tests.interop.js_process import JsNode, prepare
from tests.market.scripted import ScriptedEngine, now_ms, party
from tests.market.test_dishonest_peers import LIES, LyingProvider, signed
from tests.samples import CARD, COORDINATOR, REQUEST, STRANGER, TEXT, advert

pytestmark = pytest.mark.real

SEED = bytes(range(100, 132))
# The smaller id opens the sync stream; these are larger than the JavaScript node's.
LARGER = [n for n in range(1, 64) if Identity.from_seed(bytes([n]) * 32).peer_id > Identity.from_seed(SEED).peer_id]


# What this implementation says of each lie.
REASONS = {
    "another key": ["bad_signature"],
    "another provider": ["provider"],
    "another request": ["request_id"],
    "raised credits": ["credits"],
    "raised prices": ["prices"],
    "unsent tokens": ["completion_tokens", "credits"],
    "another model": ["model_digest"],
    "other text": ["text"],
    "garbage": ["not_canonical"],
    "nothing": ["not_canonical"],
}


@pytest.fixture(scope="module")
def js_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("interop") / "js")


@contextmanager
def js_node(folder: Path, mesh: Mesh, **settings: Any) -> Iterator[JsNode]:
    node = JsNode(
        folder,
        network="test",
        join=mesh.addresses()[0],
        listen="/ip4/127.0.0.1/tcp/0",
        seed=SEED.hex(),
        others=[],
        **settings,
    )
    try:
        yield node
    finally:
        node.kill()


class Liars:
    """A provider with another lie for each job; keeps what it was answered."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self._left = {**LIES, "the truth": signed}

    async def handle(self, stream: FrameStream) -> None:
        name = next(iter(self._left))
        liar = LyingProvider(self._left.pop(name))
        await liar.handle(stream)
        self.answers[name] = liar.answer


async def test_false_receipts_are_refused_and_a_true_one_is_paid(tmp_path: Path, js_folder: Path) -> None:
    liars = Liars()
    # The lies are signed with the key of party 1.
    async with party(tmp_path, 1, engine=ScriptedEngine(), service=liars.handle) as provider:
        request = canonical.decode(canonical.encode(REQUEST.to_fields()))
        with js_node(js_folder, provider.mesh, model=CARD.id, request=request, times=len(LIES) + 1) as js:
            await trio.to_thread.run_sync(js.wait_for, "waiting")
            jobs = [line for line in js.said if line["event"] == "job"]
    refusals = [liars.answers[name] for name in LIES]
    assert [(type(answer), answer.code) for answer in refusals] == [(ErrorFrame, "receipt_refused")] * len(LIES)
    assert [job["outcome"] for job in jobs[:-1]] == ["receipt_refused"] * len(LIES)
    assert dict(zip(LIES, (job["reasons"] for job in jobs), strict=False)) == REASONS
    assert jobs[-1]["outcome"] == "unconfirmed"  # this party never says end
    assert (jobs[-1]["text"], jobs[-1]["cumulative"]) == (TEXT, jobs[-1]["receipt"]["credits"])
    assert isinstance(liars.answers["the truth"], CountersignFrame)


def _current(who: Identity, **changes: Any) -> Advert:
    return advert(peer=who.peer_id, addresses=(), seq=now_ms(), issued_ms=now_ms(), **changes)


def _forgeries() -> dict[str, bytes]:
    genuine = _current(COORDINATOR)
    envelope, _ = unseal(KIND, sign_advert(genuine, COORDINATOR).raw)
    stale = replace(genuine, issued_ms=now_ms() - 120_000)
    return {
        "bad_signature": seal(KIND, genuine.to_fields(), STRANGER).raw,
        "wrong_network": sign_advert(replace(genuine, network="other"), COORDINATOR).raw,
        "bad_schema": seal(KIND, genuine.to_fields()[:-1], COORDINATOR).raw,
        "not_canonical": canonical.encode([envelope.body + b"\0", envelope.signature]),
        "in another's name": seal("renewal", genuine.to_fields(), COORDINATOR).raw,
        "long over": sign_advert(stale, COORDINATOR).raw,
        "from the future": sign_advert(replace(genuine, issued_ms=now_ms() + 60_000), COORDINATOR).raw,
    }


async def test_forged_adverts_are_not_believed(js_folder: Path) -> None:
    honest = sign_advert(_current(STRANGER), STRANGER)

    async def forge(stream: FrameStream) -> None:
        for frame in encode_have({}):
            await stream.send(frame)
        records = [Record(0, raw, b"") for raw in (*_forgeries().values(), honest.raw)]
        for frame in encode_records(records):
            await stream.send(frame)
        await trio.sleep_forever()

    neighbour = Mesh(
        identity=Identity.from_seed(bytes([LARGER[0]]) * 32),
        network="test",
        listen=["/ip4/127.0.0.1/tcp/0"],
        join=[],
        clock_ms=now_ms,
        rng=random.Random(1),
    )
    neighbour.handle(SYNC, forge)
    async with trio.open_nursery() as nursery:
        await nursery.start(neighbour.run)
        with js_node(js_folder, neighbour, model=CARD.id, prompt="") as js:
            await trio.to_thread.run_sync(lambda: js.wait_for("peer_joined", where=_is(STRANGER)))
            refused = [line["code"] for line in js.said if line["event"] == "advert_refused"]
            joined = [line["peer"] for line in js.said if line["event"].startswith("peer_")]
        nursery.cancel_scope.cancel()
    codes = ["bad_signature", "wrong_network", "bad_schema", "not_canonical", "bad_signature"]
    assert refused == codes  # the last two are genuine, and only out of their time
    assert COORDINATOR.peer_id not in joined


def _is(who: Identity) -> Any:
    return lambda line: line["peer"] == who.peer_id
