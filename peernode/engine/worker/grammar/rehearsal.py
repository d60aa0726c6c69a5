"""Builds each grammar once in a process of its own first: what hangs, overflows its stack or eats memory ends there.

The grammar library bounds most of its work, but long chains of references and rules overflow its stack, and some
expressions keep it busy for minutes; in the worker either would end every stream. Owns that process.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

from peernode.engine.worker.grammar.library import GrammarRefused

# Of processor time, so that a busy machine refuses nothing else. Ordinary grammars take 1 to 5 ms, the largest that the
# limits let through 0.2 s.
CPU_SECONDS = 0.45
_WALL_SECONDS = 5.0
_START_SECONDS = 20.0
_MODULE = "peernode.engine.worker.grammar.rehearsal_process"


@dataclass(frozen=True, slots=True)
class VocabularyFacts:
    """What a grammar can say about a vocabulary: its size, its special tokens by id, and a token that ends answers."""

    size: int
    special: dict[int, str]
    end: int


class Rehearsal:
    """One rehearsal at a time; callers wait for each other. The process starts with the first one."""

    def __init__(self, facts: VocabularyFacts, *, cpu_seconds: float = CPU_SECONDS) -> None:
        self._facts = facts
        self._cpu_seconds = cpu_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._introduced = False
        self._lock = threading.Lock()

    def try_out(self, grammar: str) -> None:
        """Returns if the grammar can be built in time. Raises GrammarRefused."""
        with self._lock:
            process = self._started()
            answer = self._ask(process, grammar, _WALL_SECONDS)
            if answer is None:
                late = process.poll() in (None, -signal.SIGPROF)
                self._end()
                self._process = self._spawn()  # it starts while others work
                raise GrammarRefused(
                    "it takes too long to prepare" if late else "it is too deep or too large to be prepared"
                )
            if answer:
                raise GrammarRefused(answer)

    def close(self) -> None:
        with self._lock:
            self._end()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = self._spawn()
        process = self._process
        if not self._introduced:
            facts = self._facts
            introduction = {"size": facts.size, "special": facts.special, "end": facts.end}
            self._write(process, {**introduction, "cpu_seconds": self._cpu_seconds})
            # Its start is not held against the first grammar.
            if self._ask(process, "", _START_SECONDS) is None:
                self._end()
                raise GrammarRefused("the process that tries grammars out does not start")
            self._introduced = True
        return process

    @staticmethod
    def _spawn() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )

    def _ask(self, process: subprocess.Popen[bytes], grammar: str, seconds: float) -> str | None:
        """The library's reason, empty if it has none; None if the process died or took too long."""
        deadline = time.monotonic() + seconds
        self._write(process, grammar)
        assert process.stdout is not None
        answer = b""
        while not answer.endswith(b"\n"):
            ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            part = os.read(process.stdout.fileno(), 1 << 16) if ready else b""
            if not part:
                if ready:
                    process.wait()
                return None
            answer += part
        return json.loads(answer) or ""

    @staticmethod
    def _write(process: subprocess.Popen[bytes], value: object) -> None:
        assert process.stdin is not None
        rest = memoryview(json.dumps(value).encode() + b"\n")
        try:
            while rest:
                rest = rest[process.stdin.write(rest) :]
        except BrokenPipeError:
            return  # it has died; reading says so

    def _end(self) -> None:
        process, self._process = self._process, None
        self._introduced = False
        if process is not None:
            process.kill()
            process.communicate()
