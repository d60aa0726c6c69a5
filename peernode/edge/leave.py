"""How long an answer may still run when the client of its connection has left: a word from the answer to the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from starlette.types import Scope

# To take leave; jobs are cancelled at once, unless somebody may come back for their stream.
LEAVE_S = 5.0
KEY = "peernode.leave"


@dataclass(slots=True)
class Leave:
    """One connection's."""

    seconds: float = LEAVE_S


def leave_of(scope: Scope) -> Leave:
    """That of the connection which a request came by."""
    return cast(Leave, scope.get("state", {}).get(KEY) or Leave())
