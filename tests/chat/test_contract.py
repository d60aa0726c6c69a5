"""The order of a job's events, as every runner must keep it."""

from __future__ import annotations

import pytest

from peernode.chat.contract import ContractBroken, StreamContract
from peernode.chat.errors import ProviderFailed
from peernode.chat.events import Failed, Finished, JobEvent, Receipted, Started, Tokens, Usage
from tests.samples import countersigned, signed_receipt

STARTED, TOKENS, FINISHED = Started("p", "m"), Tokens("ab", (1, 2)), Finished("stop", Usage(3, 2))
RECEIPTED = Receipted(signed_receipt(), countersigned(signed_receipt()))
FAILED = Failed(ProviderFailed("gone"))


def run(events: list[JobEvent], *, receipted: bool = True) -> None:
    contract = StreamContract(receipted=receipted)
    for event in events:
        contract.observe(event)
    contract.close()


@pytest.mark.parametrize(
    "events",
    [
        [STARTED, TOKENS, FINISHED, RECEIPTED],
        [STARTED, Finished("stop", Usage(3, 0)), RECEIPTED],
        [FAILED],
        [STARTED, FAILED],
        [STARTED, TOKENS, FAILED],
        [STARTED, TOKENS, FINISHED, FAILED],
    ],
)
def test_whole_streams_pass(events: list[JobEvent]) -> None:
    run(events)


@pytest.mark.parametrize(
    "events",
    [
        [],
        [STARTED, TOKENS],
        [TOKENS],
        [STARTED, STARTED],
        [STARTED, TOKENS, FINISHED],
        [STARTED, TOKENS, FINISHED, TOKENS],
        [STARTED, TOKENS, RECEIPTED],
        [STARTED, TOKENS, FINISHED, RECEIPTED, FAILED],
        [STARTED, FINISHED],
        [FAILED, FAILED],
    ],
)
def test_broken_streams_do_not(events: list[JobEvent]) -> None:
    with pytest.raises(ContractBroken):
        run(events)


def test_an_engines_stream_ends_with_finished() -> None:
    run([STARTED, TOKENS, FINISHED], receipted=False)
    with pytest.raises(ContractBroken):
        run([STARTED, TOKENS, FINISHED, RECEIPTED], receipted=False)
