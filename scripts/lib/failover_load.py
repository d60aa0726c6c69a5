"""All providers of a network killed one after the other, while clients keep asking through the edge."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import httpx
from failover_network import FailoverNetwork, chat
from rich.console import Console
from streamed_answer import StreamedAnswer

CLIENTS = 8
PROVIDERS = 3
MAX_TOKENS = 120
# Of the edge in this network: to the first token, and for all of an answer.
FIRST_TOKEN_S, JOB_S = 20, 40
MORE_S = 1.0
# Answers that each client has to get before the next provider goes.
BETWEEN = 1


class Client(threading.Thread):
    """Asks for one answer after the other until one fails; ``failed`` is that one, ``whole`` counts the others."""

    def __init__(self, network: FailoverNetwork, number: int) -> None:
        super().__init__(daemon=True)
        self.number = number
        self.whole = 0
        self.failed: StreamedAnswer | None = None
        self.trouble = ""
        self._network = network

    def run(self) -> None:
        while True:
            prompt = f"Tell client {self.number} story number {self.whole}."
            try:
                answer = self._network.ask(chat(prompt, max_tokens=MAX_TOKENS, temperature=0.8, seed=self.number))
            except httpx.HTTPError as err:
                self.trouble = repr(err)
                return
            if answer.faults():
                self.failed = answer
                return
            self.whole += 1


def lose_all(scratch: Path, model: Path, console: Console) -> list[str]:
    """Kill one provider after the other under eight clients; the promises that were broken."""
    scratch.mkdir(exist_ok=True)
    limits = f"[limits]\nfirst_token_s = {FIRST_TOKEN_S}\njob_s = {JOB_S}\n"
    network = FailoverNetwork(scratch, model, edge_config=limits, providers=PROVIDERS)
    try:
        network.start()
        for each in range(PROVIDERS):
            network.wait_well(each)
        clients = [Client(network, number) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        broken: list[str] = []
        for number, provider in enumerate(network.providers):
            wanted = [client.whole + BETWEEN for client in clients]
            while any(
                client.whole < least and client.is_alive() for client, least in zip(clients, wanted, strict=True)
            ):
                time.sleep(0.05)
            broken += [f"with {PROVIDERS - number} left: {said}" for said in _failures(clients)]
            provider.kill()
            console.print(f"killed provider {number + 1} of {PROVIDERS} after {sum(c.whole for c in clients)} answers")
            if broken:
                return broken
        died = time.monotonic()
        for client in clients:
            client.join(JOB_S + FIRST_TOKEN_S + 10)
        return _judge_ends(clients, died, console)
    finally:
        network.kill()


def _failures(clients: list[Client]) -> list[str]:
    return [
        f"client {client.number}: {client.trouble or (client.failed and client.failed.faults())}"
        for client in clients
        if client.trouble or client.failed
    ]


def _judge_ends(clients: list[Client], died: float, console: Console) -> list[str]:
    broken, ends, kinds = [], [], set()
    for client in clients:
        answer = client.failed
        if answer is None:
            broken.append(f"client {client.number} got no typed error: {client.trouble or 'it still waits'}")
            continue
        reason = answer.error.get("metadata", {}).get("reason", "")
        kinds.add(f"{answer.status} {reason}")
        ends.append(answer.ended - died)
        if not reason:
            broken.append(f"client {client.number}: the error has no reason: {answer.error}")
        if answer.ended - answer.began > JOB_S + MORE_S:
            broken.append(f"client {client.number} waited {answer.ended - answer.began:.1f} s for its error")
    if ends:
        said = f"with none left: {', '.join(sorted(kinds))}; {min(ends):.1f} to {max(ends):.1f} s after the last kill"
        console.print(said, highlight=False, markup=False)
    return broken
