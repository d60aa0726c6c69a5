"""What a tool is that the node runs for its clients, and the errors of running one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from peernode.chat.errors import DeadlineExceeded, ProviderFailed
from peernode.edge.errors import NoSuchRoute


class ServerTool(Protocol):
    """A public service without any client's own data. ``parameters`` is a JSON schema of an object.

    ``run`` is called under trio, by several clients at once, and answers with what JSON can hold. It raises BadRequest
    for arguments that it does not understand.
    """

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def parameters(self) -> Mapping[str, Any]: ...

    async def run(self, arguments: Mapping[str, Any]) -> object: ...


class UnknownTool(NoSuchRoute):
    code = "unknown_tool"


class ToolFailed(ProviderFailed):
    """The tool broke; its own words stand in the log."""

    code = "tool_failed"


class ToolTimeout(DeadlineExceeded):
    code = "tool_timeout"


def tool_object(tool: ServerTool) -> dict[str, Any]:
    """A tool as lists show it."""
    return {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
