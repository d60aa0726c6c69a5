"""Tools that the node runs: called by name, bounded in time and size, brought along by packages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from peernode.chat.errors import BadRequest
from peernode.edge.peerwave import tool_routes
from peernode.edge.tools.plugins import installed_tools
from peernode.edge.tools.pricing_info import PricingInfo


@dataclass
class Scripted:
    """A tool that does what its function does."""

    name: str
    does: Any
    description: str = "A tool of a test."
    parameters: Any = None

    async def run(self, arguments):
        return await self.does(arguments)


async def echo(arguments):
    return {"told": arguments}


async def refuse(arguments):
    raise BadRequest("No city.", param="function.arguments.city")


async def hang(arguments):
    await trio.sleep_forever()


async def break_down(arguments):
    raise KeyError("secret")


async def answer_nonsense(arguments):
    return object()


async def talk(arguments):
    return "x" * (5 << 20)


@pytest.fixture
def services(services):
    made, runner, shelf = services
    does = {
        "echo": echo,
        "refuse": refuse,
        "hang": hang,
        "break": break_down,
        "nonsense": answer_nonsense,
        "talk": talk,
    }
    scripted = [Scripted(name, each, parameters={}) for name, each in does.items()]
    return replace(made, tools=(PricingInfo(made.catalog), *scripted)), runner, shelf


async def call(edge, name, **more):
    return await edge.client.post("/api/tools", json={"function": {"name": name, **more}})


async def test_prices_are_told(edge):
    answer = await call(edge, "pricing_info", arguments={"model": "org/tiny"})
    assert answer.status_code == 200
    (model,) = answer.json()["models"]
    assert (model["id"], model["completion"], model["nodes_available"]) == ("org/tiny", "0.0000004", 2)
    assert (await call(edge, "pricing_info")).json()["models"] == [model]
    assert (await call(edge, "pricing_info", arguments={"model": "other"})).status_code == 404
    assert (await call(edge, "pricing_info", arguments={"model": 3})).status_code == 400


@pytest.mark.parametrize("arguments", [{"a": 1}, '{"a": 1}'])
async def test_arguments_come_as_an_object_or_its_text(edge, arguments):
    assert (await call(edge, "echo", arguments=arguments)).json() == {"told": {"a": 1}}


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("nobody", 404, "unknown_tool"),
        ("refuse", 400, "bad_request"),
        ("break", 502, "tool_failed"),
        ("nonsense", 502, "tool_failed"),
        ("talk", 502, "tool_failed"),
        ("hang", 504, "tool_timeout"),
    ],
)
async def test_what_goes_wrong_has_its_status(edge, monkeypatch, name, status, reason):
    monkeypatch.setattr(tool_routes, "TOOL_S", 0.05 if name == "hang" else 30.0)
    answer = await call(edge, name)
    error = answer.json()["error"]
    assert (answer.status_code, error["metadata"]["reason"]) == (status, reason)
    assert "secret" not in answer.text


@pytest.mark.parametrize("body", [{}, {"function": "echo"}, {"function": {"name": "echo", "arguments": 3}}])
async def test_what_is_no_call_is_refused(edge, body):
    assert (await edge.client.post("/api/tools", json=body)).status_code == 400


async def test_tools_are_listed_with_what_they_take(edge):
    tools = (await edge.client.get("/api/models")).json()["tools"]
    assert tools[0] == {
        "name": "pricing_info",
        "description": PricingInfo.description,
        "parameters": PricingInfo.parameters,
    }


class Installed(Scripted):
    def __init__(self):
        super().__init__("wikipedia", echo, parameters={})


class Nameless(Scripted):
    def __init__(self):
        super().__init__("no name", echo, parameters={})


class Broken:
    def __init__(self):
        raise RuntimeError


def test_packages_bring_tools_and_what_is_broken_is_left_out():
    here = __name__
    found = [EntryPoint(kind, f"{here}:{kind}", "peernode.tools") for kind in ("Installed", "Nameless", "Broken")]
    found += [EntryPoint("again", f"{here}:Installed", "x"), SimpleNamespace(name="gone", load=lambda: 1 / 0)]
    assert [tool.name for tool in installed_tools(found)] == ["wikipedia"]
