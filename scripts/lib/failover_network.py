"""An edge without a model and providers that can be broken at a token, for ``scripts/chaos failover`` and its tests.

Owns the processes, how one of them is broken and how it is well again. The providers join the edge, so that they find
it after a restart.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
from faults import FAULTS, plan_fault
from nodes import NodeFailed, NodeProcess
from streamed_answer import StreamedAnswer, read_answer

PROGRAM = str(Path(__file__).parent / "faulty_provider.py")
KINDS = ("kill", "stop", *FAULTS)
# Until a provider that was broken is in the directory again and asked again: start, model, the longest first pause.
BACK_S = 60.0
RETRY_S = 0.2
# Until the receipt for a part whose provider was lost is here, once that provider is back.
RECEIPTS_S = 60.0
NO_HEDGE = "[routing]\nhedge = false\n"


class FailoverNetwork:
    """``start`` once. ``providers`` keep their ports and keys over restarts; ``edge_config`` is TOML.

    No second provider is asked beside a late one unless ``edge_config`` says so: it would escape the break.
    """

    def __init__(
        self, scratch: Path, model: Path, *, edge_config: str = NO_HEDGE, providers: int = 2, threads: int = 1
    ) -> None:
        config, edge = scratch / "provider.toml", scratch / "edge.toml"
        config.write_text(f'[[models]]\nid = "model"\npath = "{model}"\nthreads = {threads}\n')
        edge.write_text(edge_config)
        network = ("--network", "failover")
        self.edge = NodeProcess(scratch / "edge", *network, "--config", str(edge), name="edge")
        self._files = [scratch / f"fault-{number}.json" for number in range(providers)]
        self.providers = [
            NodeProcess(
                scratch / f"provider-{number}",
                *(*network, "--config", str(config), "--no-http"),
                name=f"provider-{number}",
                program=(PROGRAM, str(file)),
            )
            for number, file in enumerate(self._files)
        ]

    @property
    def nodes(self) -> list[NodeProcess]:
        return [self.edge, *self.providers]

    def start(self) -> FailoverNetwork:
        """Return when the edge knows all providers. Raises NodeFailed."""
        self.edge.start()
        for provider in self.providers:
            provider.args += ["--join", self.edge.address]
            provider.spawn()
        for provider in self.providers:
            provider.wait_for_model()
            self.edge.wait_for_offer(provider.peer_id)
            provider.listen = "/".join(provider.address.split("/")[:5])
        return self

    def kill(self) -> None:
        """End all processes at once."""
        for node in self.nodes:
            node.kill()

    def breaker(self, kind: str, victim: int, after: int) -> Callable[[StreamedAnswer], None]:
        """Plan that ``victim`` breaks behind ``after`` tokens; to be called with the answer whenever tokens came."""
        node = self.providers[victim]
        if kind in FAULTS:
            plan_fault(self._files[victim], kind, after)
            return lambda answer: None
        number = signal.SIGKILL if kind == "kill" else signal.SIGSTOP
        begun = False

        def strike(answer: StreamedAnswer) -> None:
            nonlocal begun
            if not begun and len(answer.tokens) > after:
                begun = True
                node.signal(number)

        return strike

    def mend(self, kind: str, victim: int) -> None:
        """Undo what was done to ``victim``; it may take its time to be well again (``wait_well``)."""
        node = self.providers[victim]
        self._files[victim].unlink(missing_ok=True)
        if kind == "stop":
            node.signal(signal.SIGCONT)
        elif kind == "kill":
            node.kill()  # reaped; the signal may have come too late
            node.spawn()

    def wait_well(self, victim: int) -> None:
        """Until the edge asks ``victim`` again and gets an answer. Raises NodeFailed."""
        deadline = time.monotonic() + BACK_S
        body = self.aimed(chat("Say yes.", max_tokens=1), only=victim)
        while True:
            answer = httpx.post(f"{self.edge.url}/v1/chat/completions", json=body, timeout=BACK_S)
            if answer.status_code == 200:
                return
            if time.monotonic() > deadline:
                raise NodeFailed(f"{self.providers[victim].name} did not come back: {answer.text[:500]}")
            time.sleep(RETRY_S)

    def aimed(
        self,
        body: dict[str, Any],
        *,
        only: int | None = None,
        first: int | None = None,
        among: Sequence[int] | None = None,
    ) -> dict[str, Any]:
        """``body`` for one provider alone, or for that one first; ``among``: and for nobody else but these."""
        if only is not None:
            return {**body, "provider": {"only": [self.providers[only].peer_id]}}
        wishes = {} if among is None else {"only": [self.providers[each].peer_id for each in among]}
        if first is not None:
            wishes["order"] = [self.providers[first].peer_id]
        return {**body, "provider": wishes} if wishes else body

    def ask(
        self, body: dict[str, Any], on_token: Callable[[StreamedAnswer], None] = lambda answer: None
    ) -> StreamedAnswer:
        """A streamed answer through the edge."""
        return read_answer(self.edge.url, body, on_token=on_token)

    def seams(self, answer: StreamedAnswer) -> list[int]:
        """After how many tokens of ``answer`` a provider was lost, each time, by the edge's log."""
        return [int(line["tokens"]) for line in self._lines(answer, "provider_lost")]

    def passed_over(self, answer: StreamedAnswer) -> list[str]:
        """Why providers were passed over for ``answer``, in order, by the edge's log."""
        return [str(line["reason"]) for line in self._lines(answer, "provider_passed_over")]

    def _lines(self, answer: StreamedAnswer, event: str) -> list[dict[str, Any]]:
        def about(line: dict[str, Any]) -> bool:
            return line.get("request_id") == answer.request_id

        self.edge.wait_for("job_ended", where=about)  # the log is read by another thread
        return [line for line in self.edge.log if line.get("event") == event and about(line)]

    def receipts(self, answer: StreamedAnswer) -> list[dict[str, Any]]:
        """The parts of the answer that have a receipt at the edge, with ``countersignature`` and ``receipt``."""
        found = httpx.get(f"{self.edge.url}/v1/receipts/{answer.request_id}", timeout=30)
        return list(found.json()["parts"]) if found.status_code == 200 else []

    def all_receipts(self, answer: StreamedAnswer, parts: int, *, within_s: float = RECEIPTS_S) -> list[dict[str, Any]]:
        """``receipts``, as soon as there is one for each of so many parts; what there is when that takes too long."""
        deadline = time.monotonic() + within_s
        while len(found := self.receipts(answer)) < parts and time.monotonic() < deadline:
            time.sleep(RETRY_S)
        return found


def chat(prompt: str, **more: Any) -> dict[str, Any]:
    """The body of a request with one message."""
    return {"model": "model", "messages": [{"role": "user", "content": prompt}], **more}
