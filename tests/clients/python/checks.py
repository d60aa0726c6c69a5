"""The checks of a client program: each runs by itself, and says in one JSON line what it saw or what went wrong."""

from __future__ import annotations

import asyncio
import inspect
import json
import traceback
from collections.abc import Callable
from typing import Any


def check(function: Callable[[], Any]) -> None:
    """Run ``function``, which returns what it saw; its name is the check's."""
    line: dict[str, Any] = {"check": function.__name__}
    try:
        line["saw"] = asyncio.run(function()) if inspect.iscoroutinefunction(function) else function()
    except Exception:  # noqa: BLE001  # the next check runs all the same
        line["error"] = traceback.format_exc()
    print(json.dumps(line, default=str), flush=True)  # noqa: T201


def raised(ask: Callable[[], Any]) -> dict[str, Any]:
    """What ``ask`` raises, as its callers could catch it."""
    try:
        ask()
    except Exception as error:  # noqa: BLE001  # that is what is looked at
        kinds = [kind.__name__ for kind in type(error).__mro__]
        return {"kinds": kinds, "status": getattr(error, "status_code", None), "text": str(error)}
    return {"kinds": [], "status": None, "text": "nothing was raised"}
