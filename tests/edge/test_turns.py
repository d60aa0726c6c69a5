"""Requests at once: of a key, of an address; who waits is served in order, who finds no place hears when to come."""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
import trio
import trio.testing

from peernode.chat.events import Finished, Tokens, Usage
from peernode.edge.accounts import NoAccounts
from peernode.edge.app import AppLimits, build_app
from peernode.edge.bind import parse_bind
from peernode.edge.serve import serve_app
from peernode.edge.turns import Lines, TooManyAtOnce, TurnLimits
from peernode.ledger.client_key import ClientKey, KeyLimits, new_key_text
from tests.edge.conftest import BODY, RECEIPT

KEYS = [new_key_text(secrets.token_bytes) for _ in range(2)]
CHAT = "/v1/chat/completions"


class AnyKey(NoAccounts):
    async def recognise(self, offered):
        return ClientKey(offered.id, "app", 0, KeyLimits())


async def in_time(main):
    with trio.fail_after(30):
        await main()


def test_turns_are_given_in_order_and_a_line_ends_with_its_last():
    async def main():
        lines, order = Lines(), []
        assert lines.take("a", 1)
        assert lines.take("b", 1)

        async def wait(number):
            await lines.wait("a", 1, 3)
            order.append(number)
            lines.leave("a")

        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(wait, number)
                await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(TooManyAtOnce):
                await lines.wait("a", 1, 3)
            assert not lines.take("a", 1)
            lines.leave("a")
        assert order == [0, 1, 2]
        lines.leave("b")
        assert len(lines) == 0

    trio.run(in_time, main)


def test_who_gives_up_waiting_keeps_nobody_waiting():
    async def main():
        lines, served = Lines(), trio.Event()
        lines.take("a", 1)
        async with trio.open_nursery() as nursery:
            impatient = trio.CancelScope()

            async def give_up():
                with impatient:
                    await lines.wait("a", 1, 3)
                    lines.leave("a")

            async def wait():
                await lines.wait("a", 1, 3)
                served.set()

            nursery.start_soon(give_up)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            lines.leave("a")  # the turn is the impatient one's,
            impatient.cancel()  # who leaves in the same moment
            await served.wait()
            lines.leave("a")
        assert len(lines) == 0

    trio.run(in_time, main)


def test_this_machine_may_have_more_than_another_unless_it_is_said():
    usual = TurnLimits()
    assert usual.of_address("127.0.0.1") > usual.of_address("203.0.113.9") > usual.per_key
    assert TurnLimits(per_address=3).of_address("::1") == 3


@asynccontextmanager
async def serving(services, turns):
    made, runner, _ = services
    gate = trio.Event()
    runner.play(end=[gate, Tokens("Hello", (1,)), Finished("stop", Usage(10, 1, 0)), RECEIPT])
    app = build_app(replace(made, accounts=AnyKey()), limits=AppLimits(turns=turns))
    stop = trio.Event()

    async def run(task_status):
        await serve_app(app, parse_bind("127.0.0.1:0"), stop=stop, grace_s=0.2, task_status=task_status)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            bind = await nursery.start(run)
            async with httpx.AsyncClient(base_url=f"http://{bind}", timeout=60) as client:
                yield client, runner, gate
            stop.set()


async def until(condition):
    while not condition():
        await trio.sleep(0.005)


async def test_more_than_may_run_wait_and_more_than_may_wait_are_429(services):
    turns = TurnLimits(per_address=2, waiting=1)
    async with serving(services, turns) as (client, runner, gate), trio.open_nursery() as nursery:
        answers = []

        async def ask():
            answers.append(await client.post(CHAT, json=BODY))

        for _ in range(4):
            nursery.start_soon(ask)
        await until(lambda: len(answers) == 1)
        refused = answers.pop()
        assert (refused.status_code, refused.json()["error"]["metadata"]["reason"]) == (429, "too_many_at_once")
        assert int(refused.headers["retry-after"]) > 0
        assert len(runner.jobs) == 2
        assert (await client.get("/v1/models")).status_code == 200  # what is no work waits for nothing
        gate.set()
        await until(lambda: len(answers) == 3)
        assert [answer.status_code for answer in answers] == [200] * 3
        assert len(runner.jobs) == 3


async def test_each_key_has_its_own_turns(services):
    turns = TurnLimits(per_key=1, waiting=0)
    async with serving(services, turns) as (client, runner, gate), trio.open_nursery() as nursery:
        answers = []

        async def ask(key):
            headers = {"Authorization": f"Bearer {key.text}"} if key else {}
            answers.append(await client.post(CHAT, json=BODY, headers=headers))

        for key in (KEYS[0], KEYS[0], KEYS[1], None):
            nursery.start_soon(ask, key)
        await until(lambda: len(answers) == 1)
        assert answers[0].status_code == 429
        await until(lambda: len(runner.jobs) == 3)
        gate.set()
        await until(lambda: len(answers) == 4)


async def test_who_leaves_while_waiting_leaves_the_line(services):
    turns = TurnLimits(per_address=1, waiting=1)
    async with serving(services, turns) as (client, runner, gate), trio.open_nursery() as nursery:
        answers = []

        async def ask(scope=None):
            with scope or trio.CancelScope():
                answers.append(await client.post(CHAT, json=BODY))

        nursery.start_soon(ask)
        await until(lambda: runner.jobs)
        for _ in range(3):  # each would find the place taken if the one before still had it
            left = trio.CancelScope()
            nursery.start_soon(ask, left)
            await trio.sleep(0.1)
            assert not answers
            left.cancel()
            await trio.sleep(0.1)
        gate.set()
        await until(lambda: len(answers) == 1)
        assert len(runner.jobs) == 1


async def test_who_waits_too_long_is_told_to_come_back(services):
    turns = TurnLimits(per_address=1, waiting=1, wait_s=0.05)
    async with serving(services, turns) as (client, runner, gate), trio.open_nursery() as nursery:
        nursery.start_soon(lambda: client.post(CHAT, json=BODY))
        await until(lambda: runner.jobs)
        refused = await client.post(CHAT, json=BODY)
        assert (refused.status_code, refused.json()["error"]["metadata"]["reason"]) == (429, "too_many_at_once")
        gate.set()


async def test_a_retry_waits_for_no_turn_but_the_first_ones(services):
    turns = TurnLimits(per_address=1, waiting=0)
    async with serving(services, turns) as (client, runner, gate), trio.open_nursery() as nursery:
        answers = []

        async def ask():
            answers.append(await client.post(CHAT, json=BODY, headers={"Idempotency-Key": "k"}))

        for _ in range(3):
            nursery.start_soon(ask)
        await until(lambda: runner.jobs)
        await trio.sleep(0.1)
        gate.set()
        await until(lambda: len(answers) == 3)
        assert {answer.status_code for answer in answers} == {200}
        assert len(runner.jobs) == 1
