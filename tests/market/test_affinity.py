"""Who has which prompts: common beginnings count as far as they go; tables are bounded and forget."""

from __future__ import annotations

from peernode.chat.embedding_request import EmbeddingRequest
from peernode.chat.message import Message
from peernode.chat.request import ChatRequest
from peernode.market.routing.affinity import BLOCK_BYTES, FORGOTTEN_AFTER_S, MAX_HOLDERS, Affinity, blocks_of
from tests.samples import CARD

SYSTEM = Message("system", "You are a helpful agent. " * 200)


def blocks(*texts: str, salt: bytes = b"") -> tuple[bytes, ...]:
    messages = (SYSTEM, *(Message("user", text) for text in texts))
    return blocks_of(ChatRequest(messages), CARD.digest, salt=salt)


def test_requests_share_blocks_as_far_as_they_begin_alike() -> None:
    one, two = blocks("a" * 1000), blocks("b" * 1000)
    common = sum(first == second for first, second in zip(one, two, strict=False))
    assert common == len(SYSTEM.content) // BLOCK_BYTES
    assert one[common:] != two[common:]
    assert blocks("a" * 1000, "c" * 1000)[: len(one) - 1] == one[:-1]


def test_blocks_are_of_one_model_and_one_node_and_embeddings_have_none() -> None:
    assert blocks("x") != blocks("x", salt=b"salt")
    assert set(blocks("x")).isdisjoint(blocks_of(ChatRequest((SYSTEM,)), bytes(32)))
    assert blocks_of(EmbeddingRequest(("text" * 500,)), CARD.digest) == ()


def test_whoever_was_sent_a_beginning_is_expected_to_have_it() -> None:
    affinity, one, two = Affinity(), blocks("a" * 1000), blocks("b" * 1000)
    affinity.sent("p", one, 0.0)
    assert affinity.hits(one, 1.0) == {"p": len(one)}
    assert affinity.hits(two, 1.0) == {"p": len(SYSTEM.content) // BLOCK_BYTES}
    assert affinity.hits(blocks_of(ChatRequest((Message("user", "z" * 2000),)), CARD.digest), 1.0) == {}


def test_who_holds_a_long_conversation_is_found_although_many_hold_its_beginning() -> None:
    affinity, long = Affinity(), blocks("a" * 4000)
    affinity.sent("mine", long, 0.0)
    for number in range(3 * MAX_HOLDERS):
        affinity.sent(f"p{number}", blocks("b"), 1.0)
    assert affinity.hits(long, 2.0)["mine"] == len(long)


def test_what_was_sent_long_ago_and_what_a_peer_did_not_have_is_forgotten() -> None:
    affinity, one = Affinity(), blocks("a" * 1000)
    affinity.sent("p", one, 0.0)
    assert affinity.hits(one, FORGOTTEN_AFTER_S + 1) == {}
    affinity.forget("p", one[3:])
    assert affinity.hits(one, 1.0) == {"p": 3}


def test_a_full_table_forgets_the_oldest_prompt_its_end_first() -> None:
    one, two = blocks("a" * 1000), blocks_of(ChatRequest((Message("user", "z" * 2000),)), CARD.digest)
    affinity = Affinity(most=len(one) + len(two) - 2)
    affinity.sent("p", one, 0.0)
    affinity.sent("q", two, 1.0)
    assert len(affinity) == len(one) + len(two) - 2
    assert affinity.hits(one, 2.0) == {"p": len(one) - 2}
    assert affinity.hits(two, 2.0) == {"q": len(two)}
