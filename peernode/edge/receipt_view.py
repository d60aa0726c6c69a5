"""A receipt in readable fields: every signed field under its own name, bytes as hex, for JSON and for people.

Pure, and free of any web framework: the HTTP route shows it, the CLI exports it and checks an export against it.
"""

from __future__ import annotations

from typing import Any

from peernode.wire.countersignature import Countersignature
from peernode.wire.prices import Prices
from peernode.wire.receipt import Receipt


def receipt_fields(receipt: Receipt) -> dict[str, Any]:
    """Every signed field, in signing order."""
    return _readable(receipt)


def countersignature_fields(made: Countersignature) -> dict[str, Any]:
    """Every signed field, in signing order."""
    return _readable(made)


def _readable(signed: Receipt | Countersignature) -> dict[str, Any]:
    return {name: _plain(getattr(signed, name)) for name in signed.__dataclass_fields__}


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Prices):
        return {"prompt": value.prompt, "cached": value.cached, "completion": value.completion}
    return value
