"""Twenty thousand mutated messages, a few hundred of them as gossip over sockets: none accepted, nothing falls over.

``scripts/fuzz`` sends a million.
"""

import random

import pytest
import trio
from gossip_mutations import attack
from mutations import ADVERTS, JOB_FRAMES, SIGNED, Broken, judge_job_frame, judge_signed, mutate, run

from peernode.mesh.gossip import topic_of
from peernode.mesh.traffic import GOSSIP
from tests.mesh.conftest import NETWORK

ASK = "/peernode/test-ask/1"


async def answer(stream):
    await stream.send(b"answer to " + await stream.receive(30))


def test_mutations_differ_from_what_they_are_made_of():
    rng = random.Random(1)
    assert all(mutate(rng, raw, JOB_FRAMES) not in JOB_FRAMES for raw in JOB_FRAMES * 100)


def test_the_judge_notices_an_accepted_forgery(monkeypatch):
    with pytest.raises(Broken):  # an unmutated advert stands for a forgery that was accepted
        judge_signed("advert", ADVERTS[0])
    assert judge_job_frame(JOB_FRAMES[0]) == "job frame: says something else"
    monkeypatch.setitem(SIGNED, "offer", ((), SIGNED["offer"][1]))
    with pytest.raises(Broken):
        judge_job_frame(JOB_FRAMES[0])


async def test_twenty_thousand_mutated_messages_are_refused():
    ends = await run(20_000, seed=4)
    assert sum(ends.values()) == 20_000
    for kind in SIGNED:
        assert ends[f"{kind}: bad_signature"] > 0
        assert ends[f"{kind}: not_canonical"] > 0
    assert ends["frame stream: frame_too_large"] > 0


@pytest.mark.real
async def test_mutated_gossip_changes_nothing_and_the_node_answers_afterwards(start_node):
    with trio.fail_after(120):
        async with start_node(handlers={ASK: answer}) as victim, start_node(join=victim.mesh.addresses()) as good:
            await good.advertise(lease_ms=60_000)
            await victim.sees(good)
            judged = victim.mesh.traffic.flow(GOSSIP)
            sent = await attack(
                victim.mesh,
                address=victim.mesh.addresses()[0],
                topic=topic_of(NETWORK),
                advert=good.sign(lease_ms=60_000).raw,
                rounds=800,
                seed=4,
            )
            assert sent["forged advert"] + sent["broken RPC"] >= 800
            # Either they were judged (the rest went down with broken RPCs), or their sender was shut out before.
            while judged.messages_in < sent["forged advert"] / 4 and not victim.mesh.bans():
                await trio.sleep(0.01)
            assert judged.messages_in
            async with good.mesh.open(victim.peer_id, ASK, timeout_s=30) as stream:
                await stream.send(b"?")
                assert await stream.receive(30) == b"answer to ?"
            await good.advertise(model="another", lease_ms=60_000)
            while "another" not in victim.mesh.directory.snapshot().models():
                await victim.mesh.directory.wait_change(victim.mesh.directory.version)
