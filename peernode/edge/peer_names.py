"""The names that clients have for peers: whole ids, or a beginning or an end that only one of them has.

A name that nobody has stays as it is, and matches nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from peernode.chat.errors import BadRequest
from peernode.chat.wishes import Wishes


def with_whole_ids(wishes: Wishes, peers: Callable[[], Collection[str]]) -> Wishes:
    """``wishes`` with the ids of ``peers`` (those that offer something now) for their names.

    Raises BadRequest for a name that several have: to ignore none of them, or all, could both be wrong.
    """
    if not (wishes.order or wishes.only or wishes.ignore):
        return wishes
    known = peers()
    return replace(
        wishes,
        order=_whole(wishes.order, known, "provider.order"),
        only=_whole(wishes.only, known, "provider.only"),
        ignore=_whole(wishes.ignore, known, "provider.ignore"),
    )


def _whole(names: tuple[str, ...], known: Collection[str], param: str) -> tuple[str, ...]:
    return tuple(_named(name, known, f"{param}[{at}]") for at, name in enumerate(names))


def _named(name: str, known: Collection[str], param: str) -> str:
    if name in known:
        return name
    found = [peer for peer in known if peer.startswith(name) or peer.endswith(name)]
    if len(found) > 1:
        raise BadRequest(
            "Several peers are called that.",
            param=param,
            cause=f"{len(found)} ids begin or end with {name!a}",
            remedy="Give more of the id.",
        )
    return found[0] if found else name
