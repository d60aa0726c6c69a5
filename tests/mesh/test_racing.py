"""Addresses of one peer are tried without letting a silent one hold up the others."""

import trio

from peernode.mesh.racing import STAGGER_S, first_reached


def attempts(answers, log):
    """``answers``: address to (seconds, outcome); what happened goes to ``log`` with its time."""
    start = trio.current_time()

    async def attempt(address):
        log.append((address, round(trio.current_time() - start, 3)))
        seconds, outcome = answers[address]
        try:
            await trio.sleep(seconds)
        except trio.Cancelled:
            log.append((address, "cancelled"))
            raise
        return outcome

    return attempt


async def test_a_silent_address_delays_the_next_by_a_moment_only(autojump_clock):
    log = []
    attempt = attempts({"silent": (5, False), "good": (0.1, True), "late": (0.1, True)}, log)
    assert await first_reached(attempt, ["silent", "good", "late"]) == "good"
    assert log == [("silent", 0.0), ("good", STAGGER_S), ("silent", "cancelled")]


async def test_after_a_refusal_the_next_is_tried_at_once(autojump_clock):
    log = []
    attempt = attempts({"a": (0.01, False), "b": (0.01, False), "c": (0.01, True)}, log)
    assert await first_reached(attempt, ["a", "b", "c"]) == "c"
    assert [address for address, _ in log] == ["a", "b", "c"]
    assert log[-1][1] < STAGGER_S


async def test_a_slow_address_may_still_win_after_all_others_failed(autojump_clock):
    attempt = attempts({"slow": (3, True), "refused": (0, False)}, [])
    assert await first_reached(attempt, ["slow", "refused"]) == "slow"


async def test_none_is_reached_when_all_fail_or_there_are_none(autojump_clock):
    assert await first_reached(attempts({"a": (5, False), "b": (5, False)}, []), ["a", "b"]) is None
    assert trio.current_time() < 6
    assert await first_reached(attempts({}, []), []) is None
