"""A flood of frames is read at a bounded pace, and loses nothing."""

import struct

import trio
from libp2p.stream_muxer.yamux.yamux import HEADER_SIZE, TYPE_WINDOW_UPDATE

from peernode.mesh.hardening import yamux_pace
from peernode.mesh.hardening.peer_gate import guard_of
from peernode.mesh.hardening.yamux_pace import BYTES_BURST, BYTES_PER_S, FRAMES_BURST, FRAMES_PER_S, Pace
from peernode.mesh.limits.token_bucket import TokenBucket


def test_frames_beyond_the_burst_wait_their_turn():
    pace = Pace()
    debts = [pace.debt_s(0.0, HEADER_SIZE, frame=True) for _ in range(int(FRAMES_BURST + FRAMES_PER_S))]
    assert debts[int(FRAMES_BURST) - 1] == 0
    assert abs(debts[-1] - 1.0) < 0.01


def test_bytes_beyond_the_burst_wait_their_turn():
    pace = Pace()
    assert pace.debt_s(0.0, int(BYTES_BURST), frame=False) == 0
    assert pace.debt_s(0.0, int(BYTES_PER_S), frame=False) == 1.0


async def test_a_flood_of_empty_frames_takes_as_long_as_it_may(start_host, dial, echoes, monkeypatch):
    monkeypatch.setattr(yamux_pace, "FRAMES_PER_S", 100.0)
    monkeypatch.setattr(yamux_pace, "FRAMES_BURST", 50.0)
    with trio.fail_after(60):
        async with start_host() as server, start_host() as attacker, start_host() as good:
            connection = await dial(attacker, server)
            started = trio.current_time()
            for _ in range(250):
                await connection._write_frame(struct.pack("!BBHII", 0, TYPE_WINDOW_UPDATE, 0, 0, 0))
            assert await echoes(good, server)
            assert await echoes(attacker, server)  # after all that was sent before it
            assert trio.current_time() - started >= (250 - 50) / 100.0 * 0.9


async def test_many_floods_share_one_budget_and_the_quiet_do_not_pay(start_host, dial, echoes):
    async with start_host() as server, start_host() as one, start_host() as two, start_host() as good:
        guard = guard_of(server.get_network())
        guard.frames = TokenBucket(per_second=100.0, burst=50.0)
        floods = [await dial(attacker, server) for attacker in (one, two)]
        count = int(yamux_pace.FREE_FRAMES_BURST) + 200
        started = trio.current_time()
        with trio.fail_after(60):
            for flood in floods:
                await flood._write_frame(struct.pack("!BBHII", 0, TYPE_WINDOW_UPDATE, 0, 0, 0) * count)
            assert await echoes(good, server)
            while guard.frames.owe(trio.current_time(), 0.0) > 0.0 or not guard.refusals["frames too fast"]:
                await trio.sleep(0.05)
            for attacker in (one, two):
                assert await echoes(attacker, server)
        # Together they had 400 to pay for; what came free meanwhile is less than a quarter.
        assert trio.current_time() - started >= 1.0
        assert {ban.address for ban in guard.bans.bans()} == {"127.0.0.1"}
