"""The loop of a worker that makes embeddings: take every command that has come, embed one batch, report it, again.

Owns the queue of jobs and what goes into a batch: one input of each job in turn, so that a long list does not hold up
a short one. Never logs what was said.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from peernode.chat.embedding_request import EmbeddingRequest, vector_line
from peernode.chat.errors import BadRequest, ContextTooLong, JobError, ProviderBusy
from peernode.engine.errors import WorkerProtocolBroken
from peernode.engine.protocol import Accepted, Cancel, Command, Output, Refused, Report, Step, Submit
from peernode.engine.worker.embedding_model import Floats
from peernode.engine.worker.sequence import TokenArray
from peernode.wire.errors import WireError

_SMOOTH = 0.2


class Commands(Protocol):
    """What the loop needs of ``loop.Channel``."""

    def send(self, report: Report) -> None: ...
    def receive(self) -> Command: ...
    def poll(self) -> Command | None: ...


class Embedder(Protocol):
    """What the loop needs of ``EmbeddingModel``."""

    window: int
    sequences: int
    vocabulary_size: int

    def tokenise(self, text: str) -> TokenArray | None: ...
    def embed(self, inputs: Sequence[TokenArray]) -> list[Floats] | None: ...


class _Job:
    """The inputs that are still to do, in order, and the tokens of those that are done."""

    def __init__(self, number: int, inputs: list[TokenArray]) -> None:
        self.number = number
        self.left = deque(inputs)
        self.tokens = 0


class EmbeddingLoop:
    """``slots`` jobs count as running, ``queue_limit`` more wait. ``clock`` is in seconds."""

    def __init__(
        self, channel: Commands, model: Embedder, *, slots: int, queue_limit: int, clock: Callable[[], float]
    ) -> None:
        self._channel = channel
        self._model = model
        self._slots = slots
        self._most = slots + queue_limit
        self._clock = clock
        self._jobs: deque[_Job] = deque()
        self._steps = 0
        self._prefilled = 0
        self._rate = 0.0

    def run(self) -> None:
        """Raises OwnerGone."""
        while True:
            self.turn()

    def turn(self) -> None:
        command = self._channel.poll() if self._jobs else self._channel.receive()
        while command is not None:
            self._obey(command)
            command = self._channel.poll()
        if self._jobs:
            self._step()

    def _obey(self, command: Command) -> None:
        match command:
            case Submit():
                self._submit(command)
            case Cancel(job=number):
                job = next((job for job in self._jobs if job.number == number), None)
                if job is not None:
                    self._jobs.remove(job)
                    self._report([self._end(job, "", "cancelled")])
            case _:
                raise WorkerProtocolBroken("A model is loaded only once.")

    def _submit(self, command: Submit) -> None:
        try:
            if len(self._jobs) >= self._most:
                raise ProviderBusy("The queue of this model is full.", remedy="Try again later.")
            inputs = self._read(command)
        except JobError as err:
            param = err.param or "" if isinstance(err, BadRequest) else ""
            self._channel.send(Refused(command.job, err.code, err.sentence, err.cause, err.remedy, param))
            return
        self._jobs.append(_Job(command.job, inputs))
        self._channel.send(Accepted(command.job, sum(map(len, inputs))))

    def _read(self, command: Submit) -> list[TokenArray]:
        try:
            request = EmbeddingRequest.from_fields(command.request)
        except WireError as err:
            raise BadRequest("This model makes embeddings, it does not chat.", param="model") from err
        found = []
        for place, entry in enumerate(request.inputs):
            tokens = self._model.tokenise(entry) if isinstance(entry, str) else _ids(entry, self._model)
            if tokens is None:
                raise ContextTooLong(
                    "An input does not fit the model.",
                    param="input",
                    cause=f"input {place} has more than {self._model.window} tokens",
                    remedy="Cut it into pieces.",
                )
            if not len(tokens):
                raise BadRequest("An input is empty to the model.", param="input", cause=f"input {place}")
            found.append(tokens)
        return found

    def _step(self) -> None:
        began = self._clock()
        chosen = self._choose()
        each: list[Floats | None]
        together = self._model.embed([tokens for _, tokens in chosen])
        if together is not None:
            each = [*together]
        else:
            # Somebody's input is at fault: find out whose, one by one.
            alone = [self._model.embed([tokens]) for _, tokens in chosen]
            each = [found[0] if found else None for found in alone]
        done = sum(len(tokens) for _, tokens in chosen)
        self._steps += 1
        self._prefilled += done
        rate = done / max(self._clock() - began, 1e-9)
        self._rate = rate if not self._rate else self._rate + _SMOOTH * (rate - self._rate)
        self._report(self._outputs(chosen, each))

    def _choose(self) -> list[tuple[_Job, TokenArray]]:
        """Inputs for one batch, one of each job in turn; each job's in its own order."""
        chosen: list[tuple[_Job, TokenArray]] = []
        room = self._model.window
        waiting = deque(self._jobs)
        taken: dict[int, int] = {}
        while waiting and len(chosen) < self._model.sequences:
            job = waiting.popleft()
            at = taken.get(job.number, 0)
            if at < len(job.left) and len(job.left[at]) <= room:
                tokens = job.left[at]
                chosen.append((job, tokens))
                room -= len(tokens)
                taken[job.number] = at + 1
                waiting.append(job)
        # Whoever was first goes to the end, so that a full batch does not always hold the same jobs.
        self._jobs.rotate(-1)
        return chosen

    def _outputs(self, chosen: list[tuple[_Job, TokenArray]], each: Sequence[Floats | None]) -> list[Output]:
        lines: dict[int, str] = {}
        failed: dict[int, _Job] = {}
        for (job, tokens), vector in zip(chosen, each, strict=True):
            job.left.popleft()
            job.tokens += len(tokens)
            if vector is None:
                failed[job.number] = job
            else:
                line = vector_line(vector.astype("<f4").tobytes())
                lines[job.number] = lines.get(job.number, "") + line
        outputs = []
        for job in {id(job): job for job, _ in chosen}.values():
            if job.number in failed:
                outputs.append(self._end(job, "", "error", "the model's embedding of an input is not finite"))
            elif job.left:
                outputs.append(Output(job.number, lines[job.number], []))
            else:
                outputs.append(self._end(job, lines[job.number], "stop"))
        over = {output.job for output in outputs if output.end}
        self._jobs = deque(job for job in self._jobs if job.number not in over)
        return outputs

    def _end(self, job: _Job, text: str, end: str, cause: str = "") -> Output:
        return Output(job.number, text, [], end, job.tokens, 0, 0, cause)

    def _report(self, outputs: list[Output]) -> None:
        running = min(len(self._jobs), self._slots)
        self._channel.send(
            Step(
                self._steps,
                self._slots - running,
                len(self._jobs) - running,
                0,
                0.0,
                self._rate,
                outputs,
                prefilled=self._prefilled,
            )
        )


def _ids(tokens: tuple[int, ...], model: Embedder) -> TokenArray | None:
    if len(tokens) > model.window:
        return None
    if any(token >= model.vocabulary_size for token in tokens):
        raise BadRequest("An input holds tokens that the model does not know.", param="input")
    return np.array(tokens, np.int32)
