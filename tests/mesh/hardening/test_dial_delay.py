"""A dial takes as long as its handshakes, and no fixed pause on top."""

import pytest
import trio
from trio.testing import MockClock

FIXED_PAUSE_S = 0.25


@pytest.fixture
def patient_clock():
    """Jumps to the next deadline when nothing has happened for half a second; otherwise no time passes."""
    return MockClock(autojump_threshold=0.5)


async def test_a_dial_on_loopback_waits_for_no_fixed_pause(start_host, dial, patient_clock):
    async with start_host() as server, start_host() as client:
        before = trio.current_time()
        await dial(client, server)
        assert trio.current_time() - before < FIXED_PAUSE_S
