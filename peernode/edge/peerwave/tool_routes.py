"""``POST /api/tools``: run one of the node's own tools."""

from __future__ import annotations

import json
from typing import Any

import structlog
import trio
from fastapi import APIRouter, Request
from fastapi.responses import Response

from peernode.chat.errors import BadRequest
from peernode.edge.auth import Caller, add_headers, caller_of
from peernode.edge.limits import Limited
from peernode.edge.openai.fields import kind_of, parse_object, text
from peernode.edge.services import EdgeServices
from peernode.edge.tools.tool import ServerTool, ToolFailed, ToolTimeout, UnknownTool
from peernode.errors import PeernodeError

TOOL_S = 30.0
MAX_NAME = 128
MAX_ANSWER_BYTES = 4 << 20
log = structlog.get_logger("peernode.edge")


def tools_router(services: EdgeServices) -> APIRouter:
    """The route over ``services.tools``."""
    router = APIRouter(prefix="/api", tags=["Peerwave"])

    @router.post("/tools", summary="Run one of the tools that GET /api/models lists")
    async def tools(request: Request) -> Response:
        name, arguments = read_tool_run(parse_object(await request.body()))
        tool = next((tool for tool in services.tools if tool.name == name), None)
        if tool is None:
            raise UnknownTool("There is no tool of this name.", cause=name, remedy="GET /api/models lists them.")
        _count(services, request, caller_of(request.scope))
        return Response(
            await _run(tool, arguments), media_type="application/json", headers={"Cache-Control": "no-store"}
        )

    return router


def read_tool_run(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """``{"function": {"name", "arguments"}}``; the arguments may be an object or its JSON text."""
    function = body.get("function")
    if not isinstance(function, dict):
        raise BadRequest(
            "function is missing.", param="function", remedy='Send {"function": {"name": …, "arguments": {…}}}.'
        )
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        arguments = _parsed(arguments)
    if arguments is not None and not isinstance(arguments, dict):
        raise BadRequest(
            "function.arguments must be an object.", param="function.arguments", cause=f"found {kind_of(arguments)}"
        )
    return text(function.get("name"), "function.name", most=MAX_NAME), arguments or {}


def _parsed(arguments: str) -> dict[str, Any]:
    try:
        return parse_object(arguments.encode("utf-8", "surrogatepass"))
    except BadRequest as err:
        raise BadRequest(
            "function.arguments is not the JSON of an object.", param="function.arguments", cause=err.cause
        ) from err


def _count(services: EdgeServices, request: Request, caller: Caller) -> None:
    """A tool is a request of its key, without tokens. Raises Limited."""
    if caller.key is None:
        return
    now_s = services.clock()
    try:
        room = services.rates.admit(caller.key, 0, now_s).room
    except Limited as err:
        if err.room is not None:
            add_headers(request.scope, err.room.headers(now_s))
        raise
    if room is not None:
        add_headers(request.scope, room.headers(now_s))


async def _run(tool: ServerTool, arguments: dict[str, Any]) -> bytes:
    """The answer as JSON. Raises ToolTimeout, ToolFailed, or whatever of ours the tool itself raises."""
    try:
        with trio.fail_after(TOOL_S):
            answer = json.dumps(await tool.run(arguments), allow_nan=False).encode("ascii")
    except trio.TooSlowError:
        raise ToolTimeout("The tool did not answer in time.", cause=f"not within {TOOL_S:g} s") from None
    except PeernodeError:
        raise
    except Exception as err:
        # Its own words could hold the arguments.
        log.warning("tool_failed", tool=tool.name, error=type(err).__name__)
        raise ToolFailed("The tool failed.", cause=type(err).__name__) from err
    if len(answer) > MAX_ANSWER_BYTES:
        raise ToolFailed("The tool's answer is too large.", cause=f"{len(answer)} bytes, at most {MAX_ANSWER_BYTES}")
    return answer
