"""The router's port: asked for, renewed, given back; no router can hold the node up."""

import threading

import pytest
import trio

from peernode.mesh.nat import port_mapping
from peernode.mesh.nat.errors import PortRefused
from peernode.mesh.nat.port_mapping import PortMapping
from peernode.mesh.nat.upnp import MappedPort


class FakeRouter:
    """``answers`` are given in turn, the last one for ever: a port, an error, or an event that it hangs on."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0
        self.closed = []

    def open(self, port):
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, threading.Event):
            answer.wait(10)
            answer = PortRefused("Too late.")
        if isinstance(answer, Exception):
            raise answer
        return MappedPort("198.51.100.20", answer)

    def close(self, mapped):
        self.closed.append(mapped.port)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(port_mapping, "RENEW_S", 0.02)
    monkeypatch.setattr(port_mapping, "RETRY_S", 0.02)
    monkeypatch.setattr(port_mapping, "ASK_DEADLINE_S", 0.3)


async def until(condition):
    with trio.fail_after(60):
        while not condition():
            await trio.sleep(0.005)


async def test_a_port_is_told_once_renewed_and_given_back(quick):
    router, told = FakeRouter(4701), []
    mapping = PortMapping(router, opened=told.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mapping.keep, 4701)
        await until(lambda: router.asked >= 4)
        nursery.cancel_scope.cancel()
    assert told == [4701]
    assert router.closed == [4701]
    assert mapping.said == "opened TCP port 4701 of 198.51.100.20"


async def test_another_port_at_a_renewal_is_told(quick):
    router, told = FakeRouter(4701, 50_000), []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(PortMapping(router, opened=told.append).keep, 4701)
        await until(lambda: told == [4701, 50_000])
        nursery.cancel_scope.cancel()
    assert router.closed == [50_000]


async def test_a_refusal_is_said_and_tried_again(quick):
    router, told = FakeRouter(PortRefused("No router answers to UPnP."), PortRefused("No."), 4701), []
    mapping = PortMapping(router, opened=told.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mapping.keep, 4701)
        await until(lambda: mapping.said.startswith("No"))
        await until(lambda: told == [4701])
        nursery.cancel_scope.cancel()


async def test_a_router_that_hangs_holds_nobody_up(quick):
    hanging = threading.Event()
    mapping = PortMapping(FakeRouter(hanging), opened=lambda port: None)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mapping.keep, 4701)
            await until(lambda: mapping.said == "the router did not answer in time")
            nursery.cancel_scope.cancel()
    finally:
        hanging.set()
