"""Tools that installed packages bring: entry points of the group ``peernode.tools``.

Each names a class or function that makes a ServerTool when it is called without arguments. Whoever installs such a
package lets its code run in this process.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

import structlog

from peernode.chat.tools import TOOL_NAME
from peernode.edge.tools.tool import ServerTool

GROUP = "peernode.tools"
log = structlog.get_logger("peernode.edge")


def installed_tools(found: Iterable[EntryPoint] | None = None) -> tuple[ServerTool, ...]:
    """All that can be made, by name; one that cannot is logged and left out."""
    tools: dict[str, ServerTool] = {}
    for entry in sorted(entry_points(group=GROUP) if found is None else found, key=lambda entry: entry.name):
        try:
            tool: ServerTool = entry.load()()
            usable = bool(TOOL_NAME.fullmatch(tool.name)) and isinstance(tool.description, str)
            usable = usable and hasattr(tool.parameters, "keys") and callable(tool.run)
        except Exception as err:  # noqa: BLE001  # foreign code: whatever it does, the node starts
            log.warning("tool_left_out", entry_point=entry.name, error=f"{type(err).__name__}: {err}"[:200])
            continue
        if usable and tool.name not in tools:
            tools[tool.name] = tool
        else:
            log.warning("tool_left_out", entry_point=entry.name, error="it has no proper name, or another's")
    return tuple(tools.values())
