"""The limit of descriptors is raised as far as needed and allowed, and never lowered."""

from __future__ import annotations

import resource

import pytest

from peernode.node.descriptors import OTHERS, make_room


@pytest.mark.parametrize(
    ("soft", "hard", "after"),
    [
        (1024, 20_000, 1000 + OTHERS),
        (1024, 1500, 1500),
        (1024, resource.RLIM_INFINITY, 1000 + OTHERS),
        (9000, 20_000, 9000),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY),
    ],
)
def test_it_is_raised_as_far_as_it_goes(monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, after: int) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda which, pair: limits.append(pair))
    make_room(1000)
    assert limits[-1] == (after, hard)
